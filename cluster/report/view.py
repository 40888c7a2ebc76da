"""Tell what a placement looks like, as plain data for a table or a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.placement.feasibility import FULL, filled
from cluster.placement.nodes import Application
from cluster.placement.state import ClusterState, KindState
from cluster.simulate.plan import Stay
from envs.arrays import FloatArray

#: Nodes that are shown one by one at most.
MOST_NODES = 60


@dataclass(frozen=True)
class BarView:
    """One place of a node, or its memory.

    Attributes:
        name: such as `gpu` or `memory`.
        parts: applications with the share of the whole that each takes.
        limit: share up to which it may be used.
        full: how full it is by the limit that is nearest, 1 is at the limit; that is the latency of
            somebody, the load or the memory.
    """

    name: str
    parts: tuple[tuple[str, float], ...]
    limit: float
    full: float

    @property
    def used(self) -> float:
        """Return the share that is used."""
        return sum(share for _, share in self.parts)


@dataclass(frozen=True)
class NodeView:
    """One node.

    Attributes:
        name, kind: of the node.
        bars: its places, then its memory.
        late: applications on it that are late.
    """

    name: str
    kind: str
    bars: tuple[BarView, ...]
    late: tuple[str, ...]


@dataclass(frozen=True)
class KindView:
    """All nodes of one kind.

    Attributes:
        name: of the kind.
        nodes: how many there are.
        used: how many host something.
        hosted: replicas on them.
        load: by place, mean load over all nodes.
        memory: mean share of the memory in use.
        full: the 10th, 50th and 90th percentile of how full nodes are.
    """

    name: str
    nodes: int
    used: int
    hosted: int
    load: Mapping[str, float]
    memory: float
    full: tuple[float, float, float]


@dataclass(frozen=True)
class HostedView:
    """One application that is hosted.

    Attributes:
        application: itself.
        where: node, place and batch size of each replica.
        p99_s: of its requests, one by one; NaN where none were simulated.
        is_late: True if that is above its limit; where none were simulated, if the place that
            serves it is filled above what rules and limits allow.
    """

    application: Application
    where: tuple[tuple[str, str, int], ...]
    p99_s: float
    is_late: bool


@dataclass(frozen=True)
class PlacementView:
    """A placement.

    Attributes:
        kinds: in the order of the cluster.
        nodes: those that are shown: with late applications first, then the fullest of each kind.
        hosted: late ones first, then in the order in which they were placed.
        waiting: applications that found no room.
        watts: power above that of idle nodes.
    """

    kinds: tuple[KindView, ...]
    nodes: tuple[NodeView, ...]
    hosted: tuple[HostedView, ...]
    waiting: tuple[Application, ...]
    watts: float

    @property
    def late(self) -> tuple[HostedView, ...]:
        """Return the applications that are late."""
        return tuple(each for each in self.hosted if each.is_late)


def view_of(
    state: ClusterState,
    waiting: Sequence[Application],
    stays: Mapping[str, Stay] | None = None,
    most_nodes: int = MOST_NODES,
) -> PlacementView:
    """Return what a placement looks like.

    Args:
        state: of the cluster.
        waiting: applications that found no room.
        stays: what requests of applications took, see `cluster.simulate.plan`; perhaps not of all.
        most_nodes: that are shown one by one.
    """
    fullness = [_fullness(kind) for kind in state.kinds]
    over = {
        (int(kind.numbers[row]), kind.kind.places[at].name)
        for kind in state.kinds
        for row, at in zip(*np.nonzero(_places(kind) > FULL + 1e-6), strict=True)
    }
    hosted = [_hosted(state, name, over, stays or {}) for name in state.spots]
    hosted.sort(key=lambda each: not each.is_late)
    late = {each.application.name for each in hosted if each.is_late}
    shown = _shown(state, fullness, late, most_nodes)
    return PlacementView(
        tuple(_kind(state, *each) for each in zip(state.kinds, fullness, strict=True)),
        tuple(_node(state, number, late) for number in shown),
        tuple(hosted),
        tuple(waiting),
        float(np.nan_to_num(state.watts())),
    )


def fullest(state: ClusterState, most: int) -> list[int]:
    """Return the numbers of the fullest nodes that host something, shared among the kinds."""
    return _shown(state, [_fullness(kind) for kind in state.kinds], set(), most)


def _fullness(kind: KindState) -> FloatArray:
    """Return how full each node [E] is by the limit that is nearest; 0 where it hosts nothing."""
    memory = kind.used_mib / (kind.rules.memory * kind.kind.memory_mib)
    return np.asarray(np.maximum(_places(kind).max(axis=1, initial=0.0), memory))


def _places(kind: KindState) -> FloatArray:
    """Return how full each place of each node is, [E, A]."""
    full = filled(kind.shared, kind.load, kind.second_s, kind.tight, kind.rules)
    return np.where(kind.load > 0, full, 0.0)


def _shown(
    state: ClusterState, fullness: Sequence[FloatArray], late: set[str], most: int
) -> list[int]:
    chosen = {spot.node: None for name in late for spot in state.spots[name]}
    left, kinds = list(chosen)[:most], len(state.kinds)
    # The kinds with the fewest nodes in use come first, so that the others get what they leave.
    pairs = sorted(zip(state.kinds, fullness, strict=True), key=lambda each: (each[1] > 0).sum())
    for at, (kind, full) in enumerate(pairs):
        share = max((most - len(left)) // (kinds - at), 0)
        order = [
            int(kind.numbers[row]) for row in np.argsort(-full, kind="stable") if full[row] > 0
        ]
        left += [number for number in order if number not in chosen][:share]
    return left


def _kind(state: ClusterState, kind: KindState, full: FloatArray) -> KindView:
    used = kind.present.sum(axis=1) > 0
    low, middle, high = (float(each) for each in np.percentile(full, (10, 50, 90)))
    return KindView(
        kind.kind.name,
        len(kind.numbers),
        int(used.sum()),
        int(kind.present.sum()),
        {
            place.name: float(load)
            for place, load in zip(kind.kind.places, kind.load.mean(axis=0), strict=True)
        },
        float(kind.used_mib.mean() / kind.kind.memory_mib),
        (low, middle, high),
    )


def _node(state: ClusterState, number: int, late: set[str]) -> NodeView:
    kind, row = state.where(number)
    hosted = state.hosted(number)
    full = filled(kind.shared, kind.load[row], kind.second_s[row], kind.tight[row], kind.rules)
    parts: list[list[tuple[str, float]]] = [[] for _ in kind.kind.places]
    memory, seen = list[tuple[str, float]](), set[int]()
    for name, engine in hosted.items():
        demand = kind.demand(state.applications[name])
        assert demand is not None
        parts[demand.place[engine]].append((name, float(demand.load[engine])))
        mib, own = kind.kind.front_end_mib, int(demand.numbers[engine])
        if not (kind.rules.shared_engines and own in seen):
            mib += float(demand.engine_mib[engine])
        seen.add(own)
        memory.append((name, mib / kind.kind.memory_mib))
    bars = [
        BarView(place.name, tuple(own), kind.rules.load, float(full[at]) if own else 0.0)
        for at, (place, own) in enumerate(zip(kind.kind.places, parts, strict=True))
    ]
    share = float(kind.used_mib[row]) / kind.kind.memory_mib
    bars.append(BarView("memory", tuple(memory), kind.rules.memory, share / kind.rules.memory))
    return NodeView(
        state.nodes[number].name,
        kind.kind.name,
        tuple(bars),
        tuple(name for name in hosted if name in late),
    )


def _hosted(
    state: ClusterState, name: str, over: set[tuple[int, str]], stays: Mapping[str, Stay]
) -> HostedView:
    application, where, late = state.applications[name], [], False
    for node, engine in state.spots[name]:
        own = state.where(node)[0].kind.engines[application.network][engine]
        where.append((state.nodes[node].name, own.place, own.batch))
        late |= (node, own.place) in over
    stay = stays.get(name)
    if stay is not None:
        late = not stay.keeps(application, state.rules.late)
    took_s = math.nan if stay is None else stay.p99_s if state.rules.late else stay.mean_s
    return HostedView(application, tuple(where), took_s, late)
