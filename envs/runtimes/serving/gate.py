"""Let best effort run only while critical requests leave a part of a resource free.

Each request of a critical tenant announces itself when it is accepted, and leaves when it has its
answer. Instances of best effort look at the gate before each batch and between the segments of
their networks, and wait there. They get what is left, which may be nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from envs.runtimes.serving.instance import Instance, Slot
from envs.spec import ConfigurationSpace, Kind

#: A waiting instance looks at its own flag to stop at least this often [s].
LOOK_S = 0.5


class Gate:
    """Closed while critical requests take all of a resource, or of one of several.

    Args:
        capacity: threads that compute at once: the cores of a processor, 1 for a GPU or a DLA, and
            for both of them together.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._slots: dict[int, list[Slot]] = {}
        self._requests: dict[int, int] = {}
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Return True while best effort has to wait."""
        taken = 0
        with self._changed:
            for tenant, requests in self._requests.items():
                for slot in self._slots.get(tenant, ()):
                    if requests <= 0:
                        break
                    taken += slot.threads
                    requests -= slot.batch
        return taken >= self._capacity

    def serve(self, slots: Sequence[Slot]) -> None:
        """Take these as the critical instances that use the resource from now on."""
        with self._changed:
            self._slots = {}
            for slot in slots:
                self._slots.setdefault(slot.tenant, []).append(slot)
            self._changed.notify_all()

    def count(self, tenant: int, change: int) -> None:
        """Change the number of critical requests of a tenant that wait or run."""
        with self._changed:
            self._requests[tenant] = self._requests.get(tenant, 0) + change
            if change < 0 and not self.closed:
                self._changed.notify_all()

    def wake(self) -> None:
        """Let those that wait look again whether they have to stop."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, stopping: Callable[[], bool]) -> None:
        """Wait until the gate is open, or until `stopping()`."""
        with self._changed:
            while self.closed and not stopping():
                self._changed.wait(LOOK_S)


class Gates:
    """The gates of a device's resources; there are none where no tenant is best effort.

    Args:
        space: names the tenants that are best effort, and the accelerators.
    """

    def __init__(self, space: ConfigurationSpace) -> None:
        self._best_effort = space.workload.best_effort
        self._resources = [frozenset(each.resources) for each in space.device.accelerators]
        #: By the resources that an instance draws on: of a mapping, those of all its parts.
        self._gates: dict[frozenset[str], Gate] = {}
        if any(self._best_effort):
            self._gates = {
                frozenset(each.resources): Gate(space.device.cores if each.kind is Kind.CPU else 1)
                for each in space.device.accelerators
            }

    def of(self, slot: Slot) -> Gate | None:
        """Return the gate that an instance gives way at; None for one that does not."""
        if not self._best_effort[slot.tenant]:
            return None
        return self._gates[self._resources[slot.accelerator]]

    def serve(self, instances: Sequence[Instance]) -> None:
        """Take these as the instances that serve from now on.

        One on a mapping closes the gates of all its resources, since nobody asks the device which
        part it has come to; best effort on a mapping gives way to whoever uses one of its.
        """
        critical = [each.slot for each in instances if not self._best_effort[each.slot.tenant]]
        for resources, gate in self._gates.items():
            gate.serve([slot for slot in critical if self._resources[slot.accelerator] & resources])

    @contextlib.contextmanager
    def announced(self, tenant: int, future: Future[Any]) -> Iterator[None]:
        """Announce a request that the block submits, until its future is done.

        A request of best effort closes no gate. If the block raises, the future is cancelled.
        """
        if self._gates and not self._best_effort[tenant]:
            for gate in self._gates.values():
                gate.count(tenant, 1)
            future.add_done_callback(lambda _: self._leave(tenant))
        try:
            yield
        except BaseException:
            future.cancel()
            raise

    def _leave(self, tenant: int) -> None:
        for gate in self._gates.values():
            gate.count(tenant, -1)
