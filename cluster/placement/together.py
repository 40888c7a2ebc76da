"""Applications placed together: nodes are emptied and filled anew while that hosts more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from cluster.placement.nodes import Application
from cluster.placement.ours import Goal, OneMore, class_of
from cluster.placement.policies import host
from cluster.placement.state import ClusterState

#: How much memory counts beside the places: `place_together` tries all of these.
MEMORY_WEIGHTS = (0.05, 0.3, 1.0, 3.0)

#: Rounds in which `place_together` empties nodes, up to so many at once, and fills them anew, and
#: by how much costs scatter then.
ROUNDS, EMPTIED, SCATTER = 1000, 3, 0.5

#: Priority and cost of applications that are placed alike.
Ranks = dict[tuple[str, float, float, int, int], tuple[int, float]]


def place_together(
    state: ClusterState,
    applications: Iterable[Application],
    goal: Goal = Goal.HOSTED,
    rounds: int = ROUNDS,
) -> list[Application]:
    """Place applications all at once on an empty cluster; return those that found no room.

    By priority, and of one priority whoever costs least goes first, with several weights of memory.
    The best of these placements is then ruined and recreated (Schrimpf et al., Journal of
    Computational Physics 159, 2000): one to three nodes are emptied and filled anew, from all that
    is not placed, in an order that scatters; what is not worse stays.

    Args:
        state: of the cluster, where nothing is placed.
        applications: all of them.
        goal: what comes first.
        rounds: of emptying nodes, while one is left out or `goal` is power.
    """
    waiting = list(applications)
    if not waiting:
        return []
    # The least power for one application may take the room of others: both orders are tried.
    policies = [
        OneMore(state, waiting, first, memory_weight=each)
        for first in dict.fromkeys((goal, Goal.HOSTED))
        for each in MEMORY_WEIGHTS
    ]
    ranks = _ranks(state, waiting, policies)
    rng = np.random.default_rng(0)
    best: tuple[tuple[float, ...], ClusterState, list[Application]] | None = None
    for policy, rank in zip(policies, ranks, strict=True):
        trial = ClusterState(state.nodes, state.rules)
        order = sorted(waiting, key=lambda each: rank[class_of(each)])
        left = [each for each in order if not host(trial, each, policy)]
        loss = _loss(waiting, left, trial)
        if best is None or loss < best[0]:
            best = loss, trial, left
    assert best is not None
    for name, spots in best[1].spots.items():
        state.add(best[1].applications[name], spots)
    left = best[2]
    for _ in range(rounds):
        if not left and goal is Goal.HOSTED:
            break
        which = int(rng.integers(len(policies)))
        left = _recreated(state, waiting, left, policies[which], ranks[which], rng)
    return left


def _recreated(
    state: ClusterState,
    applications: Sequence[Application],
    left: list[Application],
    policy: OneMore,
    rank: Ranks,
    rng: np.random.Generator,
) -> list[Application]:
    """Empty some nodes and fill them anew; return what is left out, not more than before."""
    before = _loss(applications, left, state)
    count = min(int(rng.integers(1, EMPTIED + 1)), len(state.nodes))
    nodes = rng.choice(len(state.nodes), count, replace=False)
    names = list(dict.fromkeys(name for node in nodes for name in state.hosted(int(node))))
    old = {name: state.spots[name] for name in names}
    pool = [state.remove(name) for name in names] + left
    factors = np.exp(SCATTER * rng.standard_normal(len(pool)))
    keys = [
        (rank[class_of(each)][0], rank[class_of(each)][1] * factor)
        for each, factor in zip(pool, factors, strict=True)
    ]
    order = [pool[each] for each in sorted(range(len(keys)), key=keys.__getitem__)]
    now = [each for each in order if not host(state, each, policy)]
    if _loss(applications, now, state) <= before:
        return now
    for each in pool:
        if each.name in state.spots:
            state.remove(each.name)
    for each in pool:
        if each.name in old:
            state.add(each, old[each.name])
    return left


def _ranks(
    state: ClusterState, applications: Sequence[Application], policies: Sequence[OneMore]
) -> list[Ranks]:
    """Return for each policy the order of the applications: priority, then cost when empty."""
    found: list[Ranks] = []
    for policy in policies:
        ranks: Ranks = {}
        for each in applications:
            if class_of(each) not in ranks:
                cheapest = policy.best(state, each)
                ranks[class_of(each)] = -each.priority, cheapest[0] if cheapest else np.inf
        found.append(ranks)
    return found


def _loss(
    applications: Sequence[Application], left: Sequence[Application], state: ClusterState
) -> tuple[float, ...]:
    """Return what is to be small: left out of each priority, the highest first, then power."""
    levels = sorted({each.priority for each in applications}, reverse=True)
    out = Counter(each.priority for each in left)
    return (*(out[level] for level in levels), float(np.nan_to_num(state.watts())))
