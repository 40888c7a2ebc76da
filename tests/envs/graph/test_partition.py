"""Layer groups and segments: they are parts of the network, and together they are all of it."""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.catalog.architectures import write
from envs.graph.cost import reads
from envs.graph.layers import read_network_and_layers
from envs.graph.onnx_file import read_whole
from envs.graph.partition import Partition, partition_of
from envs.graph.segments import balanced, group_segments
from envs.runtimes.onnxruntime.sessions import Chain, open_session, options_of
from tests.envs.accuracy.graphs import model, node, random, saved
from tests.envs.graph.random_graphs import graphs
from tests.envs.graph.test_exported import FIRST_OPSET, export
from tests.envs.graph.torch_modules import MODULES

COLUMNS = ("kind", "macs", "weights", "reads", "writes", "reduction", "channels", "dla")


def check_groups(path: Path, max_tensors: int = 3) -> Partition:
    partition = partition_of(path, max_tensors)
    groups, nodes = partition.groups, partition.flow.nodes
    assert [group.start for group in groups] == [0, *(group.stop for group in groups[:-1])]
    assert groups[-1].stop == len(nodes)
    _, table = read_network_and_layers(path)
    for column in COLUMNS:
        parts = [getattr(group.layers, column) for group in groups]
        assert np.array_equal(np.concatenate(parts), getattr(table, column)), column
    assert groups[0].layers.inputs == table.inputs
    for group in groups[1:]:
        made = {name for each in nodes[: group.start] for name in each.output if name}
        made |= set(partition.flow.inputs)
        read = {name for each in nodes[group.start :] for name in reads(each)}
        assert {tensor.name for tensor in group.tensors} == made & read
        assert len(group.tensors) <= max_tensors
        assert len(group.layers) > 0
    return partition


def check_segments(partition: Partition, path: Path) -> None:
    """Without fusion, the segments' nodes are the network's, and so are their answers."""
    network, _ = read_network_and_layers(path)
    whole = read_whole(path)
    segments = group_segments(partition, whole, range(len(partition.groups)))
    options = options_of(1, as_it_is=True)
    outputs = [spec.name for spec in network.outputs]
    chain = Chain(
        [open_session(each.model.SerializeToString(), options) for each in segments], outputs
    )
    session = open_session(path, options)
    rng = np.random.default_rng(0)
    for rows in (1, 3):
        feed = {
            spec.name: (rng.random((rows, *spec.shape)) * 9).astype(spec.dtype)
            for spec in network.inputs
        }
        for found, expected in zip(
            chain.run(feed, lambda: None), session.run(outputs, feed), strict=True
        ):
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected.tobytes()


@given(graphs(), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_any_graph_is_the_sum_of_its_groups(made: Any, max_tensors: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, _ = saved(Path(folder), made)
        check_segments(check_groups(path, max_tensors), path)


@pytest.mark.parametrize("name", MODULES)
def test_files_of_pytorch(tmp_path: Path, name: str) -> None:
    path = export(name, tmp_path / "net.onnx", max(13, FIRST_OPSET.get(name, 0)))
    check_segments(check_groups(path), path)


@pytest.mark.parametrize("name", ["class_token", "multihead", "rolled_windows", "mask"])
def test_files_of_the_newer_exporter_of_pytorch(tmp_path: Path, name: str) -> None:
    path = export(name, tmp_path / "net.onnx", None, dynamo=True)
    check_segments(check_groups(path), path)


def test_blocks_of_a_residual_network_are_groups(tmp_path: Path) -> None:
    partition = check_groups(write("resnet18", tmp_path), max_tensors=1)
    # The stem, its pool, eight blocks, the last pool and the classifier.
    assert len(partition.groups) == 12
    assert [len(group.tensors) for group in partition.groups] == [1] * 12
    block = partition.groups[2]
    assert block.tensors[0].shape == (1, 64, 56, 56)
    assert block.bytes_in == 64 * 56 * 56 * 4
    assert block.layers.total_macs == 2 * 56 * 56 * 64 * 64 * 9
    assert block.layers.outputs == 64 * 56 * 56


def test_no_cut_goes_through_a_fused_kernel(tmp_path: Path) -> None:
    made = model(
        [
            node("Conv", "x w", "a"),
            node("Relu", "a", "b"),
            node("Conv", "b w", "c"),
            node("Add", "c b", "d"),
            node("Relu", "d", "y"),
        ],
        {"x": ["n", 4, 6, 6]},
        {"y": ["n", 4, 6, 6]},
        {"w": random(4, 4, 1, 1)},
    )
    path, _ = saved(tmp_path, made)
    first, second = check_groups(path).groups
    assert (first.start, first.stop, second.stop) == (0, 2, 5)
    assert [tensor.name for tensor in second.tensors] == ["b"]


def branches(condition: Any) -> Any:
    """Return a graph whose If reads tensors from outside, one of them made two nodes before."""
    value = onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None)
    then = onnx.helper.make_graph([node("Add", "early late", "b")], "then", [], [value])
    other = onnx.helper.make_graph([node("Sub", "late early", "b")], "else", [], [value])
    nodes = [
        node("Conv", "x w", "early"),
        node("Conv", "early w", "late"),
        *condition,
        node("If", "c", "chosen", then_branch=then, else_branch=other),
        node("Conv", "chosen w", "y"),
    ]
    weights = {"w": random(4, 4, 1, 1), "zero": np.zeros((), np.float32), "yes": np.array(True)}
    return model(nodes, {"x": ["n", 4, 6, 6]}, {"y": ["n", 4, 6, 6]}, weights)


def test_tensors_that_a_branch_reads_cross(tmp_path: Path) -> None:
    condition = [
        node("ReduceSum", "late", "sum", keepdims=0),
        node("Greater", "sum zero", "c"),
    ]
    path, _ = saved(tmp_path, branches(condition))
    partition = check_groups(path)
    check_segments(partition, path)
    assert any(
        {"early", "late"} <= {tensor.name for tensor in group.tensors} for group in partition.groups
    )


def test_a_branch_that_is_always_taken_stays_in_one_piece(tmp_path: Path) -> None:
    path, _ = saved(tmp_path, branches([node("Identity", "yes", "c")]))
    partition = check_groups(path)
    check_segments(partition, path)
    assert len(partition.groups) > 1


def test_a_network_that_draws_random_numbers_has_one_group(tmp_path: Path) -> None:
    """A part would draw other numbers than the whole: by its node's place, or by its seed."""

    def groups(drawn: str) -> int:
        nodes = [
            node("MatMul", "x w", "a"),
            node(drawn, "a", "b"),
            node("Add", "a b", "c"),
            node("MatMul", "c w", "y"),
        ]
        made = model(nodes, {"x": ["n", 16]}, {"y": ["n", 16]}, {"w": random(16, 16)})
        path, _ = saved(tmp_path, made)
        return len(partition_of(path).groups)

    assert groups("Relu") > 1
    assert groups("RandomNormalLike") == 1


def test_a_network_of_one_layer_has_one_group(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], {"x": ["n", 16]}, {"y": ["n", 16]})
    path, _ = saved(tmp_path, made)
    (group,) = check_groups(path).groups
    assert (group.bytes_in, group.layers.inputs, group.layers.outputs) == (64, 16, 16)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(1, 9))
def test_balanced_parts_are_as_cheap_as_any(costs: list[int], count: int) -> None:
    starts = balanced(costs, count)
    assert starts[0] == 0
    assert len(starts) == min(count, len(costs))
    assert sorted(set(starts)) == starts

    def dearest(where: list[int]) -> int:
        ends = [*where[1:], len(costs)]
        return max(sum(costs[a:b]) for a, b in zip(where, ends, strict=True))

    rest = combinations(range(1, len(costs)), len(starts) - 1)
    assert dearest(starts) == min(dearest([0, *each]) for each in rest)
