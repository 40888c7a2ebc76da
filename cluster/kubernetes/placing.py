"""Say where every application should be: who is placed stays, unless it cannot.

Nothing is remembered between two calls. Where nobody is placed, or only some of what placing all
at once would give, all are placed at once; everybody else comes one after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from cluster.kubernetes.names import server_name
from cluster.kubernetes.reasons import why_not
from cluster.kubernetes.world import Placement, SeenApplication, SeenServer, World
from cluster.placement.failures import place_lacking, without_node
from cluster.placement.feasibility import FULL, filled
from cluster.placement.nodes import Application, Node, NodeKind, Rules
from cluster.placement.ours import Goal, OneMore
from cluster.placement.state import ClusterState, Spot
from cluster.placement.together import place_together

#: Rounds of `place_together`, where not all find room: a second for fifty applications.
ROUNDS = 50


@dataclass(frozen=True)
class Boards:
    """The nodes that servers may be on.

    Attributes:
        kinds: by name of the node, what it can do.
        closed: names of those that take nobody new.
    """

    kinds: Mapping[str, NodeKind]
    closed: frozenset[str] = frozenset()


@dataclass
class Target:
    """Where applications should be.

    Attributes:
        placements: by application, `namespace/name`; those without any are missing.
        reasons: by application, why not all of its replicas are placed.
        state: the same as placement sees it.
    """

    placements: dict[str, tuple[Placement, ...]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    state: ClusterState = field(default_factory=lambda: ClusterState((), Rules()))


def target_of(world: World, boards: Boards, rules: Rules, goal: Goal) -> Target:
    """Return where the applications of a world should be.

    Args:
        world: what there is.
        boards: the nodes that are there, with what they can do.
        rules: what must hold on each.
        goal: what comes first.
    """
    nodes = tuple(Node(name, boards.kinds[name]) for name in sorted(boards.kinds))
    wanted = in_order(world.applications)
    asked = [_application(each) for each in wanted]
    homes = {each.key: _homes(each, servers_of(each, world), nodes) for each in wanted}
    found = _all_at_once(nodes, boards, asked, homes, rules, goal)
    if found is None:
        edited = {
            each.key
            for each in wanted
            if any(own.serves != each.spec for own in servers_of(each, world))
        }
        found = _kept(nodes, boards, wanted, homes, rules, edited)
    state = found
    _complete(state, asked, homes, goal)
    target = Target(state=state)
    for application in asked:
        spots = state.spots.get(application.name, ())
        if spots:
            target.placements[application.name] = tuple(
                _placement(state, application, spot) for spot in spots
            )
        if len(spots) < application.replicas:
            target.reasons[application.name] = why_not(state, application, len(spots))
    return target


def in_order(applications: Sequence[SeenApplication]) -> list[SeenApplication]:
    """Return the applications that want to be placed: important ones first, then old ones."""
    wanted = [each for each in applications if each.spec is not None and not each.deleting]
    return sorted(wanted, key=lambda each: (-_priority(each), each.created, each.key))


def servers_of(application: SeenApplication, world: World) -> list[SeenServer]:
    """Return the servers of an application that are not about to go, by name."""
    own = [
        each
        for each in world.servers
        if each.application_uid == application.uid and not each.deleting
    ]
    return sorted(own, key=lambda each: each.name)


def _priority(application: SeenApplication) -> int:
    return application.spec.priority if application.spec else 0


def _application(seen: SeenApplication) -> Application:
    assert seen.spec is not None
    return seen.spec.application(seen.key)


def _placement(state: ClusterState, application: Application, spot: Spot) -> Placement:
    engine = state.where(spot.node)[0].kind.engines[application.network][spot.engine]
    return Placement(state.nodes[spot.node].name, engine.place, engine.batch)


def _homes(
    application: SeenApplication, servers: Sequence[SeenServer], nodes: Sequence[Node]
) -> list[Spot]:
    """Return where an application is and may stay, the spots that it should keep first.

    A server that another one replaces is about to leave. The engine is -1 where the node has no
    such engine for the network.
    """
    assert application.spec is not None
    number = {node.name: at for at, node in enumerate(nodes)}
    # Another name is that of a copy, or of a server whose notes somebody has changed.
    here = [
        each
        for each in servers
        if each.placement.node in number
        and each.name == server_name(application.name, each.placement.node)
    ]
    replaced = {each.replaces for each in here if each.replaces}
    staying = [each for each in here if each.name not in replaced]
    found = []
    for each in sorted(staying, key=lambda each: (not each.ready, each.name)):
        at = number[each.placement.node]
        engines = nodes[at].kind.engines.get(application.spec.network, ())
        ways = [(engine.place, engine.batch) for engine in engines]
        way = (each.placement.place, each.placement.batch)
        found.append(Spot(at, ways.index(way) if way in ways else -1))
    return found


def _all_at_once(
    nodes: tuple[Node, ...],
    boards: Boards,
    asked: Sequence[Application],
    homes: Mapping[str, Sequence[Spot]],
    rules: Rules,
    goal: Goal,
) -> ClusterState | None:
    """Return everybody placed at once; None where somebody is elsewhere already."""
    # Placing together looks at all nodes of its state: those that are closed are kept out of it.
    opened = tuple(each for each in nodes if each.name not in boards.closed)
    number = {node.name: at for at, node in enumerate(nodes)}
    found = _together(opened, tuple(asked), rules, goal) if opened else {}
    spots = {
        name: tuple(Spot(number[opened[each.node].name], each.engine) for each in own)
        for name, own in found.items()
    }
    for name, own in homes.items():
        if not {*own} <= {*spots.get(name, ())}:
            return None
    state = _state(nodes, boards, rules)
    for each in asked:
        if each.name in spots:
            state.add(each, spots[each.name])
    return state


@lru_cache(maxsize=4)
def _together(
    nodes: tuple[Node, ...], asked: tuple[Application, ...], rules: Rules, goal: Goal
) -> dict[str, tuple[Spot, ...]]:
    """Return the spots of applications that are placed all at once on empty nodes."""
    state = ClusterState(nodes, rules)
    place_together(state, asked, goal, ROUNDS)
    return dict(state.spots)


def _state(nodes: Sequence[Node], boards: Boards, rules: Rules) -> ClusterState:
    state = ClusterState(nodes, rules)
    for number, node in enumerate(nodes):
        kind, row = state.where(number)
        kind.alive[row] = node.name not in boards.closed
    return state


def _kept(
    nodes: Sequence[Node],
    boards: Boards,
    wanted: Sequence[SeenApplication],
    homes: Mapping[str, Sequence[Spot]],
    rules: Rules,
    edited: Collection[str],
) -> ClusterState:
    """Return everybody where it is, except for those that a node has no room for any more."""
    state = _state(nodes, boards, rules)
    for each in wanted:
        assert each.spec is not None
        here = [spot for spot in homes[each.key] if spot.engine >= 0][: each.spec.replicas]
        if here:
            state.add(_application(each), here)
    # Those that were edited leave first, then the least important, then the newest.
    leaving = [each.key for each in reversed(wanted)]
    leaving.sort(key=lambda key: key not in edited)
    for number in range(len(nodes)):
        for key in leaving:
            if not _overfull(state, number):
                break
            if key in state.hosted(number):
                without_node(state, key, number)
    return state


def _overfull(state: ClusterState, number: int) -> bool:
    """Return True if somebody on a node does not keep a rule."""
    kind, row = state.where(number)
    full = filled(kind.shared, kind.load[row], kind.second_s[row], kind.tight[row], state.rules)
    memory = state.rules.memory * kind.kind.memory_mib * (1 + 1e-9)
    return bool((full > FULL + 1e-6).any() or kind.used_mib[row] > memory)


def _complete(
    state: ClusterState,
    asked: Sequence[Application],
    homes: Mapping[str, Sequence[Spot]],
    goal: Goal,
) -> None:
    """Place what is lacking; who was somewhere goes back there if it can."""
    policy = OneMore(state, asked, goal) if asked else None

    def choose(
        state: ClusterState, application: Application, taken: Collection[int] = ()
    ) -> Spot | None:
        for home in homes[application.name]:
            if home.node not in taken:
                fits = state.fits_at(application, home.node)
                if home.engine >= 0 and fits[home.engine]:
                    return home
                if fits.any():
                    return Spot(home.node, int(np.flatnonzero(fits)[0]))
        return policy(state, application, taken) if policy else None

    for _ in range(2):
        missing = [
            each
            for each in asked
            for _ in range(each.replicas - len(state.spots.get(each.name, ())))
        ]
        if not missing:
            return
        place_lacking(state, missing, choose)
        # Newcomers are placed with all of their replicas or not at all; who made room for one
        # that is not placed gets it back in the second round.
        partly = [
            each
            for each in asked
            if 0 < len(state.spots.get(each.name, ())) < each.replicas and not homes[each.name]
        ]
        for each in partly:
            state.remove(each.name)
        if not partly:
            return
        asked = [each for each in asked if each not in partly]
