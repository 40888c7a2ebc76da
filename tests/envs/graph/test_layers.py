"""Networks as the layers that an engine runs, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from benchmarks.drawings.write import table_dict
from envs.catalog.architectures import write
from envs.errors import NetworkError
from envs.graph.layer_table import LayerTable
from envs.graph.layers import read_network_and_layers
from tests.envs.graph.layer_graphs import CONV, W, X, layers_of, rows
from tests.envs.graph.small_graphs import node, save, small, tensor, weight


def table(**changes: Any) -> LayerTable:
    columns: dict[str, Any] = {
        "kind": [0, 5, 3],
        "macs": [8.0, 0.0, 2.0],
        "weights": [4.0, 0.0, 2.0],
        "reads": [4.0, 2.0, 2.0],
        "writes": [2.0, 2.0, 1.0],
        "reduction": [4.0, 0.0, 2.0],
        "channels": [2.0, 0.0, 1.0],
        "dla": [True, False, True],
    }
    return LayerTable(
        **{
            "name": "net",
            "inputs": 4,
            "outputs": 1.0,
            **{key: np.asarray(column) for key, column in columns.items()},
            **changes,
        }
    )


def test_small_network_by_hand(tmp_path: Path) -> None:
    conv, gemm = rows(small(tmp_path))
    assert conv == {
        "kind": "conv",
        "macs": 4 * 64 * 27,
        "weights": 108,
        "reads": 192,
        "writes": 256,
        "reduction": 27,
        "channels": 4,
        "dla": True,
    }
    assert gemm == {
        "kind": "matmul",
        "macs": 2560,
        "weights": 2560,
        "reads": 256,
        "writes": 10,
        "reduction": 256,
        "channels": 10,
        "dla": True,
    }
    _, layers = read_network_and_layers(tmp_path / "net.onnx")
    assert (layers.name, len(layers), layers.inputs, layers.outputs) == ("net", 2, 192, 10)


def test_fixed_batch_has_the_layers_of_one_sample(tmp_path: Path) -> None:
    _, free = read_network_and_layers(small(tmp_path))
    _, fixed = read_network_and_layers(small(tmp_path, batch=6))
    assert table_dict(fixed) == table_dict(free)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121"])
def test_fusion_keeps_the_multiply_accumulates(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path)
    network, layers = read_network_and_layers(path)
    path.unlink()
    assert layers.total_macs == network.macs
    assert len(layers) < network.layers
    # All parameters are read except the variance, mean and scale that fold into earlier weights.
    assert 0.98 * network.weight_bytes / 4 < layers.weights.sum() <= network.weight_bytes / 4


@pytest.mark.parametrize(
    "behind",
    [
        [node("Relu", ["c"], ["y"])],
        [node("Sigmoid", ["c"], ["s"]), node("Mul", ["c", "s"], ["y"])],
        [node("Identity", ["c"], ["i"]), node("LeakyRelu", ["i"], ["y"])],
        [node("Add", ["c", "b"], ["a"]), node("Relu", ["a"], ["y"])],
    ],
)
def test_activation_and_bias_are_free_behind_a_convolution(
    behind: list[Any], tmp_path: Path
) -> None:
    (layer,) = layers_of(tmp_path, CONV, *behind, weights=(W, weight("b", 4, 1, 1)))
    assert (layer["reads"], layer["writes"], layer["macs"], layer["dla"]) == (256, 256, 1024, True)
    assert layer["weights"] == (20 if behind[0].op_type == "Add" else 16)


def test_residual_is_read_and_fused_where_it_is_there_in_time(tmp_path: Path) -> None:
    (layer,) = layers_of(tmp_path, CONV, node("Add", ["c", "x"], ["a"]), node("Relu", ["a"], ["y"]))
    # The input of the convolution is the residual, and is read once.
    assert (layer["reads"], layer["writes"]) == (256, 256)
    first, second = layers_of(
        tmp_path, CONV, node("Conv", ["c", "w"], ["d"]), node("Add", ["c", "d"], ["y"])
    )
    assert (first["reads"], second["reads"], second["macs"]) == (256, 256, 1024)
    # The sum of two branches is fused into the branch that is computed last.
    first, second = layers_of(
        tmp_path, CONV, node("Conv", ["x", "w"], ["d"]), node("Add", ["c", "d"], ["y"])
    )
    assert (first["reads"], second["reads"]) == (256, 512)


def test_a_tensor_that_others_read_is_written(tmp_path: Path) -> None:
    nodes = [
        CONV,
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["c"], ["p"], kernel_shape=[1, 1]),
        node("Add", ["r", "p"], ["y"]),
    ]
    assert [layer["kind"] for layer in layers_of(tmp_path, *nodes)] == [
        "conv",
        "elementwise",
        "pool",
        "elementwise",
    ]


def test_local_response_normalisation_is_a_kind_of_its_own(tmp_path: Path) -> None:
    nodes = [CONV, node("LRN", ["c"], ["y"], size=5)]
    assert [layer["kind"] for layer in layers_of(tmp_path, *nodes)] == ["conv", "lrn"]


def test_joining_is_free_and_pools_are_layers(tmp_path: Path) -> None:
    nodes = [
        CONV,
        node("Concat", ["c", "x"], ["j"], axis=1),
        node("GlobalAveragePool", ["j"], ["p"]),
        node("Flatten", ["p"], ["y"]),
    ]
    conv, pool = layers_of(tmp_path, *nodes, result=(8,))
    assert (pool["kind"], pool["reads"], pool["writes"], pool["macs"], pool["channels"]) == (
        "pool",
        512,
        8,
        0,
        0,
    )
    assert conv["writes"] == 256


@pytest.mark.parametrize(
    ("shape", "groups", "kind", "channels"),
    [
        ((4, 4, 1, 1), 1, "conv", 4),
        ((6, 2, 1, 1), 2, "grouped", 3),
        ((4, 1, 1, 1), 4, "depthwise", 4),
    ],
)
def test_kinds_of_convolution(
    shape: tuple[int, ...], groups: int, kind: str, channels: int, tmp_path: Path
) -> None:
    layer, *_ = layers_of(
        tmp_path,
        node("Conv", ["x", "w"], ["y"], group=groups),
        weights=(weight("w", *shape),),
        result=(shape[0], 8, 8),
    )
    assert (layer["kind"], layer["channels"], layer["reduction"]) == (kind, channels, shape[1])


def test_recurrent_layer_by_hand(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "w", "r"], ["h"], hidden_size=3),
        node("Squeeze", ["h", "one"], ["s"]),
        node("Transpose", ["s"], ["y"], perm=[1, 0, 2]),
    ]
    one = numpy_helper.from_array(np.array([1], np.int64), "one")
    path = save(
        tmp_path,
        nodes,
        [tensor("x", ["n", 5, 2])],
        [tensor("y", ["n", 5, 3])],
        (weight("w", 1, 12, 2), weight("r", 1, 12, 3), one),
    )
    (layer,) = rows(path)
    assert layer == {
        "kind": "recurrent",
        "macs": 5 * 12 * 5,
        "weights": 60,
        "reads": 10,
        "writes": 15,
        "reduction": 5,
        "channels": 12,
        "dla": False,
    }


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(b"no network")
    for path, reason in (
        (damaged, "is not an ONNX file"),
        (tmp_path / "none.onnx", "does not exist"),
    ):
        with pytest.raises(NetworkError, match=reason):
            read_network_and_layers(path)
    path = save(tmp_path, [node("Identity", ["x"], ["y"])], X, [tensor("y", ["n", 4, 8, 8])])
    with pytest.raises(NetworkError, match=r"net\.onnx: it has no layer that computes"):
        read_network_and_layers(path)


def test_shares_and_segments() -> None:
    layers = table()
    assert (layers.total_macs, layers.dla_segments) == (10, 1)
    assert table(dla=np.array([False, True, False])).dla_segments == 2
    assert table(dla=np.array([False, False, True])).dla_segments == 1
    assert table(dla=np.array([True, True, True])).dla_segments == 0


def test_json_changes_nothing() -> None:
    data = table_dict(table(reads=np.array([0.5, 1e15, 3])))
    again = LayerTable(**json.loads(json.dumps(data, allow_nan=False)))
    assert table_dict(again) == data
    assert [type(number) for number in data["macs"]] == [int] * 3
    assert (again.kind.dtype, again.macs.dtype, again.dla.dtype) == (np.int8, np.float64, np.bool_)
    with pytest.raises(ValueError, match="read-only"):
        again.macs[0] = 1.0


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("macs", [1, 2, float("nan")]),
        ("macs", [1, 2, float("inf")]),
        ("reads", [1, -2, 3]),
        ("writes", [1, 2]),
        ("weights", []),
        ("weights", 3),
        ("weights", [1, "2", 3]),
        ("weights", [1, None, 3]),
        ("reduction", [[1, 2, 3]]),
        ("kind", [0, 1, 8]),
        ("kind", [0, 1, 2.0]),
        ("kind", [0, 1, 300]),
        ("kind", [0, 1, 10**30]),
        ("macs", [0, 1, 10**400]),
        ("dla", [0, 1, 1]),
        ("inputs", float("nan")),
        ("inputs", True),
        ("outputs", -1),
        ("outputs", "4"),
        ("name", None),
        ("name", ""),
    ],
)
def test_wrong_field_is_refused_by_name(field: str, wrong: Any) -> None:
    with pytest.raises(NetworkError, match=rf"\({field} "):
        LayerTable(**{**table_dict(table()), field: wrong})
