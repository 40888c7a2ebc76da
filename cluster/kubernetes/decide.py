"""Decide what to do next, from what there is: a pure function, which remembers nothing.

Every call sees everything and returns the steps that are possible now. A step that was not made,
or was made by somebody else, is seen by the next call. New servers come first: an old one goes
when the new ones are ready.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.kubernetes.edits import unedited
from cluster.kubernetes.kinds import kind_of, known_networks
from cluster.kubernetes.names import DIGEST, server_name
from cluster.kubernetes.objects import ServerOptions, deployment, service
from cluster.kubernetes.placing import Boards, Target, in_order, servers_of, target_of
from cluster.kubernetes.plan import Create, Delete, Plan, Replace
from cluster.kubernetes.room import Room
from cluster.kubernetes.status import status_of
from cluster.kubernetes.world import Placement, SeenApplication, SeenNode, SeenServer, World
from cluster.placement.nodes import Rules
from cluster.placement.ours import Goal
from envs.errors import OptionError


@dataclass(frozen=True)
class Settings:
    """Hold what a decision depends on beside the world.

    Attributes:
        servers: how they are run.
        rules: what must hold on each node.
        goal: what comes first.
        grace_s: for how long a node may not be ready before its applications are placed anew.
        profiles: folder with NAME.onnx of networks that the catalogue lacks; None for none.
    """

    servers: ServerOptions = field(default_factory=ServerOptions)
    rules: Rules = field(default_factory=lambda: Rules(reserve=0.15))
    goal: Goal = Goal.HOSTED
    grace_s: float = 60.0
    profiles: Path | None = None


@dataclass
class Moment:
    """Hold what one decision works with.

    Attributes:
        world: what there is.
        settings: see there.
        nodes: those that servers may be on, by name.
        target: where applications should be.
        plan: what was decided so far.
        room: of the nodes as they are now, with what is being made.
        waiting: applications whose servers wait for room, with the node.
    """

    world: World
    settings: Settings
    nodes: dict[str, SeenNode]
    target: Target
    plan: Plan
    room: Room
    waiting: dict[str, str] = field(default_factory=dict)


def decide(world: World, settings: Settings) -> Plan:
    """Return the next steps and the statuses for what there is."""
    plan = Plan()
    boards, nodes = _boards(world, settings, plan)
    target = target_of(world, boards, settings.rules, settings.goal)
    room = Room(boards.kinds, world.servers, target.state)
    now = Moment(world, settings, nodes, target, plan, room)
    _sweep(now)
    ordered = in_order(world.applications)
    for application in ordered:
        _make_room(now, application)
    for application in ordered:
        _place(now, application)
    _end_standstill(now, ordered)
    for application in ordered:
        _retire(now, application)
    for application in world.applications:
        if not application.deleting:
            plan.statuses[application.key] = status_of(
                application,
                servers_of(application, world),
                target.placements.get(application.key, ()),
                target.reasons.get(application.key, ""),
                now.waiting.get(application.key, ""),
                settings.servers.progress_s,
            )
    plan.within_s = _within_s(world, settings)
    return plan


def _within_s(world: World, settings: Settings) -> float:
    """Return after how long a node counts as lost next, or a server as failed."""
    left = [settings.grace_s - each.unready_s for each in world.nodes if each.unready_s > 0]
    left += [settings.servers.progress_s - each.unready_s for each in world.servers]
    return min((each for each in left if each > 0), default=math.inf)


def _boards(world: World, settings: Settings, plan: Plan) -> tuple[Boards, dict[str, SeenNode]]:
    """Return the nodes that are there, with what they can do; the others are remarked on."""
    specs = [each.spec for each in world.applications] + [each.serves for each in world.servers]
    names = [each.network for each in specs if each is not None]
    networks, wrong = known_networks(names, settings.profiles)
    plan.remarks += wrong
    kinds, nodes = {}, {}
    for node in world.nodes:
        if not node.board:
            continue
        if node.unready_s > settings.grace_s:
            plan.remarks.append(
                f"node {node.name} has not been ready for more than {settings.grace_s:g} s: its"
                " applications are placed anew"
            )
            continue
        try:
            kinds[node.name] = kind_of(node, networks, settings.servers.precision)
        except OptionError as error:
            plan.remarks.append(str(error))
            continue
        nodes[node.name] = node
    closed = {each.name for each in nodes.values() if not each.schedulable or each.unready_s > 0}
    return Boards(kinds, frozenset(closed)), nodes


def _sweep(now: Moment) -> None:
    """Delete what belongs to no application any more."""
    owners = {each.uid for each in now.world.applications if not each.deleting}
    for kind, seen in (("deployments", now.world.servers), ("services", now.world.services)):
        for each in seen:
            if each.application_uid not in owners and not each.deleting:
                why = "its application is gone"
                now.plan.steps.append(Delete(kind, each.namespace, each.name, each.uid, why))


def _make_room(now: Moment, application: SeenApplication) -> None:
    """Delete servers of an application that lacks places, where others need their room."""
    if application.key not in now.target.reasons:
        return
    names = _target_names(now, application)
    for server in servers_of(application, now.world):
        here = server.placement.node in now.nodes and server.name not in names
        if here and not now.room.may_stay(server):
            _delete(now, server, "others need its room, and it has no place any more")


def _place(now: Moment, application: SeenApplication) -> None:
    """Create the servers that an application lacks, and replace those that are out of date."""
    own = {each.name: each for each in servers_of(application, now.world)}
    placements = now.target.placements.get(application.key, ())
    names = {server_name(application.name, each.node): each for each in placements}
    leaving = _leaving(own, names)
    for name, placement in names.items():
        there = own.get(name)
        replaces = there.replaces if there else ""
        if there is None and leaving:
            replaces = leaving.pop(0)
        memory = now.room.memory_mib(application, placement)
        body = deployment(
            application, now.nodes[placement.node], placement, memory, now.settings.servers,
            replaces,
        )  # fmt: skip
        if there is None:
            if _is_going(now, application, name) or not now.room.take(application, placement):
                now.waiting[application.key] = placement.node
                continue
            why = f"{application.key} is placed on {placement.node}, {placement.place}"
            now.plan.steps.append(Create("deployments", body, why))
        elif not unedited(body, there.found):
            why = f"what {application.key} asks for, or how servers are run, has changed"
            notes = there.found["metadata"].get("annotations") or {}
            if notes.get(DIGEST) == body["metadata"]["annotations"][DIGEST]:
                why = "somebody else has changed it"
            now.plan.steps.append(Replace("deployments", body, there.version, why))
    if placements:
        _serve(now, application)


def _serve(now: Moment, application: SeenApplication) -> None:
    """Create the service of an application; make it as it was if somebody has changed it."""
    body = service(application)
    own = [
        each
        for each in now.world.services
        if each.application_uid == application.uid and not each.deleting
    ]
    there = next((each for each in own if each.name == body["metadata"]["name"]), None)
    if there is None:
        why = f"requests of {application.key} come here"
        now.plan.steps.append(Create("services", body, why))
    elif not unedited(body, there.found):
        # Addresses, and whatever else belongs to the server or to others, stay.
        whole = body | {"spec": there.found["spec"] | body["spec"]}
        step = Replace("services", whole, there.version, "somebody else has changed it")
        now.plan.steps.append(step)
    for each in own:
        if each is not there:
            why = f"{application.key} has one service, {body['metadata']['name']}"
            now.plan.steps.append(Delete("services", each.namespace, each.name, each.uid, why))


def _leaving(own: dict[str, SeenServer], names: dict[str, Placement]) -> list[str]:
    """Return the servers that are to go and that no other one replaces yet."""
    replaced = {each.replaces for name, each in own.items() if name in names}
    return [name for name in own if name not in names and name not in replaced]


def _is_going(now: Moment, application: SeenApplication, name: str) -> bool:
    """Return True while an object of this name is being deleted: there can be no second one."""
    return any(
        each.deleting and each.name == name and each.namespace == application.namespace
        for each in now.world.servers
    )


def _end_standstill(now: Moment, ordered: Sequence[SeenApplication]) -> None:
    """Let an old server go first where two applications wait for each other's room."""
    if not now.waiting or now.plan.steps:
        return
    key = next(each.key for each in ordered if each.key in now.waiting)
    for application in reversed(ordered):
        names = _target_names(now, application)
        for server in servers_of(application, now.world):
            here = server.placement.node == now.waiting[key] and server.name not in names
            if here and application.key in now.waiting:
                _delete(now, server, f"{key} needs its room, and neither can move first")


def _retire(now: Moment, application: SeenApplication) -> None:
    """Delete the servers that are not where the application should be, when the others are up."""
    names = _target_names(now, application)
    own = servers_of(application, now.world)
    ready = {each.name for each in own if each.ready}
    spec = application.spec
    if not names or spec is None or len(names) < spec.replicas or not names <= ready:
        return
    for server in own:
        if server.name not in names:
            _delete(now, server, f"{application.key} serves on {', '.join(sorted(names))}")


def _target_names(now: Moment, application: SeenApplication) -> set[str]:
    placements = now.target.placements.get(application.key, ())
    return {server_name(application.name, each.node) for each in placements}


def _delete(now: Moment, server: SeenServer, why: str) -> None:
    step = Delete("deployments", server.namespace, server.name, server.uid, why)
    if all(each.target != step.target for each in now.plan.steps):
        now.plan.steps.append(step)
