"""The load of every tenant while a window is measured, generated as its arrivals say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from envs.accuracy.samples import Samples
from envs.arrays import NamedArrays
from envs.runtimes.serving.admission import Admission
from envs.runtimes.serving.load import (
    POOL,
    ClosedLoop,
    Load,
    OutsideLoad,
    PoissonLoad,
    pool_of,
    sample_pool,
)
from envs.spec import Tenant


class TenantLoads:
    """Generates requests of all tenants, or counts those that come from outside.

    Args:
        tenants: [T].
        samples: [T], which are sent; None, for a tenant or at all, for invented ones.
        seed: of invented samples and of arrivals.
        outside: whether other programs bring the requests.
    """

    def __init__(
        self,
        tenants: Sequence[Tenant],
        samples: Sequence[Samples | None] | None,
        seed: int,
        outside: bool,
    ) -> None:
        self._tenants, self._seed, self._outside = tenants, seed, outside
        self._pools = [
            sample_pool(tenant.network, seed + i) if given is None else pool_of(given, POOL)
            for i, (tenant, given) in enumerate(
                zip(tenants, samples or [None] * len(tenants), strict=True)
            )
        ]

    def of(self, admission: Admission, submit: Callable[..., Future[NamedArrays]]) -> list[Load]:
        """Return [T] the load on the instances that serve now.

        Args:
            admission: has the instances and the queues.
            submit: of the runtime; takes the tenant first.
        """
        clients = admission.requests_held()
        loads: list[Load] = []
        for i, tenant in enumerate(self._tenants):
            send, pool = partial(submit, i), self._pools[i]
            if self._outside or not clients[i]:  # nothing is sent to a tenant without an instance
                own = [each for each in admission.instances if each.slot.tenant == i]
                loads.append(OutsideLoad(admission.queues[i], own))
            elif tenant.closed_loop:
                loads.append(ClosedLoop(send, pool, clients[i]))
            else:
                loads.append(PoissonLoad(send, pool, tenant.rate_ips, self._seed + i))
        return loads
