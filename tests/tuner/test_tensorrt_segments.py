"""Best effort in segments on TensorRT, from the options to a measured window: over stand-ins."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from envs.catalog.graph_builder import GraphBuilder
from envs.spec import Measurement
from tests.standins.tensorrt import stand_ins
from tuner.device import open_device

pytestmark = pytest.mark.usefixtures("own_cache")


def network(folder: Path, name: str, layers: int) -> str:
    graph = GraphBuilder(0)
    x = "input"
    for _ in range(layers):
        x = graph.relu(graph.conv(x, 8, 3, pad=1))
    x = graph.linear(graph.flatten(graph.global_average(x)), 10)
    onnx.save(graph.model(name, x, 32), folder / f"{name}.onnx")
    return str(folder / f"{name}.onnx")


def test_best_effort_is_cut_judged_and_measured_beside_a_critical_network(tmp_path: Path) -> None:
    networks = [network(tmp_path, "critical", 2), network(tmp_path, "best", 5)]
    with (
        stand_ins(),
        open_device(
            networks,
            runtime="tensorrt",
            criticality=["critical", "best_effort"],
            segments=[4],
            accelerators=["tensor", "dla0"],
            dla_precision="fp16",
            rate_ips=[50.0, float("inf")],
            batches=[1],
            max_instances=1,
            engines="all",
        ) as device,
    ):
        names = list(device.space.device.accelerator_names)
        assert names == ["tensor", "dla0", "tensor_in_4", "dla0_in_4"]
        cut = names.index("tensor_in_4")
        assert (1, cut) in device.agreements
        assert (0, cut) in device.space.unavailable
        both = device.configuration(
            {"critical": {"tensor": (1, 1)}, "best": {"tensor_in_4": (1, 1)}}
        )
        outcome = device.measure(both, window_s=0.3)
    assert isinstance(outcome, Measurement)
    assert all(each.requests > 0 for each in outcome.tenants)
    assert device.readiness is not None
    assert (1, names.index("dla0_in_4"), 4) in device.readiness.known.blocks
