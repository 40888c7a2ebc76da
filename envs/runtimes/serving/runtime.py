"""A live runtime over any kind of engine: instances, their queues, load, and windows of measurement."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future
from functools import partial
from types import TracebackType

import numpy as np

from envs.errors import ConfigurationError, RuntimeFault
from envs.runtimes.protocol import Transition
from envs.runtimes.serving.instance import (
    EngineFactory,
    Instance,
    Slot,
    StreamEngine,
    failure_of,
    settle,
)
from envs.runtimes.serving.load import ClosedLoop, Load, OutsideLoad, PoissonLoad, sample_pool
from envs.runtimes.serving.measuring import Bench, ServingOptions
from envs.runtimes.serving.placement import slots_of
from envs.runtimes.serving.process_memory import give_back
from envs.runtimes.serving.queue import Answer, QueueFull, Request, RequestQueue, Sample, clock
from envs.runtimes.serving.streams import POLL_S, StreamDriver, StreamInstance
from envs.runtimes.serving.threads import ThreadInstance
from envs.spec.measurement import ConfigurationFailed, Failure, FailureKind, Measurement, Origin
from envs.spec.space import Configuration, ConfigurationSpace
from envs.telemetry.meter import PowerMeter
from envs.telemetry.protocol import Sensor


class ServingRuntime:
    """Serves a workload; `submit` is the one way in.

    Thread-safe for `submit`; `apply`, `measure` and `close` belong to one controlling thread. Requests that were accepted are
    answered across reconfigurations; at `close` those that still wait are cancelled. Engines with a stream of their own are driven by one
    thread, others by a thread each.

    Args:
        sensor: belongs to the runtime from now on, which closes it.
        poll_s: how long that one thread sleeps between two looks at what is in flight.
    """

    origin = Origin.MEASURED

    def __init__(
        self,
        space: ConfigurationSpace,
        factory: EngineFactory,
        sensor: Sensor,
        options: ServingOptions,
        poll_s: float = POLL_S,
    ) -> None:
        self._space = space
        self._factory = factory
        self._sensor = sensor
        self._meter = PowerMeter(sensor, options.power_interval_s)
        self._options = options
        self._driver = StreamDriver(poll_s)
        self._instances: list[Instance] = []
        self._queues = [RequestQueue(options.max_wait_ms / 1e3) for _ in space.workload.tenants]
        self._pools = [
            sample_pool(tenant.network, options.seed + i)
            for i, tenant in enumerate(space.workload.tenants)
        ]
        # What `submit` looks at each time, found once.
        self._names = space.workload.names
        self._tenants = space.workload.tenants
        self._wanted = [
            [(spec.shape, np.dtype(spec.dtype)) for spec in tenant.network.inputs]
            for tenant in self._tenants
        ]
        self._alive = [0] * len(self._tenants)
        self._room = [options.max_waiting] * len(self._tenants)
        self._apply_s = math.nan
        self._closed = False
        self._lock = threading.Lock()

    @property
    def space(self) -> ConfigurationSpace:
        return self._space

    @property
    def has_power(self) -> bool:
        return self._sensor.has_power

    def submit(
        self,
        tenant: str | int,
        inputs: Sample | dict[str, np.ndarray] | np.ndarray,
        arrival_s: float | None = None,
    ) -> Future[Answer]:
        """Ask for one inference.

        Args:
            tenant: its name, or its position.
            inputs: one sample, without the batch dimension: an array, or one an input by name or in order. Nothing is copied before the batch
                is put together: leave the arrays as they are until the answer has come.
            arrival_s: when it was due, on the clock of `time.perf_counter`; now, if not given.

        Returns:
            A future of {output name: array without the batch dimension}.

        Raises:
            RuntimeFault: the inputs are wrong, the runtime is closed, nobody is there to answer, or too many wait already (QueueFull).
        """
        position = self._position(tenant)
        request = Request(self._checked(position, inputs), arrival_s)
        with self._lock:
            if self._closed:
                raise RuntimeFault("submit: the runtime is closed")
            if not self._alive[position]:
                raise RuntimeFault(
                    f"submit: no instance of {self._tenants[position].name} is alive, apply a configuration first"
                )
            if (waiting := len(self._queues[position])) >= self._room[position]:
                raise QueueFull(
                    f"submit: {waiting} requests wait already for {self._tenants[position].name}, ask less often or raise serving.max_waiting"
                )
            self._queues[position].put(request)
        return request.future

    def apply(self, configuration: Configuration) -> Transition:
        """Change by difference: an instance whose tenant, accelerator and threads stay is kept, whatever its batch."""
        self._check_open()
        try:
            self._space.check(configuration)
        except ConfigurationError as error:
            raise ConfigurationFailed(Failure(FailureKind.INVALID, str(error))) from None
        began_s = clock()
        wanted = slots_of(configuration, self._space.device)
        kept, missing = self._match(wanted)
        created = self._create(missing, kept)
        removed = [instance for instance in self._instances if instance not in kept]
        for instance, slot in kept.items():
            instance.resize(slot)
        with self._lock:
            self._instances = [*kept, *created]
            self._room = [max(self._options.max_waiting, held) for held in self._held()]
            self._count_alive()
            # A last instance may have been lost before it counted.
            stranded = [
                (position, self._queues[position].drain())
                for position, alive in enumerate(self._alive)
                if not alive
            ]
        for position, waiting in stranded:
            reason = f"every instance of {self._tenants[position].name} was lost"
            self._refuse(waiting, ConfigurationFailed(Failure(FailureKind.INSTANCE_LOST, reason)))
        for instance in removed:
            instance.stop()
        if removed:
            give_back()
        self._apply_s = clock() - began_s
        return Transition(len(kept), len(created), len(removed), self._apply_s)

    def measure(self, window_s: float) -> Measurement:
        """Load every tenant as its arrivals say, warm up, and measure a window common to all instances."""
        self._check_open()
        if not self._instances:
            raise RuntimeFault("measure: apply a configuration first")
        bench = Bench(self._instances, self._tenants, self._loads(), self._meter, self._options)
        return bench.measure(window_s, self._apply_s)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for queue in self._queues:
            for request in queue.drain():
                request.future.cancel()
        for instance in self._instances:
            instance.stop()
        self._instances = []
        self._driver.close()
        self._factory.close()
        self._sensor.close()

    def __enter__(self) -> ServingRuntime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _position(self, tenant: str | int) -> int:
        names = self._names
        position = (
            tenant if isinstance(tenant, int) else names.index(tenant) if tenant in names else -1
        )
        if not 0 <= position < len(names):
            raise RuntimeFault(
                f"submit: no tenant is called {tenant!r}; there are {', '.join(names)}"
            )
        return position

    def _count_alive(self) -> None:
        """Instances that still serve, of each tenant; called under the lock whenever that may have changed."""
        tenants = [instance.slot.tenant for instance in self._instances if instance.error is None]
        self._alive = [tenants.count(position) for position in range(len(self._tenants))]

    def _on_lost(self, instance: Instance) -> None:
        """If that was the tenant's last instance, nobody would ever take what waits: say so to those who wait."""
        with self._lock:
            self._count_alive()
            waiting = (
                []
                if self._alive[instance.slot.tenant]
                else self._queues[instance.slot.tenant].drain()
            )
        self._refuse(waiting, instance.loss())

    @staticmethod
    def _refuse(waiting: list[Request], why: ConfigurationFailed) -> None:
        settle(
            [partial(request.future.set_exception, why) for request in waiting if request.begin()]
        )

    def _checked(
        self, position: int, inputs: Sample | dict[str, np.ndarray] | np.ndarray
    ) -> Sample:
        specs = self._tenants[position].network.inputs
        if isinstance(inputs, dict):
            missing = [spec.name for spec in specs if spec.name not in inputs]
            if missing:
                raise RuntimeFault(
                    f"submit: the input {missing[0]!r} of {self._tenants[position].name} is missing"
                )
            inputs = tuple(inputs[spec.name] for spec in specs)
        arrays = (
            tuple(np.asarray(each) for each in inputs)
            if isinstance(inputs, (tuple, list))
            else (np.asarray(inputs),)
        )
        if len(arrays) != len(specs):
            raise RuntimeFault(
                f"submit: {self._tenants[position].name} has {len(specs)} inputs, {len(arrays)} were given"
            )
        for (shape, dtype), spec, array in zip(self._wanted[position], specs, arrays, strict=True):
            if array.shape != shape or array.dtype != dtype:
                raise RuntimeFault(
                    f"submit: {spec.name} of {self._tenants[position].name} must be {spec.dtype} {list(spec.shape)} (one sample, no batch dimension), "
                    f"not {array.dtype} {list(array.shape)}"
                )
        return arrays

    def _match(self, wanted: list[Slot]) -> tuple[dict[Instance, Slot], list[Slot]]:
        """Which instances stay, with their new slots, and which slots have none; instances that lost their engine go."""
        free = [instance for instance in self._instances if instance.error is None]
        kept: dict[Instance, Slot] = {}
        missing = []
        for slot in wanted:
            fits = [instance for instance in free if instance.slot.engine_key == slot.engine_key]
            if fits:
                same = next(
                    (instance for instance in fits if instance.slot.batch == slot.batch), fits[0]
                )
                free.remove(same)
                kept[same] = slot
            else:
                missing.append(slot)
        return kept, missing

    def _create(self, slots: list[Slot], kept: dict[Instance, Slot]) -> list[Instance]:
        """Load what is missing and prove the batches of what stays. All or none: on failure what was loaded is released again."""
        created: list[Instance] = []
        try:
            for slot in slots:
                instance = self._load(slot)
                created.append(instance)
                instance.start()
            for instance, slot in kept.items():
                instance.prove(slot.batch)
        except BaseException as error:
            for instance in created:
                instance.stop()
            if isinstance(error, ConfigurationFailed) or not isinstance(error, Exception):
                raise
            # A full disk, a driver, no more threads: whatever it is, what serves goes on.
            raise ConfigurationFailed(
                failure_of(error, f"{self._tenants[slot.tenant].network.name} cannot be loaded")
            ) from error
        return created

    def _load(self, slot: Slot) -> Instance:
        engine = self._factory.load(slot.tenant, slot.accelerator, slot.threads)
        network, queue = self._tenants[slot.tenant].network, self._queues[slot.tenant]
        if isinstance(engine, StreamEngine):
            return StreamInstance(slot, engine, network, queue, self._on_lost, self._driver)
        return ThreadInstance(slot, engine, network, queue, self._on_lost)

    def _loads(self) -> list[Load]:
        if self._options.outside:
            return [
                OutsideLoad(partial(self._unanswered, position), partial(self._waits, position))
                for position in range(len(self._tenants))
            ]
        clients = self._held()
        loads: list[Load] = []
        for i, tenant in enumerate(self._tenants):
            send, pool = partial(self.submit, i), self._pools[i]
            loads.append(
                ClosedLoop(send, pool, clients[i])
                if tenant.closed_loop
                else PoissonLoad(send, pool, tenant.rate_ips, self._options.seed + i)
            )
        return loads

    def _held(self) -> list[int]:
        """[T] how many requests the instances of each tenant work on at once."""
        held = [0] * len(self._tenants)
        for instance in self._instances:
            held[instance.slot.tenant] += instance.slot.batch
        return held

    def _unanswered(self, tenant: int, start_s: float, end_s: float) -> list[float]:
        """When what this tenant was asked for in a span, and has not answered yet, was due."""
        return self._queues[tenant].due_between(start_s, end_s) + self._due_in_hand(
            tenant, start_s, end_s
        )

    def _waits(self, tenant: int, start_s: float, end_s: float) -> bool:
        return self._queues[tenant].any_due(start_s, end_s) or bool(
            self._due_in_hand(tenant, start_s, end_s)
        )

    def _due_in_hand(self, tenant: int, start_s: float, end_s: float) -> list[float]:
        own = [instance for instance in self._instances if instance.slot.tenant == tenant]
        return [
            request.arrival_s
            for instance in own
            for request in instance.in_hand()
            if start_s <= request.arrival_s < end_s
        ]

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeFault("the runtime is closed")
