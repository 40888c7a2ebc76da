"""The device model as a runtime: it answers at once, without waiting for the window to pass."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from envs.errors import OptionError
from envs.runtimes.instant import InstantRuntime
from envs.runtimes.protocol import Transition
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.simulator.thermal import Cooling, clock_at, temperature_after
from envs.simulator.window import simulated_window
from envs.spec import Agreements, Configuration, Measurement, Origin, with_agreement
from envs.spec.change import ChangeCost, change_cost
from envs.spec.some_tenants import with_unserved


class SimulatedRuntime(InstantRuntime):
    """One simulated device, with noise and heat.

    Simulated time passes only while it applies and measures; that warms the device up or lets it
    cool.

    Args:
        truth: one context with the true parameters of the device; the fitted ones if not given.
        cooling: how the device loses heat; None for a device that never throttles.
        seed: of the noise.
        agreements: with FP32, by (tenant, accelerator), which every measurement carries; a model
            of a board computes no answers, so that they come from a processor.

    Attributes:
        temperature_c: of the hottest part; NaN without `cooling`.
    """

    origin = Origin.SIMULATED

    def __init__(
        self,
        model: DeviceModel,
        truth: Contexts | None = None,
        cooling: Cooling | None = None,
        seed: int = 0,
        agreements: Agreements = MappingProxyType({}),
    ) -> None:
        super().__init__(model.space)
        self.model = model
        self._truth = model.nominal() if truth is None else truth
        if len(self._truth) != 1:
            raise OptionError(f"truth has {len(self._truth)} contexts: a runtime is one device")
        self._cooling = cooling
        self._rng = np.random.default_rng(seed)
        self._apply_s = 0.0
        self._change: ChangeCost | None = None
        self._served_ips = np.zeros(model.space.shape[0])
        self._agreements = agreements
        self.temperature_c = cooling.ambient_c if cooling else float("nan")
        self._power_w = float(sum(model.machine.idle_w))

    @property
    def has_power(self) -> bool:
        """Return True if the model of this device gives watts."""
        return self.model.has_power

    def apply(self, configuration: Configuration) -> Transition:
        """Let the time pass that loading the new instances would take."""
        self._check(configuration)
        if configuration == self._current and self._change is not None:  # not measured yet
            return Transition(configuration.total_instances, 0, 0, 0.0)
        before = None if self._current is None else self._current.array()
        served_ips = np.where(
            np.isinf(self._truth.rate_ips[0]), self._served_ips, self._truth.rate_ips[0]
        )
        self._change = change_cost(self.space, before, configuration.array(), served_ips.tolist())
        self._apply_s = float(self._change.seconds)
        self._pass_time(self._apply_s)
        counts = {} if self._current is None else _counts(self._current)
        kept = sum(min(count, counts.get(key, 0)) for key, count in _counts(configuration).items())
        removed = sum(counts.values()) - kept
        self._current = configuration
        return Transition(kept, configuration.total_instances - kept, removed, self._apply_s)

    def measure(self, window_s: float) -> Measurement:
        """Let the window pass; return a noisy measurement at the present temperature."""
        current = self._applied()
        clock = float(clock_at(self._cooling, self.temperature_c)) if self._cooling else 1.0
        truth = (
            replace(self._truth, clock=self._truth.clock * clock) if clock < 1.0 else self._truth
        )
        response = self.model.response(truth, current.array()[None])
        self._power_w = float(response.power_w[0])
        self._pass_time(window_s)
        measurement = simulated_window(
            self.model, current, response, truth.rate_ips[0], self._rng, self._apply_s, window_s
        )
        self._apply_s, self._served_ips = 0.0, measurement.throughput_ips
        if self._change is not None:
            measurement = replace(
                measurement,
                change_requests=float(self._change.requests),
                change_j=float(self._change.joules),
            )
            self._change = None
        return with_agreement(with_unserved(measurement, current), current, self._agreements)

    def _pass_time(self, seconds: float) -> None:
        if self._cooling:
            self.temperature_c = float(
                temperature_after(self._cooling, self.temperature_c, self._power_w, seconds)
            )


def _counts(configuration: Configuration) -> dict[tuple[int, int, int], int]:
    """Return the number of instances by (tenant, accelerator, batch)."""
    return {
        (tenant, accelerator, batch): count
        for tenant, accelerator, count, batch in configuration.slots()
    }
