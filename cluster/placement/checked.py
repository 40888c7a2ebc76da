"""Check the nodes of a placement with everybody who shares them, and mend what is late.

Profiles are of networks alone. A window of the whole node tells what they do together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cluster.placement.nodes import Application
from cluster.placement.policies import Policy
from cluster.placement.state import ClusterState

#: Measures a node as it is, and returns the names of the applications whose limit is broken.
Late = Callable[[ClusterState, int], list[str]]


class Checked(NamedTuple):
    """Tell what came of checking.

    Attributes:
        windows: nodes that were measured, each as often as it was.
        moved: applications that serve on another node now.
        left: those that found none.
    """

    windows: int
    moved: tuple[str, ...]
    left: tuple[Application, ...]


def check_nodes(state: ClusterState, late: Late, policy: Policy) -> Checked:
    """Measure every node that hosts something; what is late there moves, or is not hosted.

    Of those that are late on a node, the one with the highest load leaves, until nobody is late.
    Nothing is added to such a node. Each is then offered to the other nodes, which are measured
    with it.

    Args:
        state: of the cluster; applications have one replica.
        late: measures a node.
        policy: where applications go.
    """
    windows, full, waiting = 0, set[int](), list[Application]()
    for node in range(len(state.nodes)):
        while state.hosted(node):
            windows += 1
            found = late(state, node)
            if not found:
                break
            full.add(node)
            waiting.append(state.remove(max(found, key=lambda name: _load(state, name))))
    moved, left = [], []
    for application in waiting:
        while (spot := policy(state, application, full)) is not None:
            state.add(application, [spot])
            windows += 1
            if not late(state, spot.node):
                moved.append(application.name)
                break
            state.remove(application.name)
            full.add(spot.node)
        else:
            left.append(application)
    return Checked(windows, tuple(moved), tuple(left))


def _load(state: ClusterState, name: str) -> float:
    """Return the load that an application puts on its place."""
    (spot,) = state.spots[name]
    demand = state.where(spot.node)[0].demand(state.applications[name])
    assert demand is not None
    return float(demand.load[spot.engine])
