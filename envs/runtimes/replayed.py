"""A trace as a runtime: what was recorded is answered, bit by bit; nothing else is."""

from __future__ import annotations

from types import TracebackType

from envs.configuration import Configuration, ConfigurationSpace
from envs.errors import ConfigurationError, RuntimeFault
from envs.measurement import ConfigurationFailed, Failure, FailureKind, Measurement, Origin
from envs.runtimes.protocol import Transition
from envs.traces.reader import Trace


class ReplayedRuntime:
    """Replays `trace`. `measure` returns the recorded window, whatever length is asked for, without waiting for it."""

    origin = Origin.REPLAYED

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._current: Configuration | None = None
        self._closed = False

    @property
    def space(self) -> ConfigurationSpace:
        return self._trace.space

    @property
    def has_power(self) -> bool:
        return bool((self._trace.batch.power_w > 0).any())

    def apply(self, configuration: Configuration) -> Transition:
        self._check_open()
        try:
            self.space.check(configuration)
        except ConfigurationError as error:
            raise ConfigurationFailed(Failure(FailureKind.INVALID, str(error))) from None
        outcome = self._trace.outcome(configuration)
        if isinstance(outcome, Failure):
            raise ConfigurationFailed(outcome)
        before = 0 if self._current is None else self._current.total_instances
        kept = before if self._current == configuration else 0
        self._current = configuration
        return Transition(kept, configuration.total_instances - kept, before - kept, outcome.apply_s)

    def measure(self, window_s: float) -> Measurement:
        self._check_open()
        if self._current is None:
            raise RuntimeFault("measure: apply a configuration first")
        outcome = self._trace.outcome(self._current)
        assert isinstance(outcome, Measurement), "apply lets no failed configuration through"
        return outcome

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> ReplayedRuntime:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeFault("the runtime is closed")
