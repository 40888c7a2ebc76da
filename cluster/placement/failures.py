"""A node that goes: its applications are placed anew by priority, and nobody else moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cluster.placement.nodes import Application
from cluster.placement.policies import Policy, host
from cluster.placement.state import ClusterState, Spot


class Aftermath(NamedTuple):
    """What became of the applications after a node went, by name.

    Attributes:
        moved: they are served elsewhere now.
        evicted: less important ones that made room, and found none themselves.
        lost: those of the node that found none.
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
    kind.alive[row] = False
    waiting = [(name, state.spots[name]) for name in list(state.hosted(node))]
    queue = [(state.remove(name), spots) for name, spots in waiting]
    moved: list[str] = []
    out: dict[str, bool] = {}  # of those without room: True for one that made room
    evicted: set[str] = set()
    while queue:
        queue.sort(key=lambda each: -each[0].priority)
        application, old = queue.pop(0)
        kept = [each for each in old if each.node != node]
        if _host_rest(state, application, kept, policy):
            moved.append(application.name)
            continue
        gone = _make_room(state, application, kept)
        evicted |= {each.name for each, _ in gone}
        queue += gone
        if gone and _host_rest(state, application, kept, policy):
            moved.append(application.name)
        else:
            out[application.name] = application.name in evicted
    return Aftermath(
        tuple(moved),
        tuple(name for name, made_room in out.items() if made_room),
        tuple(name for name, made_room in out.items() if not made_room),
    )


def _host_rest(
    state: ClusterState, application: Application, kept: Sequence[Spot], policy: Policy
) -> bool:
    """Place the replicas that are missing; return False, with nothing changed, if one cannot be."""
    spots = list(kept)
    if not spots:
        return host(state, application, policy)
    # Replicas that stay must count while a spot for the others is sought.
    while len(spots) < application.replicas:
        spot = policy(state, application, [each.node for each in spots])
        if spot is None:
            return False
        spots.append(spot)
    if any(not state.fits_at(application, each.node)[each.engine] for each in kept):
        return False
    state.add(application, spots)
    return True


def _make_room(
    state: ClusterState, application: Application, kept: Sequence[Spot]
) -> list[tuple[Application, tuple[Spot, ...]]]:
    """Remove the fewest less important applications of one node so that a replica fits there.

    Nothing is removed where no node has enough of them. One missing replica is made room for.
    """
    best: list[str] | None = None
    for node in range(len(state.nodes)):
        if node in {each.node for each in kept}:
            continue
        names = _enough(state, application, node)
        if names is not None and (best is None or len(names) < len(best)):
            best = names
    return [
        (state.remove(name), spots) for name, spots in [(n, state.spots[n]) for n in best or ()]
    ]


def _enough(state: ClusterState, application: Application, node: int) -> list[str] | None:
    """Return less important applications of a node without which a replica fits; None if none do.

    The state is as before afterwards.
    """
    kind, row = state.where(node)
    if not kind.alive[row] or kind.demand(application) is None:
        return None
    less = sorted(
        (each for each in state.hosted(node)
         if state.applications[each].priority < application.priority),
        key=lambda each: state.applications[each].priority,
    )  # fmt: skip
    removed: list[tuple[Application, tuple[Spot, ...]]] = []
    fits = False
    for name in less:
        removed.append((state.applications[name], state.spots[name]))
        state.remove(name)
        fits = bool(np.any(state.fits_at(application, node)))
        if fits:
            break
    for other, spots in removed:
        state.add(other, spots)
    return [other.name for other, _ in removed] if fits else None
