"""A node that goes: its applications are placed anew by priority, and nobody else moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cluster.placement.nodes import Application
from cluster.placement.policies import Policy
from cluster.placement.state import ClusterState, Spot


class Aftermath(NamedTuple):
    """Tell what became of the applications after a node went, by name.

    Attributes:
        moved: their replica is served elsewhere now.
        evicted: less important ones that made room, and found none themselves.
        lost: those of the node that found none; their other replicas serve on.
    """

    moved: tuple[str, ...]
    evicted: tuple[str, ...]
    lost: tuple[str, ...]


def node_lost(state: ClusterState, node: int, policy: Policy) -> Aftermath:
    """Take a node away and place what it hosted anew, the highest priority first.

    Where one finds no room, the less important applications of one node make room, as few as
    possible, the least important first; they are then placed anew like the others. Replicas on
    other nodes stay where they are.

    Args:
        state: of the cluster; it is changed.
        node: number of the node.
        policy: where applications go.
    """
    kind, row = state.where(node)
    queue = [without_node(state, name, node) for name in list(state.hosted(node))]
    kind.alive[row] = False
    return place_lacking(state, queue, policy)


def place_lacking(state: ClusterState, lacking: Sequence[Application], policy: Policy) -> Aftermath:
    """Place replicas that applications lack, the highest priority first; others make room.

    Args:
        state: of the cluster; it is changed.
        lacking: an application for each replica that it lacks; of one priority in this order.
        policy: where applications go.
    """
    queue = list(lacking)
    moved: list[str] = []
    out: list[str] = []
    evicted: set[str] = set()
    while queue:
        queue.sort(key=lambda each: -each.priority)
        application = queue.pop(0)
        if _one_more(state, application, policy):
            moved.append(application.name)
            continue
        found = _room_for(state, application)
        if found is None:
            out.append(application.name)
            continue
        spot_node, names = found
        queue += [without_node(state, name, spot_node) for name in names]
        evicted |= set(names)
        engine = int(np.flatnonzero(state.fits_at(application, spot_node))[0])
        _add_replica(state, application, Spot(spot_node, engine))
        moved.append(application.name)
    return Aftermath(
        tuple(moved),
        tuple(name for name in out if name in evicted),
        tuple(name for name in out if name not in evicted),
    )


def without_node(state: ClusterState, name: str, node: int) -> Application:
    """Take the replica of an application on a node away, and return the application."""
    kept = [spot for spot in state.spots[name] if spot.node != node]
    application = state.remove(name)
    if kept:
        state.add(application, kept)
    return application


def _add_replica(state: ClusterState, application: Application, spot: Spot) -> None:
    kept = state.spots.get(application.name, ())
    if kept:
        state.remove(application.name)
    state.add(application, [*kept, spot])


def _one_more(state: ClusterState, application: Application, policy: Policy) -> bool:
    """Place the replica that an application lacks; return False where there is no room."""
    kept = state.spots.get(application.name, ())
    spot = policy(state, application, [each.node for each in kept])
    if spot is None:
        return False
    _add_replica(state, application, spot)
    return True


def _room_for(state: ClusterState, application: Application) -> tuple[int, list[str]] | None:
    """Return the node where the fewest less important applications must go, and their names.

    None where no node has enough of them. The state is as before afterwards.
    """
    kept = {spot.node for spot in state.spots.get(application.name, ())}
    best: tuple[int, list[str]] | None = None
    for node in range(len(state.nodes)):
        names = None if node in kept else _enough(state, application, node)
        if names is not None and (best is None or len(names) < len(best[1])):
            best = node, names
    return best


def _enough(state: ClusterState, application: Application, node: int) -> list[str] | None:
    """Return less important applications of a node without which a replica fits; None if none do.

    The state is as before afterwards.
    """
    kind, row = state.where(node)
    if not kind.alive[row] or kind.demand(application) is None:
        return None
    less = sorted(
        (
            each
            for each in state.hosted(node)
            if state.applications[each].priority < application.priority
        ),
        key=lambda each: state.applications[each].priority,
    )
    before = {name: state.spots[name] for name in less}
    removed: list[Application] = []
    fits = False
    for name in less:
        removed.append(without_node(state, name, node))
        fits = bool(np.any(state.fits_at(application, node)))
        if fits:
            break
    # Some of them went for nothing: the most important ones are tried first.
    needed = []
    for other in reversed(removed):
        _put_back(state, other, before[other.name])
        if fits and not np.any(state.fits_at(application, node)):
            without_node(state, other.name, node)
            needed.append(other)
    for other in needed:
        _put_back(state, other, before[other.name])
    return [other.name for other in reversed(needed)] if fits else None


def _put_back(state: ClusterState, application: Application, spots: Sequence[Spot]) -> None:
    if application.name in state.spots:
        state.remove(application.name)
    state.add(application, spots)
