"""Tell what the boards of a cluster can do, by the device model: once for a board and network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cluster.kubernetes.objects import ACCELERATORS
from cluster.kubernetes.world import SeenNode
from cluster.placement.nodes import NodeKind
from cluster.profiles.boards import board_kind
from envs.catalog.boards import board
from envs.catalog.reference_networks import reference_names
from envs.errors import OptionError


def kind_of(node: SeenNode, networks: Iterable[str], precision: str) -> NodeKind:
    """Return what a node can do with these networks; those that nobody knows are left out.

    Raises:
        OptionError: its labels name no board, or no power mode of it; the sentence says which.
    """
    mode = mode_of(node)
    known = tuple(sorted(set(networks) & set(reference_names())))
    kind = board_kind(node.board, mode, known, precision, tuple(ACCELERATORS.values()))
    memory = min(kind.memory_mib, node.memory_mib)
    return replace(kind, name=f"{kind.name}-{memory:.0f}", memory_mib=memory)


def mode_of(node: SeenNode) -> str:
    """Return the power mode of a node: of its label, or the largest of its board.

    Raises:
        OptionError: its labels name no board, or no power mode of it.
    """
    if not node.board:
        raise OptionError(f"node {node.name} has no label that names its board")
    modes = board(node.board).power_modes
    if not node.mode:
        return next(iter(modes))
    if node.mode not in modes:
        raise OptionError(
            f"node {node.name}: {node.board} has no power mode {node.mode}: choose from"
            f" {', '.join(modes)}"
        )
    return node.mode
