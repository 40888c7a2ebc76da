"""The runtime seam: what applies a configuration to a device and measures it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

from envs.spec.measurement import ConfigurationFailed, Measurement, Origin, Outcome
from envs.spec.objective import Objective
from envs.spec.space import Configuration, ConfigurationSpace


@dataclass(frozen=True)
class Transition:
    """What applying a configuration changed, in instances, and what it cost."""

    kept: int
    created: int
    removed: int
    apply_s: float


class Runtime(Protocol):
    """One device. A context manager; `close` is idempotent, and whatever is called after it raises RuntimeFault."""

    @property
    def space(self) -> ConfigurationSpace: ...

    @property
    def origin(self) -> Origin: ...

    @property
    def has_power(self) -> bool: ...

    def apply(self, configuration: Configuration) -> Transition:
        """Make `configuration` the one that serves; ConfigurationFailed if it cannot, and the old one stays live."""
        ...

    def measure(self, window_s: float) -> Measurement:
        """Measure what serves now over at least `window_s` seconds; ConfigurationFailed if that is impossible."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Runtime: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def try_configuration(runtime: Runtime, configuration: Configuration, window_s: float) -> Outcome:
    """Apply and measure; a failure comes back as data."""
    began_s = time.perf_counter()
    try:
        runtime.apply(configuration)
        return runtime.measure(window_s)
    except ConfigurationFailed as error:
        return replace(error.failure, cost_s=error.failure.cost_s or time.perf_counter() - began_s)


def check_objective(runtime: Runtime, objective: Objective) -> None:
    """ObjectiveError if the runtime cannot measure what the objective limits."""
    objective.check_measurable(
        runtime.has_power,
        "this runtime measures no power here (RAPL or a board sensor is missing or unreadable)",
    )
