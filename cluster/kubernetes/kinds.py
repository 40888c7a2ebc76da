"""Tell what the boards of a cluster can do, by the device model: once for a board and network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from cluster.kubernetes.objects import ACCELERATORS
from cluster.kubernetes.world import SeenNode
from cluster.placement.nodes import NodeKind
from cluster.profiles.boards import board_kind
from envs.catalog.boards import board
from envs.catalog.reference_networks import reference_names
from envs.errors import OptionError, TunerError
from envs.graph.layers import read_network_and_layers


def known_networks(
    names: Iterable[str], folder: Path | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what can be profiled of networks by these names, and a sentence for each that cannot.

    Args:
        names: of applications' networks.
        folder: with NAME.onnx, which goes before a network of that name in the catalogue.
    """
    known, wrong = [], []
    for name in sorted(set(names)):
        file = None if folder is None else folder / f"{name}.onnx"
        if file is not None and file.is_file():
            error = _unreadable(str(file), file.stat().st_mtime)
            if error:
                wrong.append(error)
            else:
                known.append(str(file))
        elif name in reference_names():
            known.append(name)
    return tuple(known), tuple(wrong)


@lru_cache(maxsize=256)
def _unreadable(path: str, changed: float) -> str:
    """Return why a file of that time is no network that can be profiled; empty if it is one."""
    try:
        read_network_and_layers(path)
    except TunerError as error:
        return str(error)
    return ""


def kind_of(node: SeenNode, known: tuple[str, ...], precision: str) -> NodeKind:
    """Return what a node can do.

    Args:
        node: of the cluster.
        known: networks, see `known_networks`.
        precision: of engines.

    Raises:
        OptionError: its labels name no board, or no power mode of it; the sentence says which.
    """
    mode = mode_of(node)
    kind = board_kind(node.board, mode, known, precision, tuple(ACCELERATORS.values()))
    # Whole MiB: nodes of one name are of one kind.
    memory = float(math.floor(min(kind.memory_mib, node.memory_mib)))
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
