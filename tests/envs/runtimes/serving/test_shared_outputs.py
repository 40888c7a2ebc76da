"""An output without a batch belongs to every request as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationSpace, local_computer, workload_of
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedFactory


@pytest.mark.parametrize("streams", [False, True])
def test_anchors_with_as_many_rows_as_the_batch_are_not_split(
    tmp_path: Path, streams: bool
) -> None:
    table = np.arange(8, dtype=np.float32).reshape(2, 4)
    graph = helper.make_graph(
        [
            helper.make_node("Neg", ["x"], ["y"]),
            helper.make_node("Identity", ["table"], ["anchors"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("anchors", TensorProto.FLOAT, [2, 4]),
        ],
        [numpy_helper.from_array(table, "table")],
    )
    path = tmp_path / "net.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    space = ConfigurationSpace(local_computer(cores=1), workload_of([read_network(path)]), 1, (2,))
    inner = OnnxEngineFactory(space, [path], tmp_path)
    factory = ScriptedFactory(streams=streams, inner=inner)
    with ServingRuntime(space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(Configuration((((1, 2), (0, 0)),)))
        samples = [np.full(3, number, np.float32) for number in range(12)]
        futures = [runtime.submit(0, sample) for sample in samples]
        for sample, future in zip(samples, futures, strict=True):
            answer = future.result(60)
            np.testing.assert_array_equal(answer["y"], -sample)
            np.testing.assert_array_equal(answer["anchors"], table)
        assert 2 in factory.engines[0].batches[1:], "the first batch is the proof"
