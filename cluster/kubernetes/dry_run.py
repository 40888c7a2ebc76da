"""Describe what the controller would do, for people."""

from __future__ import annotations

from cluster.kubernetes.decide import Settings
from cluster.kubernetes.kinds import kind_of, known_networks, mode_of
from cluster.kubernetes.plan import Plan
from cluster.kubernetes.world import SeenNode, World
from envs.errors import OptionError


def as_text(world: World, settings: Settings, plan: Plan) -> str:
    """Return the boards, the steps and the statuses of a plan."""
    names = [each.spec.network for each in world.applications if each.spec is not None]
    networks, _ = known_networks(names, settings.profiles)
    lines = ["boards (simulated: what they serve comes from the device model):"]
    lines += [f"  {_node(each, networks, settings)}" for each in world.nodes] or ["  none"]
    lines.append("steps:")
    lines += [f"  {type(each).__name__.lower()} {each.target}: {each.why}" for each in plan.steps]
    if not plan.steps:
        lines.append("  none")
    lines.append("applications:")
    lines += [f"  {key}: {each.phase}: {each.message}" for key, each in plan.statuses.items()]
    if not plan.statuses:
        lines.append("  none")
    return "\n".join(lines + [f"remark: {each}" for each in plan.remarks])


def _node(node: SeenNode, networks: tuple[str, ...], settings: Settings) -> str:
    if not node.board:
        return f"{node.name}: no label of a board, so that it gets no server"
    try:
        kind = kind_of(node, networks, settings.servers.precision)
        mode = mode_of(node)
    except OptionError as error:
        return str(error)
    fastest = [
        f"{name} {max(each.batch / each.batch_s for each in engines):.0f}/s"
        for name, engines in kind.engines.items()
    ]
    state = "not ready" if node.unready_s else "ready" if node.schedulable else "closed"
    return (
        f"{node.name} ({state}): {node.board} {mode}, {kind.memory_mib:.0f} MiB,"
        f" places {', '.join(each.name for each in kind.places)}; {', '.join(fastest)}"
    )
