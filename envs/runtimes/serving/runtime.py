"""A live runtime over any kind of engine: instances, their queues, load, and windows."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from envs.accuracy.samples import Samples
from envs.arrays import NamedArrays
from envs.errors import ConfigurationError, RuntimeFault
from envs.runtimes.protocol import Closing, Transition
from envs.runtimes.serving.converting import stream_instance
from envs.runtimes.serving.driver import POLL_S, StreamDriver
from envs.runtimes.serving.engine import EngineFactory, StreamEngine
from envs.runtimes.serving.inputs import InputCheck, Inputs
from envs.runtimes.serving.instance import Answering, Instance, Slot, failure_of, refuse
from envs.runtimes.serving.load import (
    POOL,
    ClosedLoop,
    Load,
    OutsideLoad,
    PoissonLoad,
    pool_of,
    sample_pool,
)
from envs.runtimes.serving.measuring import MeasuredService, ServingOptions
from envs.runtimes.serving.placement import match, slots_of
from envs.runtimes.serving.process_memory import give_back
from envs.runtimes.serving.queue import QueueFull, RequestQueue, clock
from envs.runtimes.serving.readiness import Readiness, placed, places_of
from envs.runtimes.serving.threads import ThreadInstance
from envs.spec import (
    Agreements,
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Origin,
    with_agreement,
)
from envs.telemetry.meter import PowerMeter
from envs.telemetry.protocol import Sensor


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
        self._space, self._readiness, self._reserve = space, readiness, reserve
        self._agreements = agreements
        self._applied: Configuration | None = None
        self._factory = factory
        self._sensor = sensor
        self._meter = PowerMeter(sensor, options.power_interval_s)
        self._options = options
        self._driver = StreamDriver(poll_s)
        self._instances: list[Instance] = []
        self._tenants = space.workload.tenants
        self._inputs = InputCheck(self._tenants, space.workload.names, self.input_scales)
        self._queues = [RequestQueue(options.max_wait_ms / 1e3) for _ in self._tenants]
        self._pools = [
            sample_pool(tenant.network, options.seed + i) if given is None else pool_of(given, POOL)
            for i, (tenant, given) in enumerate(
                zip(self._tenants, samples or [None] * len(self._tenants), strict=True)
            )
        ]
        self._alive = [0] * len(self._tenants)
        self._max_waiting = [options.max_waiting] * len(self._tenants)
        self._apply_s = math.nan
        self._closed = False
        self._lock = threading.Lock()
        self._answering: Answering | None = None

    @property
    def space(self) -> ConfigurationSpace:
        """The configurations that may be applied."""
        return self._space

    @property
    def has_power(self) -> bool:
        """True if measurements hold watts."""
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
        with self._lock:
            if self._closed:
                raise RuntimeFault("submit: the runtime is closed")
            if not self._alive[position]:
                raise RuntimeFault(
                    f"submit: no instance of {self._tenants[position].name} is alive, "
                    "apply a configuration first"
                )
            if (waiting := len(self._queues[position])) >= self._max_waiting[position]:
                raise QueueFull(
                    f"submit: {waiting} requests wait already for {self._tenants[position].name}, "
                    "ask less often or raise serving.max_waiting"
                )
            self._queues[position].put(request)
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
        self._answering = answering
        for instance in self._instances:
            instance.answering = answering

    def apply(self, configuration: Configuration) -> Transition:
        """Change by difference: keep every instance whose tenant, accelerator and threads stay.

        Raises:
            ConfigurationFailed: it is invalid or cannot be loaded; the old one stays live.
        """
        self._check_open()
        began_s = clock()
        self._check(configuration)
        kept, missing = match(self._instances, slots_of(configuration, self._space.device))
        created = self._create(missing, kept)
        removed = [instance for instance in self._instances if instance not in kept]
        for instance, slot in kept.items():
            instance.resize(slot)
        self._switch([*kept, *created])
        for instance in removed:
            instance.stop()
        if removed:
            give_back()
        self._apply_s, self._applied = clock() - began_s, configuration
        return Transition(len(kept), len(created), len(removed), self._apply_s)

    def measure(self, window_s: float) -> Measurement:
        """Load every tenant as its arrivals say, warm up, and measure one window of all instances.

        Raises:
            ConfigurationFailed: an instance was lost, or did not answer in time.
            RuntimeFault: nothing was applied, or the runtime is closed.
        """
        self._check_open()
        if not self._instances:
            raise RuntimeFault("measure: apply a configuration first")
        service = MeasuredService(
            self._instances,
            self._tenants,
            self._loads(),
            self._meter,
            self._options,
            getattr(self._factory, "free_mib", lambda: math.nan),
        )
        began_s = time.monotonic()
        try:
            measured = service.measure(window_s, self._apply_s)
        except ConfigurationFailed as error:
            raise ConfigurationFailed(placed(self._space, error.failure)) from error
        if self._readiness is not None and self._readiness.busy_since(began_s):
            measured = replace(measured, disturbed=True)
        assert self._applied is not None, "instances stand for an applied configuration"
        return with_agreement(measured, self._applied, self._agreements)

    def close(self) -> None:
        """Cancel the requests that wait, stop the instances, close the factory and the sensor."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for queue in self._queues:
            for request in queue.drain():
                request.future.cancel()
        if self._readiness is not None:
            self._readiness.close()
        for instance in self._instances:
            instance.stop()
        self._instances = []
        self._driver.close()
        self._factory.close()
        self._sensor.close()

    def _check(self, configuration: Configuration) -> None:
        """Raise ConfigurationFailed unless a configuration is valid and its engines are ready."""
        if configuration == self._reserve:
            return
        try:
            self._space.check(configuration)
        except ConfigurationError as error:
            raise ConfigurationFailed(Failure(FailureKind.INVALID, str(error))) from None
        if self._readiness is not None:
            for place in places_of(configuration):
                self._readiness.make_ready(place)

    def _switch(self, instances: list[Instance]) -> None:
        with self._lock:
            self._instances = instances
            self._max_waiting = [
                max(self._options.max_waiting, held) for held in self._requests_held()
            ]
            self._count_alive()
            # The last instance of a tenant may have been lost before it was counted.
            stranded = [
                (position, self._queues[position].drain())
                for position, alive in enumerate(self._alive)
                if not alive
            ]
        for position, waiting in stranded:
            reason = f"every instance of {self._tenants[position].name} was lost"
            refuse(waiting, ConfigurationFailed(Failure(FailureKind.INSTANCE_LOST, reason)))

    def _count_alive(self) -> None:
        """Count the instances of each tenant that serve; called under the lock after changes."""
        tenants = [instance.slot.tenant for instance in self._instances if instance.error is None]
        self._alive = [tenants.count(position) for position in range(len(self._tenants))]

    def _on_lost(self, instance: Instance) -> None:
        tenant = instance.slot.tenant
        with self._lock:
            self._count_alive()
            waiting = [] if self._alive[tenant] else self._queues[tenant].drain()
        refuse(waiting, instance.loss())

    def _create(self, slots: list[Slot], kept: dict[Instance, Slot]) -> list[Instance]:
        """Load the missing instances and prove the batches of the kept ones: all, or none."""
        created: list[Instance] = []
        try:
            for slot in slots:
                instance = self._load(slot)
                created.append(instance)
                instance.start()
            for instance, slot in kept.items():
                instance.prove(slot.batch)
        except BaseException as error:
            held = len(self._instances) + sum(each.error is None for each in created)
            for instance in created:
                instance.stop()
            if not isinstance(error, Exception):
                raise
            # Whatever failed (disk, driver, threads), the instances that serve go on.
            raise ConfigurationFailed(self._failure(error, slot, held)) from error
        return created

    def _failure(self, error: Exception, slot: Slot, held: int) -> Failure:
        """Return the failure of an instance that was to be created beside `held` others."""
        found = (
            error.failure
            if isinstance(error, ConfigurationFailed)
            else failure_of(error, f"{self._tenants[slot.tenant].network.name} cannot be loaded")
        )
        if found.kind is FailureKind.OUT_OF_MEMORY:
            found = replace(found, fitted=held)
        return placed(self._space, found, slot.place)

    def _load(self, slot: Slot) -> Instance:
        engine = self._factory.load(slot.tenant, slot.accelerator, slot.threads)
        network, queue = self._tenants[slot.tenant].network, self._queues[slot.tenant]
        instance: Instance
        if isinstance(engine, StreamEngine):
            instance = stream_instance(slot, engine, network, queue, self._on_lost, self._driver)
        else:
            instance = ThreadInstance(slot, engine, network, queue, self._on_lost)
        instance.answering = self._answering
        return instance

    def _loads(self) -> list[Load]:
        clients, seed = self._requests_held(), self._options.seed
        loads: list[Load] = []
        for i, tenant in enumerate(self._tenants):
            send, pool = partial(self.submit, i), self._pools[i]
            if self._options.outside:
                own = [instance for instance in self._instances if instance.slot.tenant == i]
                loads.append(OutsideLoad(self._queues[i], own))
            elif tenant.closed_loop:
                loads.append(ClosedLoop(send, pool, clients[i]))
            else:
                loads.append(PoissonLoad(send, pool, tenant.rate_ips, seed + i))
        return loads

    def _requests_held(self) -> list[int]:
        """Return [T] how many requests the instances of each tenant work on at once."""
        held = [0] * len(self._tenants)
        for instance in self._instances:
            held[instance.slot.tenant] += instance.slot.batch
        return held

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeFault("the runtime is closed")
