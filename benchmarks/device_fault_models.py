"""Faults of a Jetson in the device model: a simulated AGX Orin that says no where it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_runtime import FailingRuntime
from benchmarks.setup import REFERENCE_BUNDLE
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.runtimes.protocol import Transition
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Place,
    workload_of,
)
from tuner.control.build import controller_of
from tuner.control.controller import Controller, ControlOptions
from tuner.control.last_good import LastGood
from tuner.device import Device
from tuner.model_at import at_rates

#: Periods before a fault that begins while something serves, and periods that are looked at.
BEFORE, AFTER = 6, 16

#: A failure of one instance, or None; it is asked about (accelerator, batch, instances before it).
Refusal = Callable[[str, int, int], Failure | None]


@dataclass(frozen=True)
class ModelCase:
    """One thing that fails in the model.

    Attributes:
        refuses: tells which instance fails, and why.
        when: `apply` if it fails while it is loaded, `measure` if it fails while it serves.
        times: how often it fails before it works again.
        after: periods before it begins.
        modes: names of the power mode in the periods after that, one a period.
        filled: True if 18 instances, the most of this space, served in an earlier life.
    """

    name: str
    refuses: Refusal = lambda accelerator, batch, before: None
    when: str = "apply"
    times: float = float("inf")
    after: int = 0
    modes: tuple[str, ...] = ()
    filled: bool = False


class RefusingRuntime(FailingRuntime):
    """A simulated device that refuses instances, and says which one it was.

    Attributes:
        struck: failures so far.
    """

    def __init__(self, inner: SimulatedRuntime, case: ModelCase) -> None:
        super().__init__(inner)
        self._case, self._left = case, case.times
        self.on, self.struck = False, 0

    def apply(self, configuration: Configuration) -> Transition:
        """Apply a configuration, or refuse one of its instances."""
        self._check(configuration)
        if configuration != self._current:
            self._strike("apply", configuration)
        transition = self._inner.apply(configuration)
        self._current = configuration
        return transition

    def measure(self, window_s: float) -> Measurement:
        """Measure a window, or lose an instance."""
        self._strike("measure", self._applied())
        return self._inner.measure(window_s)

    def _strike(self, when: str, configuration: Configuration) -> None:
        if not self.on or when != self._case.when or self._left <= 0:
            return
        for failure in self._failures(configuration):
            self._left -= 1
            self.struck += 1
            raise ConfigurationFailed(failure)

    def _failures(self, configuration: Configuration) -> Iterator[Failure]:
        before, names = 0, self.space.device.accelerator_names
        for tenant, column, instances, batch in configuration.slots():
            for number in range(instances):
                failure = self._case.refuses(names[column], batch, before + number)
                if failure is not None:
                    place = Place(tenant, column, batch)
                    yield Failure(failure.kind, failure.reason, place=place, fitted=failure.fitted)
            before += instances


def play(case: ModelCase, folder: Path) -> tuple[list[bool], int]:
    """Let a fault meet a controller on the model.

    Returns:
        Whether each period since the fault began served something valid, and how often it struck.
    """
    layers = (reference_network("squeezenet1_1"),)
    space = ConfigurationSpace(
        device_of("agx_orin_32", "MAXN"), workload_of([described(layers[0])]), 6, (1, 2, 4, 8)
    )
    runtime = RefusingRuntime(SimulatedRuntime(model_for(space, layers)), case)
    device = Device(runtime, lambda rates: model_for(at_rates(space, rates), layers))
    if case.filled:
        most = [(3 if each.startswith("dla") else 6, 1) for each in space.device.accelerator_names]
        LastGood(folder, space).keep(Configuration((tuple(most),)))
    mode = ["MAXN"]
    controller = controller_of(
        device,
        {"p99_ms": 20.0},
        None,
        # Without a policy the last good configuration serves, and not what the policy prefers.
        folder / "none.bundle" if case.filled else REFERENCE_BUNDLE,
        folder,
        ControlOptions(1.0),
        lambda: mode[0],
    ).controller
    for _ in range(case.after):
        controller.step()
    runtime.on = True
    served = list(_periods(controller, case, mode))
    return served, runtime.struck


def _periods(controller: Controller, case: ModelCase, mode: list[str]) -> Iterator[bool]:
    for number in range(AFTER):
        mode[0] = case.modes[number] if number < len(case.modes) else mode[0]
        outcome = controller.step().outcome
        yield isinstance(outcome, Measurement) and outcome.tenants[0].throughput_ips > 0


def _on(prefix: str, kind: FailureKind, reason: str, above: int = 0) -> Refusal:
    """Refuse instances of accelerators whose name begins with a prefix, from a batch size on."""

    def refuses(accelerator: str, batch: int, before: int) -> Failure | None:
        if not accelerator.startswith(prefix) or batch < above:
            return None
        return Failure(kind, f"{reason} on {accelerator} at batch {batch}")

    return refuses


def _all_but_cuda(accelerator: str, batch: int, before: int) -> Failure | None:
    if accelerator == "cuda":
        return None
    reason = f"no execution context on {accelerator} at batch {batch}"
    return Failure(FailureKind.BUILD_FAILED, reason)


def _memory_for(most: int) -> Refusal:
    def refuses(accelerator: str, batch: int, before: int) -> Failure | None:
        if before < most:
            return None
        text = f"the GPU has no memory left on {accelerator} at batch {batch}"
        return Failure(FailureKind.OUT_OF_MEMORY, text, fitted=most)

    return refuses


def _cases() -> Iterator[ModelCase]:
    built, lost = FailureKind.BUILD_FAILED, FailureKind.INSTANCE_LOST
    context, submit = "no execution context", "the batch was not enqueued"
    yield ModelCase("the DLAs refuse a context, always", _on("dla", built, context))
    yield ModelCase("the DLAs refuse a context, once", _on("dla", built, context), times=1)
    yield ModelCase("dla1 alone refuses a context", _on("dla1", built, context))
    yield ModelCase("the DLAs refuse a batch, always", _on("dla", lost, submit), "measure")
    yield ModelCase("the DLAs refuse a batch, once", _on("dla", lost, submit), "measure", 1)
    yield ModelCase("dla1 alone refuses a batch", _on("dla1", lost, submit), "measure")
    yield ModelCase(
        "the DLAs refuse every batch while they serve",
        _on("dla", lost, submit),
        "measure",
        after=BEFORE,
    )
    yield ModelCase("the Tensor Cores refuse a context", _on("tensor", built, context))
    yield ModelCase("all but the CUDA cores refuse a context", _all_but_cuda)
    yield ModelCase("no engine of batch 4 or more is built", _on("", built, "no engine", above=4))
    yield ModelCase(
        "what serves does not answer in time, twice",
        _on("", FailureKind.TIMED_OUT, "no answer within 1 s"),
        "measure",
        times=2,
        after=BEFORE,
    )
    yield ModelCase("the power mode changes twice", after=BEFORE, modes=("30W", "30W", "MAXN"))
    for most in range(1, 18):
        yield ModelCase(f"memory ends at instance {most + 1}", _memory_for(most), filled=True)


MODEL_CASES: tuple[ModelCase, ...] = tuple(_cases())
