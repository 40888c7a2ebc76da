"""The one way to a device: every runtime by name, early errors, and how a device is used."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest

import tuner
from envs.errors import (
    DependencyError,
    NetworkError,
    ObjectiveError,
    OptionError,
    TraceError,
    TunerError,
)
from envs.problems.problem import Problem
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.simulator.machine import machine_of
from envs.spec import (
    ConfigurationFailed,
    Failure,
    FailureKind,
    Kind,
    Measurement,
    Objective,
    Origin,
)
from envs.telemetry.none import NoSensor
from envs.traces.reader import Trace, read_trace
from tests.standins.tensorrt import stand_ins
from tests.standins.tensorrt.driver import ORIN
from tests.worlds import space, write_trace
from tuner.device import Device, open_device
from tuner.model_at import at_rates, rates_of
from tuner.options import RUNTIMES, ServeOptions

pytestmark = pytest.mark.usefixtures("session_cache")

QUICK = {"max_instances": 2, "batches": [1, 4]}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_opens_by_name_and_measures(
    runtime: str, small_onnx: Path, trace: Trace
) -> None:
    options = {
        "onnxruntime": QUICK,
        "tensorrt": QUICK | {"board": "agx_orin_64"},
        "simulated": QUICK | {"board": "orin_nano_8"},
        "replayed": {"trace": str(trace.path)},
    }[runtime]
    networks = () if runtime == "replayed" else small_onnx
    with stand_ins(), open_device(networks, runtime=runtime, **options) as device:
        first = device.space.default()
        outcome = device.measure(first, window_s=0.1)
        assert isinstance(outcome, Measurement)
        expected = {"simulated": Origin.SIMULATED, "replayed": Origin.REPLAYED}
        assert outcome.origin is expected.get(runtime, Origin.MEASURED) is device.runtime.origin
        assert device.model.space == device.space
        assert rates_of(device.model_at((25.0,)).space) == (25.0,)
        assert all("no CUDA graphs" in each for each in device.remarks())
        problem = device.problem(Objective((1e6,)))
        assert isinstance(problem, Problem)
        assert problem.default == first
        assert (device.candidates is None) == (runtime != "replayed")
        assert len(problem.candidates) == len(device.space.catalogue)
    device.close()
    with pytest.raises(TunerError, match="closed"):
        device.measure(first, window_s=0.1)


def test_a_gpu_and_its_dlas_are_accelerators(small_onnx: Path) -> None:
    with stand_ins(), open_device(small_onnx, runtime="tensorrt", **QUICK) as device:
        assert device.space.device.accelerator_names == ("cuda", "tensor", "dla0", "dla1")
        outcome = device.measure({"tensor": (2, 4), "cuda": (1, 1)}, window_s=0.1)
        assert isinstance(outcome, Measurement)
        assert outcome.origin is Origin.MEASURED
    with (
        stand_ins(),
        open_device(
            small_onnx,
            runtime="tensorrt",
            accelerators=["dla1"],
            allow_uncalibrated=True,
            **QUICK,
        ) as device,
    ):
        assert [each.kind for each in device.space.device.accelerators] == [Kind.DLA]


def test_a_container_on_a_board_in_30_w_is_modelled_there_and_the_guess_is_said(
    small_onnx: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_30_w = replace(ORIN, sm=8, memory_mib=62_841.0, memory_clock_mhz=612.0)
    with (
        stand_ins(gpu=in_30_w),
        caplog.at_level(logging.WARNING),
        open_device(small_onnx, runtime="tensorrt", **QUICK) as device,
    ):
        assert device.model.machine == machine_of("agx_orin_64", "30W", precision="fp16")
    assert "agx_orin_64 in 30W best" in caplog.text


def test_a_gpu_that_is_like_no_board_can_be_measured_and_has_no_model(small_onnx: Path) -> None:
    sentence = "'NVIDIA Thor' is not a board of the catalog"
    thor = replace(ORIN, name="NVIDIA Thor", capability=(11, 0))
    with stand_ins(gpu=thor) as modules:
        with open_device(small_onnx, runtime="tensorrt", **QUICK) as device:
            assert isinstance(device.measure({"cuda": (1, 1)}, window_s=0.1), Measurement)
            with pytest.raises(OptionError, match=sentence):
                device.problem(Objective((50.0,)))
        builds = len(modules.tensorrt.world.configs)
        with pytest.raises(OptionError, match=sentence):
            open_device(small_onnx, runtime="tensorrt", needs_model=True, batches=[2])
        assert len(modules.tensorrt.world.configs) == builds, "before anything is built"


def test_an_engine_that_cannot_be_built_leaves_its_accelerator_out(
    small_onnx: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {1: "no INT8 here"}

    def build(factory: object, tenant: int, column: int, batch: int, step: object) -> None:
        if column in broken:
            raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, broken[column]))

    monkeypatch.setattr(OnnxEngineFactory, "build", build)
    options = QUICK | {"allow_uncalibrated": True}
    with caplog.at_level(logging.WARNING), open_device(small_onnx, **options) as device:
        assert [record.getMessage() for record in caplog.records] == [
            "without cpu_int8 for small: no INT8 here"
        ]
        assert device.space.unavailable == {(0, 1)}
        assert not device.space.catalogue[:, 0, 1].any()
        outcome = device.measure({"cpu_int8": (1, 1)})
        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.INVALID
    broken[0] = "no FP32 either"
    with pytest.raises(OptionError, match=r"small cannot be served here.*no FP32 either"):
        open_device(small_onnx, **options)


@pytest.mark.parametrize("runtime", ["simulated", "onnxruntime"])
def test_three_networks_are_more_than_can_be_listed(
    runtime: str, small_onnx: Path, other_onnx: Path
) -> None:
    paths = [small_onnx, other_onnx, small_onnx]
    rates = [math.inf, 20.0, math.inf]
    with open_device(paths, runtime=runtime, rate_ips=rates, allow_uncalibrated=True) as device:
        assert not device.space.enumerable
        assert device.space.workload.names == ("small", "other", "small_2")
        problem = device.problem(Objective((500.0, 500.0, 500.0)))
        assert problem.open
        for row in problem.candidates[:20]:
            device.space.check(tuner.Configuration.of(row))
        given = {
            name: {device.space.device.accelerator_names[0]: (1, 1)} for name in ("small", "other")
        }
        assert isinstance(device.measure(given, 0.1), Failure), "small_2 is not served"
        given["small_2"] = given["small"]
        outcome = device.measure(given, 0.1)
        assert isinstance(outcome, Measurement)
        assert len(outcome.tenants) == 3


def test_other_arrivals_are_another_space() -> None:
    assert at_rates(space(tenants=2), (5.0, 6.0)).workload.tenants[1].rate_ips == 6.0


def test_weights_follow_the_work_unless_they_are_given(small_onnx: Path, other_onnx: Path) -> None:
    with open_device([small_onnx, other_onnx], runtime="simulated") as device:
        small, other = device.space.workload.tenants
        assert small.weight == pytest.approx(small.network.macs / other.network.macs)
    with open_device([small_onnx, other_onnx], runtime="simulated", weight=[1, 3]) as device:
        assert device.space.workload.weights == (1, 3)


def test_a_recording_is_of_the_networks_that_are_named(small_onnx: Path, trace: Trace) -> None:
    with pytest.raises(TraceError, match="was recorded with net0"):
        open_device(small_onnx, runtime="replayed", trace=str(trace.path))


def test_a_recording_gives_its_rows_and_no_other(tmp_path: Path) -> None:
    written = write_trace(tmp_path / "part.parquet", space(), keep=0.5)
    with open_device(runtime="replayed", trace=str(written.path)) as device:
        assert device.candidates is not None
        assert len(device.candidates) == len(written.rows) < len(device.space.catalogue)
        assert len(device.problem(Objective((60.0,))).candidates) == len(written.rows)
    assert read_trace(written.path).space == written.space


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"npu": (1, 1)}, "no accelerator 'npu' here: choose from cpu_fp32, cpu_int8"),
        ({"large": {"cpu_fp32": (1, 1)}}, "no network 'large' here: choose from small"),
        ({"cpu_fp32": 2}, r"cpu_fp32=2 must be \(instances, batch\)"),
        ({"cpu_fp32": (1, 2, 3)}, "must be"),
        ({"cpu_fp32": (-1, 2)}, "must be"),
        ({"cpu_fp32": (1, 1 << 40)}, "must be"),
    ],
)
def test_a_configuration_that_makes_no_sense_gets_one_sentence(
    given: dict[str, object], sentence: str, small_onnx: Path
) -> None:
    with open_device(small_onnx, runtime="simulated", board="orin_nano_8") as board:
        device = Device(board.runtime, board.model_at)
        names = {"cpu_fp32": "cuda"}
        renamed = {names.get(key, key): value for key, value in given.items()}
        words = sentence.replace("cpu_fp32, cpu_int8", "tensor, cuda").replace("cpu_fp32", "cuda")
        with pytest.raises(OptionError, match=words):
            device.measure(renamed)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"runtime": "warp"}, OptionError, "runtime=warp is unknown: choose from onnxruntime"),
        ({"bord": "x"}, OptionError, "there is no option 'bord': choose from network, runtime"),
        ({"board": "agx_orin_64"}, OptionError, "board has no meaning for runtime=onnxruntime"),
        ({"trace": "resnet50"}, OptionError, "trace has no meaning for runtime=onnxruntime"),
        ({"runtime": "simulated", "cores": 1}, OptionError, "cores has no meaning"),
        ({"runtime": "simulated", "board": "agx_thor"}, OptionError, "agx_thor is unknown"),
        ({"runtime": "simulated", "mode": "99W"}, OptionError, "99W is unknown"),
        ({"runtime": "replayed"}, OptionError, "trace is missing"),
        ({"runtime": "replayed", "trace": "x"}, TraceError, "there is no trace 'x'"),
        ({"accelerators": ["npu"]}, OptionError, "unknown accelerator 'npu'"),
        ({"accelerators": []}, OptionError, "must name at least one"),
        ({"accelerators": ["tensor"]}, OptionError, "has no accelerator 'tensor'"),
        ({"max_instances": 0}, OptionError, "max_instances=0 must be at least 1"),
        ({"batches": [4, 1]}, OptionError, "must be ascending"),
        ({"max_total_instances": 0}, OptionError, "max_total_instances=0"),
        ({"rate_ips": [1.0, 2.0]}, OptionError, "rate_ips has 2 values for 1 networks"),
        ({"rate_ips": [-1.0]}, OptionError, "rate_ips=-1.0 must be above zero"),
        ({"weight": [0.0]}, OptionError, "weight=0.0 must be above zero"),
        ({"sensor": "wattmeter"}, OptionError, "sensor=wattmeter: choose one of auto"),
        ({"runtime": "tensorrt"}, DependencyError, "TensorRT cannot be imported|pycuda"),
    ],
)
def test_a_wrong_option_is_found_before_anything_is_built(
    options: dict[str, object],
    error: type[TunerError],
    sentence: str,
    small_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(factory: object, *place: object) -> None:
        raise AssertionError("nothing may be built")

    monkeypatch.setattr(OnnxEngineFactory, "build", build)
    networks = () if options.get("runtime") == "replayed" else small_onnx
    with pytest.raises(error, match=sentence):
        open_device(networks, **options)


def test_a_power_limit_that_nobody_can_read_is_found_before_anything_is_built(
    small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(factory: object, *place: object) -> None:
        raise AssertionError("nothing may be built")

    monkeypatch.setattr(OnnxEngineFactory, "build", build)
    monkeypatch.setattr("tuner.live.probe_sensor", lambda kind, on_gpu: NoSensor())
    with pytest.raises(ObjectiveError, match="a power limit of 10 W cannot be kept"):
        open_device(small_onnx, power_w=10)


def test_options_are_frozen_and_can_be_given_as_one(small_onnx: Path) -> None:
    options = ServeOptions([str(small_onnx)], "simulated", **QUICK)
    with open_device(options, board="orin_nano_8") as device:
        assert device.space.device.name.startswith("Jetson Orin Nano")
    with pytest.raises(AttributeError):
        options.runtime = "replayed"  # type: ignore[misc]
    with pytest.raises(OptionError, match="network is missing"):
        open_device()
    with pytest.raises(NetworkError, match=r"there is no file nowhere\.onnx"):
        open_device("nowhere.onnx")
