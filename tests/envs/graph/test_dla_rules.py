"""Which layers a DLA runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.envs.graph.layer_graphs import CONV, W, layers_of
from tests.envs.graph.small_graphs import node, weight

SUPPORTED: list[tuple[Callable[[], Any], Any, tuple[int, ...], bool]] = [
    (
        lambda: node("Conv", ["x", "w"], ["y"], pads=[16] * 4),
        weight("w", 4, 4, 33, 33),
        (4, 8, 8),
        False,
    ),
    (
        lambda: node("Conv", ["x", "w"], ["y"], pads=[16, 16, 15, 15]),
        weight("w", 4, 4, 32, 32),
        (4, 8, 8),
        True,
    ),
    (lambda: node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1] * 4), W, (4, 8, 8), True),
    (lambda: node("Softmax", ["x"], ["y"], axis=-1), W, (4, 8, 8), True),
    (lambda: node("HardSwish", ["x"], ["y"]), W, (4, 8, 8), False),
    (lambda: node("GlobalAveragePool", ["x"], ["y"]), W, (4, 1, 1), True),
    (lambda: node("MatMul", ["x", "w"], ["y"]), weight("w", 8, 3), (4, 8, 3), True),
    (lambda: node("MatMul", ["x", "x"], ["y"]), W, (4, 8, 8), False),
    (
        lambda: node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
        weight("w", 4, 5, 2, 2),
        (5, 16, 16),
        True,
    ),
    (
        lambda: node("ConvTranspose", ["x", "w"], ["y"], pads=[1] * 4),
        weight("w", 4, 5, 3, 3),
        (5, 8, 8),
        False,
    ),
]


@pytest.mark.parametrize(("layer", "parameters", "result", "supported"), SUPPORTED)
def test_dla_support(
    layer: Callable[[], Any],
    parameters: Any,
    result: tuple[int, ...],
    supported: bool,
    tmp_path: Path,
) -> None:
    (row,) = layers_of(tmp_path, layer(), weights=(parameters,), result=result)
    assert row["dla"] is supported


def test_one_unsupported_operation_keeps_its_whole_kernel_off_the_dla(tmp_path: Path) -> None:
    (layer,) = layers_of(tmp_path, CONV, node("HardSwish", ["c"], ["y"]))
    assert (layer["macs"], layer["dla"]) == (1024, False)
