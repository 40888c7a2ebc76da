"""A trace as a runtime: what was recorded is answered, bit by bit; nothing else is."""

from __future__ import annotations

from envs.runtimes.instant import AnsweringRuntime
from envs.runtimes.protocol import Transition
from envs.spec.measurement import ConfigurationFailed, Failure, Measurement, Origin
from envs.spec.space import Configuration
from envs.traces.reader import Trace


class ReplayedRuntime(AnsweringRuntime):
    """Replays `trace`. `measure` returns the recorded window, whatever length is asked for, without waiting for it."""

    origin = Origin.REPLAYED

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace.space)
        self._trace = trace

    @property
    def has_power(self) -> bool:
        return bool((self._trace.batch.power_w > 0).any())

    def apply(self, configuration: Configuration) -> Transition:
        self._check(configuration)
        outcome = self._trace.outcome(configuration)
        if isinstance(outcome, Failure):
            raise ConfigurationFailed(outcome)
        before = 0 if self._current is None else self._current.total_instances
        kept = before if self._current == configuration else 0
        self._current = configuration
        return Transition(
            kept, configuration.total_instances - kept, before - kept, outcome.apply_s
        )

    def measure(self, window_s: float) -> Measurement:
        outcome = self._trace.outcome(self._serving())
        assert isinstance(outcome, Measurement), "apply lets no failed configuration through"
        return outcome
