"""The interface of runtimes, which apply a configuration to a device and measure it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Measurement,
    Objective,
    Origin,
    Outcome,
)

Own = TypeVar("Own")


@dataclass(frozen=True)
class Transition:
    """The cost of applying a configuration: instances kept, created and removed, and seconds."""

    kept: int
    created: int
    removed: int
    apply_s: float


class Runtime(Protocol):
    """One device.

    A runtime is a context manager. `close` may be called twice; every other call after it raises
    RuntimeFault. `envs.testing.runtime_contract` tests that an implementation is right.
    """

    @property
    def space(self) -> ConfigurationSpace:
        """Return the configurations that may be applied."""

    @property
    def origin(self) -> Origin:
        """Return the origin of every measurement."""

    @property
    def has_power(self) -> bool:
        """Return True if measurements hold watts."""

    def apply(self, configuration: Configuration) -> Transition:
        """Serve with `configuration` from now on.

        Raises:
            ConfigurationFailed: it is invalid or cannot be loaded; the old one stays live.
        """

    def measure(self, window_s: float) -> Measurement:
        """Measure the applied configuration over at least `window_s` seconds.

        Raises:
            ConfigurationFailed: an instance was lost or did not answer in time.
            RuntimeFault: nothing was applied before.
        """

    def close(self) -> None:
        """Release everything that the runtime holds."""

    def __enter__(self) -> Runtime: ...

    def __exit__(self, *exception: object) -> None: ...


class Closing:
    """A context manager that ends with `close`."""

    def close(self) -> None:
        """Release everything that is held."""
        raise NotImplementedError

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def try_configuration(runtime: Runtime, configuration: Configuration, window_s: float) -> Outcome:
    """Apply and measure; return a failure as data instead of raising it."""
    began_s = time.perf_counter()
    try:
        runtime.apply(configuration)
        return runtime.measure(window_s)
    except ConfigurationFailed as error:
        return replace(error.failure, cost_s=error.failure.cost_s or time.perf_counter() - began_s)


#: Why no power is measured, for messages.
UNMEASURED = "no power is measured here (a sensor is missing or unreadable)"


def check_objective(runtime: Runtime, objective: Objective) -> None:
    """Raise ObjectiveError if the objective limits a quantity that the runtime cannot measure."""
    objective.check_measurable(runtime.has_power, UNMEASURED)
