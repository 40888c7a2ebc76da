"""Let requests in: into the queue of their tenant, while one of its instances is alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from envs.errors import RuntimeFault
from envs.runtimes.serving.instance import Instance, refuse
from envs.runtimes.serving.queue import QueueFull, Request, RequestQueue, clock
from envs.spec import ConfigurationFailed, Failure, FailureKind, Tenant

#: How often to look whether what was accepted has been served [s].
LOOK_S = 0.002


class Admission:
    """Holds the queues of all tenants, and the instances that serve from them.

    `submit` and `lost` are thread-safe; the controlling thread calls everything else.

    Args:
        tenants: [T].
        max_wait_s: how long the first request of a batch waits for others.
        max_waiting: so many requests of a tenant may wait, or as many as its instances hold.

    Attributes:
        queues: [T].
        instances: those that serve.
    """

    def __init__(self, tenants: Sequence[Tenant], max_wait_s: float, max_waiting: int) -> None:
        self._tenants, self._least_waiting = tenants, max_waiting
        self._alive = [0] * len(tenants)
        self._max_waiting = [max_waiting] * len(tenants)
        self._closed = False
        self._leaving: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self.queues = [RequestQueue(max_wait_s) for _ in tenants]
        self.instances: list[Instance] = []

    def submit(self, tenant: int, request: Request) -> None:
        """Let a request in.

        Raises:
            RuntimeFault: this is closed, no instance is alive, or too many requests wait already
                (QueueFull).
        """
        with self._lock:
            if self._closed:
                raise RuntimeFault("submit: the runtime is closed")
            if not self._alive[tenant]:
                raise RuntimeFault(
                    f"submit: no instance of {self._tenants[tenant].name} is alive, "
                    "apply a configuration first"
                )
            if (waiting := len(self.queues[tenant])) >= self._max_waiting[tenant]:
                raise QueueFull(
                    f"submit: {waiting} requests wait already for {self._tenants[tenant].name}, "
                    "ask less often or raise serving.max_waiting"
                )
            self.queues[tenant].put(request)

    def let_leave(self, staying: Collection[int], timeout_s: float) -> None:
        """Accept nothing more of tenants that are about to lose their instances.

        What they accepted before is served to its end, which this waits for.

        Args:
            staying: the tenants that are served on.
            timeout_s: how long to wait at most; what is left then is refused by `serve`.
        """
        with self._lock:
            served = {instance.slot.tenant for instance in self.instances}
            self._leaving = frozenset(served.difference(staying))
            self._count_alive()
        deadline_s = clock() + timeout_s
        while clock() < deadline_s and any(len(self.queues[tenant]) for tenant in self._leaving):
            time.sleep(LOOK_S)

    def serve(self, instances: list[Instance]) -> None:
        """Let these instances serve from now on; refuse what waits for a tenant without any."""
        with self._lock:
            self.instances, self._leaving = instances, frozenset()
            self._max_waiting = [max(self._least_waiting, held) for held in self.requests_held()]
            self._count_alive()
            # The last instance of a tenant may have been lost before it was counted.
            stranded = [
                (position, self.queues[position].drain())
                for position, alive in enumerate(self._alive)
                if not alive
            ]
        for position, waiting in stranded:
            reason = f"every instance of {self._tenants[position].name} was lost"
            refuse(waiting, ConfigurationFailed(Failure(FailureKind.INSTANCE_LOST, reason)))

    def lost(self, instance: Instance) -> None:
        """Refuse what waits for the tenant of a lost instance, if it was its last one."""
        tenant = instance.slot.tenant
        with self._lock:
            self._count_alive()
            waiting = [] if self._alive[tenant] else self.queues[tenant].drain()
        refuse(waiting, instance.loss())

    def requests_held(self) -> list[int]:
        """Return [T] how many requests the instances of each tenant work on at once."""
        held = [0] * len(self._tenants)
        for instance in self.instances:
            held[instance.slot.tenant] += instance.slot.batch
        return held

    def check_open(self) -> None:
        """Raise RuntimeFault if this is closed."""
        if self._closed:
            raise RuntimeFault("the runtime is closed")

    def close(self) -> bool:
        """Let nothing in any more, and cancel what waits; return False if that was done before."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
        for queue in self.queues:
            for request in queue.drain():
                request.future.cancel()
        return True

    def _count_alive(self) -> None:
        """Count the instances of each tenant that serve; called under the lock after changes."""
        alive = [instance.slot.tenant for instance in self.instances if instance.error is None]
        tenants = [tenant for tenant in alive if tenant not in self._leaving]
        self._alive = [tenants.count(position) for position in range(len(self._tenants))]
