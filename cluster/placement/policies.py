"""Policies that place applications as they come: by memory alone, and those of Ibis.

A policy is a function of a cluster, an application and the nodes that its other replicas have
taken; it returns a spot or None. `place_all` asks it for one application after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np

from cluster.placement.nodes import Application
from cluster.placement.state import ClusterState, Demand, KindState, Spot

Policy = Callable[[ClusterState, Application, Collection[int]], Spot | None]


def host(state: ClusterState, application: Application, policy: Policy) -> bool:
    """Place all replicas of an application on nodes of their own; return False if one finds none.

    Nothing is changed then.
    """
    spots: list[Spot] = []
    for _ in range(application.replicas):
        spot = policy(state, application, [each.node for each in spots])
        if spot is None:
            return False
        spots.append(spot)
    state.add(application, spots)
    return True


def place_all(
    state: ClusterState, applications: Iterable[Application], policy: Policy
) -> list[Application]:
    """Place applications in their order, and return those that found no room."""
    return [each for each in applications if not host(state, each, policy)]


def by_name(
    state: ClusterState, application: Application, taken: Collection[int]
) -> list[tuple[int, KindState, int, Demand]]:
    """Return the nodes that serve a network at all, by name, without those that are taken."""
    found = []
    for number in sorted(range(len(state.nodes)), key=lambda each: state.nodes[each].name):
        kind, row = state.where(number)
        demand = kind.demand(application)
        if demand is not None and number not in taken:
            found.append((number, kind, row, demand))
    return found


def _by_memory(order: Callable[[float], float]) -> Policy:
    """Return a policy that takes the node with the least `order` of the memory left over."""

    def choose(
        state: ClusterState, application: Application, taken: Collection[int]
    ) -> Spot | None:
        best: tuple[float, Spot] | None = None
        for number, kind, row, demand in by_name(state, application, taken):
            enough = kind.has_memory(demand, np.array([row]))[0] & (_plain(demand))
            if not enough.any():
                continue
            # Memory says nothing of accelerators: the one with the least to do is taken.
            engine = int(
                np.where(enough, kind.fill_after(demand, np.array([row]))[0], np.inf).argmin()
            )
            after = kind.memory_after(demand, np.array([row]))[0, engine]
            left = state.rules.memory * kind.kind.memory_mib - float(after)
            if best is None or order(left) < best[0]:
                best = order(left), Spot(number, engine)
        return best[1] if best else None

    return choose


#: The first node by name that has the memory.
first_fit = _by_memory(lambda left: 0.0)

#: The node with the least memory left over.
best_fit = _by_memory(lambda left: left)

#: The node with the most memory left over.
worst_fit = _by_memory(lambda left: -left)


def knapsack(state: ClusterState, applications: Iterable[Application]) -> list[Application]:
    """Host as many applications as memory allows, small ones first; return those left out.

    Each goes to the node with the least memory left over. It knows neither loads nor limits.
    """

    def size_mib(application: Application) -> float:
        demands = [kind.demand(application) for kind in state.kinds]
        return min(
            (float(each.engine_mib[_plain(each)].min()) for each in demands if each is not None),
            default=np.inf,
        )

    return place_all(state, sorted(applications, key=size_mib), best_fit)


def depth_first(
    state: ClusterState, application: Application, taken: Collection[int]
) -> Spot | None:
    """Return a spot as Ibis consolidates: a node with the network, else the first one by name."""
    fitting = _fitting(state, application, taken)
    return _with_network(fitting) or (fitting[0][0] if fitting else None)


def breadth_first(
    state: ClusterState, application: Application, taken: Collection[int]
) -> Spot | None:
    """Return a spot as Ibis spreads: a node with the network, an idle one, the least loaded one."""
    fitting = _fitting(state, application, taken)
    least = min(fitting, key=lambda each: each[2])[0] if fitting else None
    return _with_network(fitting) or least


def _fitting(
    state: ClusterState, application: Application, taken: Collection[int]
) -> list[tuple[Spot, bool, float]]:
    """Return the spots where all rules are kept, by name of the node, with its place by Ibis.

    Of several accelerators it is the one whose load grows least. Requests are not gathered. Beside
    each spot stands whether another application shares the network's engine there, which only
    counts where engines are shared, and the load of the node.
    """
    found = []
    for number, kind, row, demand in by_name(state, application, taken):
        fits = kind.fits(demand, np.array([row]))[0] & _plain(demand)
        if not fits.any():
            continue
        engine = int(np.where(fits, demand.load, np.inf).argmin())
        has = state.rules.shared_engines and kind.present[row, demand.numbers[engine]] > 0
        found.append((Spot(number, engine), bool(has), float(kind.load[row].sum())))
    return found


def _with_network(fitting: list[tuple[Spot, bool, float]]) -> Spot | None:
    """Return the first of these spots where the network is already; None where it is nowhere."""
    return next((spot for spot, has_network, _ in fitting if has_network), None)


def _plain(demand: Demand) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return True [O] for engines without batches, which is all that these policies know."""
    return np.array([each.batch == 1 for each in demand.engines])
