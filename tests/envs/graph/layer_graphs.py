"""Graphs around one convolution, and their layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.drawings.write import table_dict
from envs.graph.layer_table import LAYER_KINDS
from envs.graph.layers import read_network_and_layers
from tests.envs.graph.small_graphs import node, save, tensor, weight

X = [tensor("x", ["n", 4, 8, 8])]
W = weight("w", 4, 4, 1, 1)
CONV = node("Conv", ["x", "w"], ["c"])


def rows(path: Path) -> list[dict[str, Any]]:
    """Return one dict per layer, with the kind by name."""
    data = table_dict(read_network_and_layers(path)[1])
    columns = {key: column for key, column in data.items() if isinstance(column, list)}
    return [
        dict(zip(columns, row, strict=True)) | {"kind": LAYER_KINDS[row[0]]}
        for row in zip(*columns.values(), strict=True)
    ]


def layers_of(
    folder: Path, *nodes: Any, weights: tuple[Any, ...] = (W,), result: tuple[int, ...] = (4, 8, 8)
) -> list[dict[str, Any]]:
    return rows(save(folder, list(nodes), X, [tensor("y", ["n", *result])], weights))
