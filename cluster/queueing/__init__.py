"""Closed forms of the time that requests stay at the places of a node, on arrays.

Classes of requests (one for each network or application) are the last axis J; all axes before it
are cases computed at once. Arrivals are Poisson. Times are seconds, rates requests a second. A
place that gets more work than it can do has infinite times; a class without arrivals has the time
that one request of it would take.
"""

from cluster.queueing.batching import Batched, batching_with_wait
from cluster.queueing.first_come import (
    chance_of_swap,
    first_come_late_s,
    first_come_s,
    load_with_swaps,
)
from cluster.queueing.front_end import front_end_s
from cluster.queueing.mixtures import best_split, late_mixture_s, mixture_s
from cluster.queueing.sharing import (
    load_of,
    sharing_by_mean_size_s,
    sharing_late_s,
    sharing_s,
    sharing_variance_s2,
)

__all__ = [
    "Batched",
    "batching_with_wait",
    "best_split",
    "chance_of_swap",
    "first_come_late_s",
    "first_come_s",
    "front_end_s",
    "late_mixture_s",
    "load_of",
    "load_with_swaps",
    "mixture_s",
    "sharing_by_mean_size_s",
    "sharing_late_s",
    "sharing_s",
    "sharing_variance_s2",
]
