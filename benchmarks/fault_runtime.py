"""A simulated device whose failures a benchmark adds."""

from __future__ import annotations

from envs.runtimes.instant import InstantRuntime
from envs.runtimes.simulated import SimulatedRuntime


class FailingRuntime(InstantRuntime):
    """A runtime of the model; what inherits from it says when it fails."""

    def __init__(self, inner: SimulatedRuntime) -> None:
        super().__init__(inner.space)
        self._inner = inner
        self.origin = inner.origin

    @property
    def has_power(self) -> bool:
        """Return True: the model has power."""
        return self._inner.has_power
