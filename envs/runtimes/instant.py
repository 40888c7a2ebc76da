"""The base of runtimes that answer at once instead of serving."""

from envs.errors import ConfigurationError, RuntimeFault
from envs.runtimes.protocol import Closing
from envs.spec import Configuration, ConfigurationFailed, ConfigurationSpace, Failure, FailureKind


class InstantRuntime(Closing):
    """A context manager with the applied configuration; after `close` it raises RuntimeFault."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self.space = space
        self._current: Configuration | None = None
        self._closed = False

    def close(self) -> None:
        """Refuse every later call."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeFault("the runtime is closed")

    def _check(self, configuration: Configuration) -> None:
        """Raise ConfigurationFailed unless the configuration may be applied."""
        self._check_open()
        try:
            self.space.check(configuration)
        except ConfigurationError as error:
            raise ConfigurationFailed(Failure(FailureKind.INVALID, str(error))) from None

    def _applied(self) -> Configuration:
        """Return the configuration that was applied last; RuntimeFault if there is none."""
        self._check_open()
        if self._current is None:
            raise RuntimeFault("measure: apply a configuration first")
        return self._current
