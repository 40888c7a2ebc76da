"""A trace as a runtime: it answers with the recorded measurements, unchanged."""

from envs.runtimes.instant import InstantRuntime
from envs.runtimes.protocol import Transition
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    Measurement,
    Origin,
)
from envs.traces.reader import Trace


class ReplayedRuntime(InstantRuntime):
    """Replays `trace`; a configuration that it does not hold fails as NOT_RECORDED.

    Args:
        trace: the recording.
        space: the configurations that may be applied; all of the recording if not given.
    """

    origin = Origin.REPLAYED

    def __init__(self, trace: Trace, space: ConfigurationSpace | None = None) -> None:
        super().__init__(trace.space if space is None else space)
        self._trace = trace

    @property
    def has_power(self) -> bool:
        """Return True if the trace holds watts."""
        return self._trace.has_power

    def apply(self, configuration: Configuration) -> Transition:
        """Choose the recorded configuration; raise the failure that was recorded for it."""
        self._check(configuration)
        outcome = self._trace.outcome(configuration)
        if isinstance(outcome, Failure):
            raise ConfigurationFailed(outcome)
        before = 0 if self._current is None else self._current.total_instances
        kept = before if self._current == configuration else 0
        self._current = configuration
        created = configuration.total_instances - kept
        return Transition(kept, created, before - kept, outcome.apply_s)

    def measure(self, window_s: float) -> Measurement:
        """Return the recorded window at once; its length may differ from `window_s`."""
        outcome = self._trace.outcome(self._applied())
        assert isinstance(outcome, Measurement), "apply refuses configurations that failed"
        return outcome
