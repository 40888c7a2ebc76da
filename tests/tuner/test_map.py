"""The command that divides layers among accelerators, and the function behind it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import tuner
from envs.catalog.architectures import write
from envs.catalog.reference_networks import reference_groups
from envs.errors import NetworkError, OptionError
from envs.graph.partition import partition_of
from envs.mappings.costs import GroupCosts
from envs.mappings.search import least_energy, single_accelerators
from tests.tuner.evaluation.test_report import read
from tuner.evaluation.mapping_report import verdict
from tuner.map import main
from tuner.map_answer import LayerMap, MapRequest
from tuner.map_schedule import ScheduleRequest, on_cores, scheduled
from tuner.map_text import MOST, front_table, page_of


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "map.html"


def test_the_table_and_the_report_have_the_numbers_of_the_costs(report, capsys):
    assert main(["--network", "yolov4_416", "--out", str(report)]) == 0
    said = capsys.readouterr().out
    found = tuner.map_layers("yolov4_416")
    assert "yolov4_416 on agx_orin_64 (MAXN): simulated (model), 32 layer groups" in said
    chosen = found.chosen
    assert chosen is not None
    assert (chosen.time_s, chosen.energy_j) == found.costs.of(chosen.chosen)
    for row in front_table(found)[1]:
        assert " ".join(row[1:]) in " ".join(said.split())
    text = read(report.read_text()).text
    assert f"{1e3 * chosen.time_s:.3g} ms" in text
    assert all(f"{each.weight:g})" in text for each in found.gains)
    assert said.count("simulated (model)") == 2


def test_a_network_of_one_layer_has_one_layer_group(tmp_path, report, capsys):
    ends = [helper.make_tensor_value_info(name, 1, [1, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph), tmp_path / "one.onnx")
    assert main(["--network", str(tmp_path / "one.onnx"), "--out", str(report)]) == 0
    assert "1 layer group\n" in capsys.readouterr().out
    assert "1 layer group, one sample" in read(report.read_text()).text


def test_an_onnx_file_has_the_groups_of_its_partition(tmp_path, report, capsys):
    path = write("resnet18", tmp_path)
    assert main(["--network", str(path), "--mode", "30W", "--out", str(report)]) == 0
    groups = len(partition_of(path).groups)
    assert f"resnet18 on agx_orin_64 (30W): simulated (model), {groups} layer" in (
        capsys.readouterr().out
    )
    assert groups == len(reference_groups("resnet18"))


def test_limits_choose_another_mapping():
    free = tuner.map_layers("resnet50", weight=1.0)
    fastest = free.chosen
    assert fastest is not None
    assert fastest.time_s == min(each.time_s for each in free.front)
    limit_mj = 1e3 * (fastest.energy_j - 1e-9)
    held = tuner.map_layers("resnet50", weight=1.0, energy_mj=limit_mj)
    assert held.chosen is not None
    assert held.chosen.energy_j < fastest.energy_j
    thrifty = tuner.map_layers("resnet50", weight=0.0, latency_ms=1e3 * fastest.time_s * 1.02)
    best = least_energy(free.costs, 2, 1.02 * fastest.time_s)
    assert thrifty.chosen is not None
    assert best is not None
    assert thrifty.chosen.energy_j == pytest.approx(best.energy_j)


def test_energy_is_that_of_an_inference_and_time_that_of_a_batch():
    found = tuner.map_layers("resnet18", batch=4, accelerators=["tensor"])
    assert found.costs.batch == 4
    (row,) = [each for each in front_table(found)[1] if each[0] == "alone"]
    single = found.singles[0]
    assert row[2:5] == [
        f"{1e3 * single.time_s:.3f}",
        f"{1e3 * single.energy_j / 4:.2f}",
        f"{4 / single.time_s:,.0f}",
    ]
    assert [gain.share for gain in found.gains] == [0, 0, 0]


def test_without_transitions_a_network_stays_on_one_accelerator():
    found = tuner.map_layers("resnet50", max_transitions=0)
    assert {each.transitions for each in found.front} == {0}
    assert found.front[0].time_s == min(each.time_s for each in found.singles)


def test_what_is_shown_of_a_long_front_has_its_ends_and_the_chosen_one():
    found = tuner.map_layers("densenet121", max_transitions=6, weight=0.75)
    shown = found.shown(MOST)
    assert len(shown) == min(MOST, len(found.front))
    assert (shown[0], shown[-1]) == (found.front[0], found.front[-1])
    page = page_of(found)
    assert page.chosen is not None
    assert page.front[page.chosen].mapping == found.chosen.mapping
    assert len(page.others) == len(found.front)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "network is missing: give an ONNX file, as in --network my.onnx"),
        (["--network", "no.onnx"], "there is no file no.onnx: give an ONNX file, or one of"),
        (["--network", "resnet50", "--board", "thor"], "device.board=thor is unknown"),
        (["--network", "resnet50", "--mode", "1W"], "device.power_mode=1W is unknown"),
        (["--network", "resnet50", "--weight", "1.5"], "weight=1.5 must lie in 0..1"),
        (["--network", "resnet50", "--weight", "nan"], "weight=nan must lie in 0..1"),
        (["--network", "resnet50", "--latency-ms", "0"], "latency_ms=0.0 must be above zero"),
        (["--network", "resnet50", "--energy-mj", "inf"], "energy_mj=inf must be above zero"),
        (["--network", "resnet50", "--batch", "0"], "batch=0 must lie in 1.."),
        (["--network", "resnet50", "--max-transitions", "-1"], "max_transitions=-1 must be"),
        (["--network", "resnet50", "--dla-precision", "fp32"], "dla_precision=fp32 must be one"),
        (["--network", "resnet50", "--accelerators", "npu"], "accelerators=npu is unknown on"),
        (["--network", "resnet50", "--accelerators", "dla0", "dla1"], "uses one DLA core"),
        (["--network", "resnet50", "--accelerators", "cuda", "cpu_fp32"], "not among both"),
        (["--network", "vit_b16", "--accelerators", "dla0"], "dla0 cannot run it"),
        (["network=resnet50"], "network=resnet50: write --network resnet50"),
    ],
)
def test_bad_input_ends_in_one_sentence(flags, sentence, report, capsys):
    assert main([*flags, *([] if flags == ["network=resnet50"] else ["--out", str(report)])]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not report.exists()


def test_nothing_within_the_limits_is_said_and_shown(report, capsys):
    assert main(["--network", "resnet50", "--latency-ms", "0.01", "--out", str(report)]) == 3
    captured = capsys.readouterr()
    assert "chosen: none keeps the limits" in captured.out
    assert "no mapping of resnet50 keeps the limits" in captured.err
    assert "No mapping of resnet50 stays within 0.01 ms." in report.read_text()


def test_a_board_without_dlas_has_the_gpu_alone():
    found = tuner.map_layers("resnet18", board="orin_nano_8")
    assert found.costs.accelerators == ("tensor", "cuda")
    assert all(math.isfinite(gain.share) for gain in found.gains)


def test_the_function_names_a_wrong_option():
    with pytest.raises(OptionError, match="there is no option speed: choose from board, mode"):
        tuner.map_layers("resnet50", speed=3)
    with pytest.raises(NetworkError, match="there is no file nothing"):
        tuner.map_layers("nothing")


def test_two_networks_get_a_schedule_that_is_no_worse_than_whole_networks(report, capsys):
    flags = ["--network", "resnet18", "alexnet", "--max-transitions", "1", "--seconds", "2"]
    assert main([*flags, "--out", str(report)]) == 0
    said = capsys.readouterr().out
    assert "together, simulated (model): all are done after" in said
    assert re.search(r"  alexnet: \w+, done after [\d.]+ ms", said)
    gain = re.search(r"so the gain is (-?[\d.]+) %", said)
    assert gain is not None
    assert float(gain[1]) >= 0
    text = report.read_text()
    assert "How do the networks run together?" in read(text).text
    lanes = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", text)
    assert lanes
    assert all(float(left) + float(width) <= 100.01 for left, width in lanes)


def of_one_group(name: str, request: MapRequest) -> LayerMap:
    """A network of one group: 10 s on the GPU, 2 s on a DLA."""
    time_s, nothing = np.array([[10.0, 2.0]]), np.zeros(2)
    between = np.zeros((1, 2, 2))
    costs = GroupCosts(
        name,
        ("tensor", "dla0"),
        1,
        time_s,
        time_s,
        0 * time_s,
        between,
        between,
        *[nothing] * 4,
        layers=np.ones(1, dtype=int),
        crossing_bytes=np.zeros(1),
    )
    singles = single_accelerators(costs)
    return LayerMap(request, costs, singles, (), singles, (), ())


@pytest.mark.parametrize(
    ("board", "accelerators", "makespan_s", "batches_s", "used"),
    [
        ("agx_orin_64", None, 2.0, 1.0, {"dla0", "dla1"}),
        ("agx_orin_64", ("tensor", "dla0"), 4.0, 0.75, {"dla0"}),
    ],
)
def test_each_of_two_networks_has_a_dla_core_where_there_are_two(
    board, accelerators, makespan_s, batches_s, used
):
    pytest.importorskip("ortools")
    maps = [of_one_group(name, MapRequest(board, accelerators=accelerators)) for name in "ab"]
    found = scheduled(maps, ScheduleRequest("makespan", 2.0))
    assert {run.accelerator for run in found.schedule.runs} == used
    assert found.schedule.makespan_s == pytest.approx(makespan_s)
    assert found.schedule.bound == pytest.approx(makespan_s)
    assert found.gain == pytest.approx(0)
    found = scheduled(maps, ScheduleRequest("throughput", 2.0))
    assert found.schedule.batches_s == pytest.approx(batches_s)


def test_three_networks_share_two_cores_in_every_way_that_uses_both():
    maps = [of_one_group(name, MapRequest()) for name in "abc"]
    ways = on_cores(maps, ("dla0", "dla1"))
    assert [tuple(each.accelerators[1] for each in way) for way in ways] == [
        ("dla0", "dla0", "dla1"),
        ("dla0", "dla1", "dla0"),
        ("dla0", "dla1", "dla1"),
    ]
    assert on_cores(maps, ("dla0",)) == [tuple(each.costs for each in maps)]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--goal", "energy"], "goal=energy is unknown: choose from makespan, throughput"),
        (["--seconds", "0"], "seconds=0.0 must be above zero"),
    ],
)
def test_a_wrong_schedule_is_refused_before_a_network_is_read(flags, sentence, report, capsys):
    assert main(["--network", "resnet18", "alexnet", *flags, "--out", str(report)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_mapping_gains_nothing_over_a_dla_that_leaves_the_same_layers_to_the_gpu():
    found = tuner.map_layers("yolov4_512")
    (helped,) = found.fallbacks
    assert "dla0" not in [each.mapping.name for each in found.singles]
    assert helped.time_s <= found.front[0].time_s
    assert [gain.share for gain in found.gains] == pytest.approx([0, 0, 0])
    assert ["with the GPU", "dla0"] in [row[:2] for row in front_table(found)[1]]
    assert "dla0 with the GPU" in verdict(page_of(found))


def test_free_sizes_of_an_input_are_given(tmp_path, report, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ("n", channels, "h", "w"))
        for name, channels in (("x", 3), ("y", 4))
    ]
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
    path = tmp_path / "free.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    flags = ["--network", str(path), "--out", str(report)]
    assert main(flags) == 2
    assert "are dynamic: name the whole shape" in capsys.readouterr().err
    assert main([*flags, "--shape", "x:1x3x32x32"]) == 0
    assert "free on agx_orin_64 (MAXN)" in capsys.readouterr().out
