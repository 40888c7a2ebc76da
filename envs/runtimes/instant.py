"""What runtimes share that answer at once instead of serving: they know what they were asked for last, and whether they are closed."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from envs.errors import ConfigurationError, RuntimeFault
from envs.spec.measurement import ConfigurationFailed, Failure, FailureKind
from envs.spec.space import Configuration, ConfigurationSpace

Own = TypeVar("Own", bound="AnsweringRuntime")


class AnsweringRuntime:
    """A context manager; whatever is asked after `close` raises RuntimeFault."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self.space = space
        self._current: Configuration | None = None
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeFault("the runtime is closed")

    def _check(self, configuration: Configuration) -> None:
        """ConfigurationFailed unless the configuration may be applied."""
        self._check_open()
        try:
            self.space.check(configuration)
        except ConfigurationError as error:
            raise ConfigurationFailed(Failure(FailureKind.INVALID, str(error))) from None

    def _serving(self) -> Configuration:
        """What was applied last."""
        self._check_open()
        if self._current is None:
            raise RuntimeFault("measure: apply a configuration first")
        return self._current
