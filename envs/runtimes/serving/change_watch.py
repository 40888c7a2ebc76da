"""Count the requests that a change of configuration delays, live."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from envs.runtimes.serving.instance import Instance
from envs.runtimes.serving.queue import RequestQueue, clock


class ChangeWatch:
    """Looks at the requests that are due while a change lasts.

    A request is delayed if its answer takes longer than the 99th percentile of the window before
    the change. All of a tenant without such a window count.

    Args:
        instances: those that serve before the change.
        p99_ms: [T] of the window before the change; NaN for a tenant that was not served.
    """

    def __init__(self, instances: Iterable[Instance], p99_ms: Sequence[float]) -> None:
        self._usual_s = [0.0 if math.isnan(each) else each / 1e3 for each in p99_ms]
        self._instances = list(instances)
        for instance in self._instances:
            instance.log = []
        self._began_s = clock()

    def ended(self, created: Iterable[Instance], queues: Sequence[RequestQueue]) -> int:
        """Return how many requests were delayed until now, and watch no more.

        Args:
            created: instances that came with the change.
            queues: [T], where requests wait.
        """
        now_s, count = clock(), 0
        for instance in (*self._instances, *created):
            log, instance.log = list(instance.log or ()), None
            tenant = instance.slot.tenant
            took_s = [
                record.end_s - arrival_s
                for record in log
                for arrival_s in record.arrivals_s
                if self._began_s <= arrival_s <= now_s
            ]
            waiting_s = [now_s - request.arrival_s for request in instance.current_requests()]
            count += self._late(tenant, (*took_s, *waiting_s))
        for tenant, queue in enumerate(queues):
            due_s = queue.due_between(self._began_s, now_s)
            count += self._late(tenant, [now_s - arrival_s for arrival_s in due_s])
        return count

    def _late(self, tenant: int, latencies_s: Iterable[float]) -> int:
        return sum(latency_s > self._usual_s[tenant] for latency_s in latencies_s)
