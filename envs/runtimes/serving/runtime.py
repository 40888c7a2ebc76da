"""A live runtime over any kind of engine: instances, their queues, load, and windows."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import MappingProxyType

from envs.accuracy.samples import Samples
from envs.arrays import NamedArrays
from envs.errors import ConfigurationError, RuntimeFault
from envs.runtimes.protocol import Closing, Transition
from envs.runtimes.serving.admission import Admission
from envs.runtimes.serving.change_watch import ChangeWatch
from envs.runtimes.serving.changing import Changing
from envs.runtimes.serving.driver import POLL_S, StreamDriver
from envs.runtimes.serving.engine import STOP_TIMEOUT_S, EngineFactory
from envs.runtimes.serving.gate import Gates
from envs.runtimes.serving.inputs import InputCheck, Inputs
from envs.runtimes.serving.instance import Answering
from envs.runtimes.serving.measuring import MeasuredService, ServingOptions
from envs.runtimes.serving.placement import is_reserve, slots_of
from envs.runtimes.serving.places import placed, places_of
from envs.runtimes.serving.process_memory import give_back
from envs.runtimes.serving.queue import clock
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.serving.tenant_loads import TenantLoads
from envs.spec import (
    Agreements,
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Origin,
    Place,
    with_agreement,
)
from envs.telemetry.meter import PowerMeter
from envs.telemetry.protocol import Sensor

#: So long a thread of Python may compute before another one that wants to may [s]: instances answer
#: beside a policy that decides. With Python's own 5 ms, decisions made requests wait three times as
#: long (p50 of squeezenet1_1 on two busy cores: 6 instead of 2 to 3 ms).
SWITCH_S = 1e-4


class ServingRuntime(Closing):
    """Serves a workload; every request comes in through `submit`.

    `submit` is thread-safe; `apply`, `measure` and `close` belong to one controlling thread.
    Accepted requests are answered across reconfigurations; `close` cancels those that still wait.
    Engines with a stream of their own are driven by one thread, others by a thread each.

    Args:
        space: the configurations that may be applied.
        factory: loads the engines; the runtime closes it.
        sensor: of power; the runtime closes it.
        options: how to serve and measure.
        poll_s: how long the thread of the streams sleeps between two queries of their events.
        agreements: with FP32, by (tenant, accelerator), which every measurement carries.
        samples: [T], which generated load sends; None, for a tenant or at all, for invented ones.
        readiness: makes the engines ready that a configuration needs; None where they all are.
        reserve: a configuration outside the space that serves when nothing else can; None for none.
    """

    origin = Origin.MEASURED

    def __init__(
        self,
        space: ConfigurationSpace,
        factory: EngineFactory,
        sensor: Sensor,
        options: ServingOptions,
        poll_s: float = POLL_S,
        agreements: Agreements = MappingProxyType({}),
        samples: Sequence[Samples | None] | None = None,
        readiness: Readiness | None = None,
        reserve: Configuration | None = None,
    ) -> None:
        sys.setswitchinterval(SWITCH_S)
        self._space, self._readiness, self._reserve = space, readiness, reserve
        self._agreements = agreements
        self._applied: Configuration | None = None
        self._factory = factory
        self._sensor = sensor
        self._meter = PowerMeter(sensor, options.power_interval_s)
        self._options = options
        self._driver = StreamDriver(poll_s)
        self._tenants = space.workload.tenants
        self._inputs = InputCheck(self._tenants, space.workload.names, self.input_scales)
        self._admission = Admission(self._tenants, options.max_wait_ms / 1e3, options.max_waiting)
        self._loads = TenantLoads(self._tenants, samples, options.seed, options.outside)
        self._gates = Gates(space)
        self._apply_s, self._delayed = math.nan, math.nan
        self._p99_ms, self._measured = [math.nan] * len(self._tenants), True
        self._changing = Changing(
            space, factory, self._admission, self._driver, self._gates, readiness
        )

    @property
    def space(self) -> ConfigurationSpace:
        """Return the configurations that may be applied."""
        return self._space

    @property
    def has_power(self) -> bool:
        """Return True if measurements hold watts."""
        return self._sensor.has_power

    def submit(
        self, tenant: str | int, inputs: Inputs, arrival_s: float | None = None
    ) -> Future[NamedArrays]:
        """Ask for one inference.

        Args:
            tenant: its name, or its index.
            inputs: one sample without the batch dimension: an array, or one array per input, by
                name or in order. They are copied only when the batch is put together: do not
                change them before the answer has come.
            arrival_s: when it was due, on the clock of `time.perf_counter`; now, if not given.

        Returns:
            A future of {output name: array without the batch dimension}.

        Raises:
            RuntimeFault: the inputs are wrong, the runtime is closed, no instance is alive, or too
                many requests wait already (QueueFull).
        """
        position = self._inputs.position(tenant)
        request = self._inputs.request(position, inputs, arrival_s)
        with self._gates.announced(position, request.future):
            self._admission.submit(position, request)
        return request.future

    def input_scales(self, tenant: str | int) -> dict[str, float]:
        """Return the inputs that may be given as INT8, by name: value = scale * number.

        Empty until an engine that takes INT8 was loaded, which then needs no conversion.
        """
        position = self._inputs.position(tenant)
        scales: Callable[[int], dict[str, float]] = getattr(
            self._factory, "input_scales", lambda position: {}
        )
        return scales(position)

    def watch_answers(self, answering: Answering) -> None:
        """Call `answering(tenant, requests)` just before requests get their answers.

        It is called in the threads that serve: it must be quick, and must not raise.
        """
        self._changing.answering = answering
        for instance in self._admission.instances:
            instance.answering = answering

    def apply(self, configuration: Configuration) -> Transition:
        """Change by difference: keep every instance whose tenant, accelerator and threads stay.

        An instance whose engine was replaced meanwhile, after a change of the power mode, is
        created anew, unless there is no room for two of them.

        Raises:
            ConfigurationFailed: it is invalid or cannot be loaded; the old one stays live.
        """
        self._admission.check_open()
        began_s, before = clock(), self._places()
        self._check(configuration)
        watch = ChangeWatch(self._admission.instances, self._p99_ms)
        best_effort = self._space.workload.best_effort
        kept, created = self._changing.to(slots_of(configuration, self._space.device, best_effort))
        self._admission.let_leave({each.slot.tenant for each in (*kept, *created)}, STOP_TIMEOUT_S)
        removed = [instance for instance in self._admission.instances if instance not in kept]
        for instance, slot in kept.items():
            instance.resize(slot)
        self._admission.serve([*kept, *created])
        self._gates.serve(self._admission.instances)
        for instance in removed:
            instance.stop()
        if removed:
            give_back()
        if self._readiness is not None:
            self._readiness.left(before - self._places())
        seconds, delayed = clock() - began_s, watch.ended(created, self._admission.queues)
        if configuration != self._applied or self._measured:  # else it is applied again
            self._apply_s, self._delayed, self._measured = seconds, delayed, False
        self._applied = configuration
        return Transition(len(kept), len(created), len(removed), seconds)

    def measure(self, window_s: float) -> Measurement:
        """Load every tenant as its arrivals say, warm up, and measure one window of all instances.

        Raises:
            ConfigurationFailed: an instance was lost, or did not answer in time.
            RuntimeFault: nothing was applied, or the runtime is closed.
        """
        self._admission.check_open()
        if not self._admission.instances:
            raise RuntimeFault("measure: apply a configuration first")
        service = MeasuredService(
            self._admission.instances,
            self._tenants,
            self._loads.of(self._admission, self.submit),
            self._meter,
            self._options,
            getattr(self._factory, "free_mib", lambda: math.nan),
        )
        began_s = time.monotonic()
        try:
            measured = service.measure(window_s, self._apply_s)
        except ConfigurationFailed as error:
            raise ConfigurationFailed(placed(self._space, error.failure)) from error
        self._p99_ms, self._measured = [each.p99_ms for each in measured.tenants], True
        measured = replace(measured, change_requests=self._delayed)
        if self._readiness is not None and self._readiness.busy_since(began_s):
            measured = replace(measured, disturbed=True)
        assert self._applied is not None, "instances stand for an applied configuration"
        return with_agreement(measured, self._applied, self._agreements)

    def close(self) -> None:
        """Cancel the requests that wait, stop the instances, close the factory and the sensor."""
        if not self._admission.close():
            return
        if self._readiness is not None:
            self._readiness.close()
        for instance in self._admission.instances:
            instance.stop()
        self._admission.serve([])
        self._driver.close()
        self._factory.close()
        self._sensor.close()

    def _check(self, configuration: Configuration) -> None:
        """Raise ConfigurationFailed unless a configuration is valid and its engines are ready."""
        if is_reserve(configuration, self._reserve, self._space.optional):
            return
        try:
            self._space.check(configuration)
        except ConfigurationError as error:
            raise ConfigurationFailed(Failure(FailureKind.INVALID, str(error))) from None
        if self._readiness is not None:
            for place in places_of(configuration):
                self._readiness.make_ready(place)

    def _places(self) -> set[Place]:
        return {instance.slot.place for instance in self._admission.instances}
