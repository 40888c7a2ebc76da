"""The device model as a runtime: answers at once, as a device of that kind would after the window has passed, heat included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.errors import OptionError
from envs.runtimes.instant import AnsweringRuntime
from envs.runtimes.protocol import Transition
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.simulator.thermal import Cooling, clock_at, temperature_after
from envs.simulator.window import applying_s, simulated_window
from envs.spec.measurement import Measurement, Origin
from envs.spec.space import Configuration


class SimulatedRuntime(AnsweringRuntime):
    """One simulated device. Time passes only in what it is asked to do: applying and measuring warm it up, or let it cool.

    Args:
        truth: what is true of it, one context; the fitted model where not given.
        cooling: how it loses heat; None for a device that never throttles.
        seed: of the noise.
    """

    origin = Origin.SIMULATED

    def __init__(
        self,
        model: DeviceModel,
        truth: Contexts | None = None,
        cooling: Cooling | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(model.space)
        self.model = model
        self._truth = model.nominal() if truth is None else truth
        if len(self._truth) != 1:
            raise OptionError(f"truth has {len(self._truth)} contexts: a runtime is one device")
        self._cooling = cooling
        self._rng = np.random.default_rng(seed)
        self._apply_s = 0.0
        self.temperature_c = cooling.ambient_c if cooling else float("nan")
        self._power_w = float(sum(model.machine.idle_w))

    @property
    def has_power(self) -> bool:
        return self.model.has_power

    def apply(self, configuration: Configuration) -> Transition:
        self._check(configuration)
        self._apply_s = applying_s(self._current, configuration)
        self._pass(self._apply_s)
        old = (
            {}
            if self._current is None
            else {
                (tenant, place, batch): count
                for tenant, place, count, batch in self._current.slots()
            }
        )
        kept = sum(
            min(count, old.get((tenant, place, batch), 0))
            for tenant, place, count, batch in configuration.slots()
        )
        removed = sum(old.values()) - kept
        self._current = configuration
        return Transition(kept, configuration.total_instances - kept, removed, self._apply_s)

    def measure(self, window_s: float) -> Measurement:
        current = self._serving()
        clock = float(clock_at(self._cooling, self.temperature_c)) if self._cooling else 1.0
        truth = (
            replace(self._truth, clock=self._truth.clock * clock) if clock < 1.0 else self._truth
        )
        found = self.model.response(truth, current.array()[None])
        self._power_w = float(found.power_w[0])
        self._pass(window_s)
        measurement = simulated_window(
            self.model, current, found, self._rng, self._apply_s, window_s
        )
        self._apply_s = 0.0
        return measurement

    def _pass(self, seconds: float) -> None:
        """Time passes at the power of what served last."""
        if self._cooling:
            self.temperature_c = float(
                temperature_after(self._cooling, self.temperature_c, self._power_w, seconds)
            )
