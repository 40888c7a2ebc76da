"""Judge what fits on a place, by three numbers of what is there already.

**A shared place** (GPU). The mean time of a batch of size s is s / (1 - rho), so that a budget b
for it allows a load of 1 - s / b. For the 99th percentile the number of others is geometric,
P(n or more) = rho^n, and a short batch takes s (1 + n): s (1 + ln 0.01 / ln rho) <= b gives
rho <= 0.01^(1 / (b / s - 1)). Longer batches see others come and go, and are late less often
(`cluster.queueing.sharing_late_s`), so that this never promises too much.

**First come, first served** (DLA, Edge TPU). With m2 the sum of rate times size squared, the mean
wait is m2 / (2 (1 - rho)); the wait of the latest 1 % is that over rho, times ln(100 rho). Either
is at most the slack b - s where m2 <= slack g(rho).

So a place is its load, its m2, and the tightest of its batches: the least load allowed, or the
least slack. What a place is filled to is 1 where one of the conditions is an equality.
"""

import math

import numpy as np

from cluster.placement.nodes import Application, Engine, NodeKind, Place, Rules
from cluster.queueing.sharing import LATE
from envs.arrays import BoolArray, FloatArray

#: How much of an application's limit a batch may wait for more requests, at most.
GATHER_SHARE = 0.25

#: How much longer than the mean gathering of a full batch one may wait for it.
GATHER_PATIENCE = 1.5

#: Rounding: a place is full above this.
FULL = 1.0 + 1e-9


def gather_s(application: Application, batch: int) -> float:
    """Return the most that a batch of an application waits for more requests, in s."""
    filled = GATHER_PATIENCE * (batch - 1) * application.replicas / application.rate_ips
    return min(filled, GATHER_SHARE * application.limit_s)


def mean_batch(rate_ips: float, batch: int, wait_s: float) -> float:
    """Return the mean number of requests of a batch that is full or has waited, exactly.

    It is E[min(batch, 1 + M)] with M Poisson, see `cluster.queueing.batching_with_wait`.
    """
    mean = rate_ips * wait_s
    chance, reached, total = math.exp(-mean), 1.0, 1.0
    for number in range(1, batch):
        reached -= chance  # P(M >= number)
        total += max(reached, 0.0)
        chance *= mean / number
    return total


def front_end_time_s(rate_ips: float, kind: NodeKind, rules: Rules) -> float:
    """Return the time of a request at its front end, infinite where that is used too much."""
    load = rate_ips * kind.front_end_s
    if load > rules.load:
        return math.inf
    if not rules.late or load < LATE:
        return kind.front_end_s / (1.0 - load)
    return kind.front_end_s * (1.0 + math.log(LATE) / math.log(load))


def budget_s(application: Application, engine: Engine, kind: NodeKind, rules: Rules) -> float:
    """Return what is left of an application's limit for its batch on the place, in s."""
    rate = application.rate_ips / application.replicas
    front = front_end_time_s(rate, kind, rules)
    limit = (1.0 - rules.reserve) * application.limit_s
    return limit - rules.network_s - front - gather_s(application, engine.batch)


def tightness(place: Place, size_s: float, budget: float, rules: Rules) -> float:
    """Return the load that a batch allows on a shared place, or the slack [s] it leaves elsewhere.

    It is 0 or less where the batch does not keep its budget on a place of its own.
    """
    if not budget > size_s:
        return 0.0
    if not place.shared:
        return budget - size_s
    if not rules.late:
        return 1.0 - size_s / budget
    spare = budget / size_s - 1.0
    return float(LATE ** (1.0 / spare)) if spare > 0 else 0.0


def filled(
    shared: BoolArray, load: FloatArray, second_s: FloatArray, tight: FloatArray, rules: Rules
) -> FloatArray:
    """Return how full places are [...]: above 1 somebody's limit, or the load, is not kept.

    Args:
        shared: [...] True for a GPU.
        load: [...] sum of rate times size.
        second_s: [...] sum of rate times size squared.
        tight: [...] least tightness of what is there.
        rules: what must hold.
    """
    by_load = load / rules.load
    never, tight = tight <= 0, np.where(tight > 0, tight, 1.0)
    idle = np.maximum(1.0 - load, 1e-12)
    if rules.late:
        late = np.log(np.maximum(load / LATE, 1.0)) / np.maximum(load, LATE)
        waited = second_s * late / (2.0 * idle)
    else:
        waited = second_s / (2.0 * idle)
    by_limit = np.where(never, np.inf, np.where(shared, load, waited) / tight)
    return np.asarray(np.maximum(by_load, by_limit))
