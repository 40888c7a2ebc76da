"""Networks that run divided among the precisions and the engines of a processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from envs.accuracy.agreement import agreement
from envs.accuracy.samples import Samples, invented
from envs.accuracy.store import UNCALIBRATED
from envs.catalog.architectures import build
from envs.errors import NetworkError, OptionError
from envs.graph.partition import partition_of
from envs.runtimes.onnxruntime.engines import (
    OnnxEngine,
    OnnxEngineFactory,
    OpenVinoEngine,
    SegmentedOnnxEngine,
)
from envs.runtimes.onnxruntime.opening import open_on
from envs.runtimes.onnxruntime.parts import parts_of
from envs.runtimes.serving.judging import outputs_of
from envs.spec import (
    ConfigurationFailed,
    ConfigurationSpace,
    Network,
    accelerator,
    local_computer,
    workload_of,
)
from envs.spec.mapping import Mapping
from tests.envs.accuracy.graphs import given, model, node, random, saved

PLACES = ("cpu_fp32", "cpu_int8", "openvino_fp32", "openvino_int8")


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    return saved(tmp_path_factory.mktemp("squeezenet"), build("squeezenet1_1", image_size=64))


def mapped(
    path: Path, network: Network, name: str, cache: Path, samples: Samples | None = None
) -> SegmentedOnnxEngine:
    mapping = Mapping.parse(name)
    files = parts_of(path, network, mapping, cache, samples)
    sessions = [
        open_on(accelerator(where), file.path, 1)
        for where, file in zip(mapping.accelerators, files, strict=True)
    ]
    return SegmentedOnnxEngine(sessions, network)


def whole(path: Path, network: Network) -> OnnxEngine:
    return OnnxEngine(path, 1, [spec.name for spec in network.inputs])


def scales(file: Path) -> dict[str, float]:
    graph = onnx.load(str(file)).graph
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    return {
        each.input[0]: float(values[each.input[1]])
        for each in graph.node
        if each.op_type == "QuantizeLinear"
    }


@pytest.mark.parametrize("name", ["cpu_fp32", "cpu_fp32_to_9_openvino_fp32"])
def test_fp32_answers_as_the_whole_network(
    name: str, squeezenet: tuple[Path, Network], tmp_path: Path
) -> None:
    path, network = squeezenet
    engine, expected = mapped(path, network, name, tmp_path), whole(path, network)
    for rows in (1, 3):
        inputs = [*invented(network, rows, seed=rows).arrays.values()]
        (found,), (wanted,) = engine.run(inputs), expected.run(inputs)
        if name == "cpu_fp32":
            assert found.tobytes() == wanted.tobytes()
        else:
            np.testing.assert_allclose(
                found, wanted, rtol=0, atol=1e-5 * float(np.abs(wanted).max())
            )


def test_only_the_parts_on_int8_are_quantised(
    squeezenet: tuple[Path, Network], tmp_path: Path
) -> None:
    path, network = squeezenet
    samples = invented(network, 4)
    mapping = Mapping.parse("cpu_fp32_to_9_cpu_int8_to_20_openvino_fp32")
    files = parts_of(path, network, mapping, tmp_path, samples)
    assert [bool(scales(each.path)) for each in files] == [False, True, False]
    engine = mapped(path, network, mapping.name, tmp_path, samples)
    expected = outputs_of(whole(path, network), network, samples)
    found = outputs_of(engine, network, samples)
    assert 0.9 < agreement(expected, found, 4, synthetic=True).value < 1
    calls: list[int] = []
    engine.run_segments([*samples.arrays.values()], lambda: calls.append(0))
    assert len(calls) == 2


#: Each layer is a group of its own; the first multiplies by 100, the second keeps all numbers.
CHAIN = model(
    [
        node("Conv", "x hundred", "a"),
        node("Relu", "a", "b"),
        node("Conv", "b one", "c"),
        node("Relu", "c", "y"),
    ],
    {"x": ["n", 4, 8, 8]},
    {"y": ["n", 4, 8, 8]},
    {
        "hundred": 100 * np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1),
        "one": np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1),
    },
)


def test_int8_is_calibrated_on_the_numbers_that_reach_it(tmp_path: Path) -> None:
    path, network = saved(tmp_path, CHAIN)
    assert len(partition_of(path).groups) == 2
    samples = given(x=random(4, 4, 8, 8))
    files = parts_of(path, network, Mapping.parse("cpu_fp32_to_1_cpu_int8"), tmp_path, samples)
    largest = 100 * float(samples.arrays["x"].max())
    assert scales(files[1].path)["b"] == pytest.approx(largest / 255, rel=0.01)
    assert files[1].calibration in ("minmax", "entropy", "percentile")
    assert files[1].calibrated_on == 4
    assert (files[0].calibration, files[0].calibrated_on) == ("", 0)


def test_parts_are_kept_and_shared_as_far_as_mappings_are_alike(tmp_path: Path) -> None:
    path, network = saved(tmp_path, CHAIN)
    cache = tmp_path / "cache"

    def files(name: str) -> list[Any]:
        return [each.path for each in parts_of(path, network, Mapping.parse(name), cache)]

    first = files("cpu_fp32_to_1_cpu_int8")
    times = [each.stat().st_mtime_ns for each in first]
    assert files("cpu_fp32_to_1_cpu_int8") == first
    assert files("openvino_fp32_to_1_cpu_int8")[0] == first[0]
    assert files("openvino_fp32_to_1_cpu_int8")[1] != first[1]
    assert [each.stat().st_mtime_ns for each in first] == times
    kept = first[1].read_bytes()
    first[1].write_bytes(kept[: len(kept) // 2])
    assert files("cpu_fp32_to_1_cpu_int8") == first
    assert scales(first[1])


def test_mappings_that_do_not_fit_say_why(tmp_path: Path) -> None:
    path, network = saved(tmp_path, CHAIN)
    with pytest.raises(OptionError, match="needs more than 2 layer groups; the network has 2"):
        mapped(path, network, "cpu_fp32_to_2_cpu_int8", tmp_path)
    quantised = tmp_path / "made.onnx"
    (int8,) = parts_of(path, network, Mapping(("cpu_int8",)), tmp_path)
    quantised.write_bytes(int8.path.read_bytes())
    with pytest.raises(NetworkError, match="is quantised already"):
        mapped(*saved(tmp_path, onnx.load(str(quantised)), "q"), "cpu_fp32_to_1_cpu_int8", tmp_path)


def test_mappings_are_places_of_the_runtime(tmp_path: Path) -> None:
    path, network = saved(tmp_path, CHAIN)
    plain = ConfigurationSpace(local_computer(PLACES, 1), workload_of([network]), 1, (1, 2))
    space = plain.with_mappings([["cpu_fp32_to_1_cpu_int8", "cpu_int8_to_1_openvino_fp32"]])
    factory = OnnxEngineFactory(space, [path], tmp_path / "cache")
    mixed, openvino = 4, 2
    assert not factory.built(0, mixed, 1)
    factory.build(0, mixed, 1)
    assert factory.calibration(0, mixed) == (UNCALIBRATED, 16)
    picture = [random(2, 4, 8, 8)]
    expected = factory.load(0, 0, 1).run(picture)[0]
    for accelerator_index in (mixed, mixed + 1):
        engine = factory.load(0, accelerator_index, 1)
        assert isinstance(engine, SegmentedOnnxEngine)
        np.testing.assert_allclose(engine.run(picture)[0], expected, atol=4)
    engine = factory.load(0, openvino, 1)
    assert isinstance(engine, OpenVinoEngine)
    np.testing.assert_allclose(engine.run(picture)[0], expected, atol=1e-3)


def test_openvino_runs_no_segments_of_onnx_runtime(tmp_path: Path) -> None:
    path, network = saved(tmp_path, CHAIN)
    device = local_computer(("openvino_fp32",), 1).with_segments((2,))
    space = ConfigurationSpace(device, workload_of([network]), 1, (1,))
    factory = OnnxEngineFactory(space, [path], tmp_path / "cache")
    with pytest.raises(ConfigurationFailed, match="OpenVINO runs a network in one piece"):
        factory.build(0, 1, 1)


@pytest.mark.parametrize("passing", ["Dropout", "Identity", "Relu"])
def test_openvino_reads_an_input_that_something_only_passes_on(
    passing: str, tmp_path: Path
) -> None:
    nodes = [node(passing, "b", "u"), node("Sub", "a u", "t"), node("Add", "t w", "y")]
    ends, weight = {"b": [1, 64], "a": [1, 64]}, np.full(64, 5, np.float32)
    made = model(nodes, ends, {"y": [1, 64]}, {"w": weight}, ir=3, weights_are_inputs=True)
    onnx.save(made, tmp_path / "net.onnx")
    session = open_on(accelerator("openvino_fp32"), tmp_path / "net.onnx", 1)
    feed = {name: np.full((1, 64), value, np.float32) for name, value in (("a", 1), ("b", 3))}
    np.testing.assert_array_equal(session.run(["y"], feed)[0], np.full((1, 64), 3))


def test_openvino_takes_whole_numbers_of_onnx_runtime(tmp_path: Path) -> None:
    kinds = dict.fromkeys(("ids", "y"), onnx.TensorProto.INT64)
    made = model([node("Neg", "ids", "y")], {"ids": [1, 3]}, {"y": [1, 3]}, kinds=kinds)
    onnx.save(made, tmp_path / "net.onnx")
    session = open_on(accelerator("openvino_fp32"), tmp_path / "net.onnx", 1)
    for kind in (np.int64, np.longlong):
        (result,) = session.run(["y"], {"ids": np.array([[1, 2, 3]], dtype=kind)})
        np.testing.assert_array_equal(result, [[-1, -2, -3]])
