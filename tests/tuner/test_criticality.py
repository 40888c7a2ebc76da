"""Options that say which networks are critical and which are best effort."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.errors import ObjectiveError, OptionError
from tests.worlds import critical_and_best_effort, network
from tuner.objectives import asked, objective_of
from tuner.options import ServeOptions

WORKLOAD = critical_and_best_effort(network("a"), network("b"), names=("a", "b"))


def serve(**options: Any) -> ServeOptions:
    return ServeOptions(network=["a.onnx", "b.onnx"], runtime="simulated", **options)


def test_a_single_latency_limit_is_for_the_critical_networks() -> None:
    assert objective_of(asked(20.0), WORKLOAD).p99_ms == (20.0, math.inf)
    assert objective_of(asked([20.0, 300.0]), WORKLOAD).p99_ms == (20.0, 300.0)
    assert objective_of(asked(), WORKLOAD).p99_ms == (math.inf, math.inf)


def test_a_limit_that_would_limit_nothing_is_refused() -> None:
    low = replace(WORKLOAD.tenants[1], name="a"), WORKLOAD.tenants[1]
    with pytest.raises(ObjectiveError, match="p99_ms=20 limits critical networks, and all are"):
        objective_of(asked(20.0), replace(WORKLOAD, tenants=low))
    assert objective_of(asked(), replace(WORKLOAD, tenants=low)).p99_ms == (math.inf, math.inf)
    assert objective_of(asked(20.0), replace(WORKLOAD, tenants=low[1:])).p99_ms == (20.0,)


def test_best_effort_may_run_in_segments_and_the_critical_may_not() -> None:
    space = serve(criticality=["critical", "best_effort"]).unread_space()
    assert space.device.accelerator_names == ("cpu_fp32", "cpu_fp32_in_4", "cpu_fp32_in_16")
    assert space.unavailable == {(0, 1), (0, 2)}
    two = serve(criticality=["critical", "best_effort"], segments=[2]).unread_space()
    assert two.device.accelerator_names == ("cpu_fp32", "cpu_fp32_in_2")
    assert serve().unread_space().device.accelerator_names == ("cpu_fp32",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criticality": ["critical"]}, "criticality has 1 values for 2 networks"),
        ({"criticality": ["critical", "low"]}, "criticality=low is unknown"),
        ({"segments": [4]}, "segments=.4. are for best effort"),
        ({"criticality": ["critical", "best_effort"], "segments": [1]}, "at least 2"),
        ({"criticality": ["critical", "best_effort"], "segments": [4, 4]}, "each once"),
        ({"criticality": ["critical", "best_effort"], "segments": []}, "at least 2"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict[str, list[str]], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        serve(**options).unread_space()


def test_segments_belong_to_runtimes_that_can_cut_networks(tmp_path: Path) -> None:
    network = [str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")]
    for each in network:
        Path(each).touch()
    mixed = ["critical", "best_effort"]
    ServeOptions(network=network, runtime="tensorrt", segments=[4], criticality=mixed).check()
    options = ServeOptions(network=network, runtime="replayed", trace="a", segments=[4])
    with pytest.raises(OptionError, match="segments has no meaning for runtime=replayed"):
        options.check()
