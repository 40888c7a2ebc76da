"""The public API: the names that it has, and tuning on every runtime from Python."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tuner
from envs.errors import BundleError, ObjectiveError, OptionError, TunerError
from envs.spec import Configuration, Failure, FailureKind, Measurement, Outcome
from envs.traces.reader import Trace
from tests.standins.tensorrt import stand_ins
from tests.worlds import space
from tuner.exports.answers import read_answer
from tuner.search.random_search import RandomSearch
from tuner.watching.sources import JournalSource

pytestmark = pytest.mark.usefixtures("session_cache")

BOARD = {"runtime": "simulated", "board": "orin_nano_8", "max_instances": 2, "batches": [1, 4]}


def test_the_public_names_are_these() -> None:
    assert tuner.__all__ == [
        "Answer",
        "Configuration",
        "Device",
        "Failure",
        "LayerMap",
        "Measurement",
        "Problem",
        "ServeOptions",
        "Tuner",
        "TunerError",
        "map_layers",
        "open_device",
        "optimize",
        "write_tuning_report",
    ]
    assert dir(tuner) == tuner.__all__
    for name in tuner.__all__:
        assert getattr(tuner, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        tuner.optimise  # noqa: B018


HIDDEN = (
    *("torch", "gymnasium", "hydra", "omegaconf", "stable_baselines3", "optuna", "scipy", "rich"),
    *("pyarrow", "matplotlib", "numba"),
)


def without(hidden: tuple[str, ...], script: str) -> str:
    """Run a script in a Python that has no package of these names, and return what it prints."""
    hide = f"import sys; sys.modules |= dict.fromkeys({hidden!r});"
    absent = "import importlib.util as u; find = u.find_spec;"
    absent += "u.find_spec = lambda name, *more: name in sys.modules and None or find(name, *more);"
    result = subprocess.run(
        [sys.executable, "-c", f"{hide}{absent}{script}"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_it_is_cheap() -> None:
    script = "import tuner; print(sorted(set(sys.modules) & {'numpy', 'envs', 'onnx', 'torch'}))"
    assert without((), script) == "[]\n"
    script = "import tuner; tuner.optimize; tuner.open_device; print('onnxruntime' in sys.modules)"
    assert without((*HIDDEN, "onnx"), script) == "False\n"


def test_deploying_needs_only_what_its_extra_brings(small_onnx: Path, tmp_path: Path) -> None:
    script = (
        "import tuner; from tuner.deploy import main;"
        f"answer = tuner.optimize({str(small_onnx)!r}, measurements=3, window_s=0.05,"
        " max_instances=1, batches=[1]);"
        "print(answer.origin);"
        f"main(['--network', {str(small_onnx)!r}, '--dry-run', '--max-instances', '1',"
        f" '--batches', '1', '--lock', {str(tmp_path / 'lock')!r}])"
    )
    first, *plan = without(HIDDEN, script).splitlines()
    assert first == "measured"
    assert any(line.startswith("safe default: small: cpu_") for line in plan)


def test_one_call_tunes_a_network_on_this_computer(small_onnx: Path) -> None:
    answer = tuner.optimize(
        small_onnx, p99_ms=50_000, measurements=4, window_s=0.1, max_instances=2, batches=[1, 4]
    )
    assert answer.origin == "measured"
    assert answer.limits_kept
    assert str(answer.configuration).startswith("cpu_")
    assert answer.throughput_ips > 0
    assert 0 < answer.p99_ms <= 50_000
    assert 1 <= answer.searched <= 4
    assert answer.confirmation is not None
    assert str(answer).startswith(
        f"{answer.configuration}: {answer.throughput_ips:.1f} inferences/s"
    )


def test_a_board_that_is_simulated_keeps_a_power_limit(small_onnx: Path, tmp_path: Path) -> None:
    seen: list[tuple[Configuration, Outcome]] = []
    answer = tuner.optimize(
        str(small_onnx),
        p99_ms=20,
        power_w=12,
        progress=lambda configuration, outcome: seen.append((configuration, outcome)),
        journal=tmp_path / "journal",
        **BOARD,
    )
    assert answer.origin == "simulated"
    assert answer.limits_kept
    assert 0 < answer.power_w <= 12
    assert seen == answer.tried
    assert "tensor" in str(seen[0][0])
    assert answer.problem.objective.power_w == 12
    written = JournalSource(tmp_path / "journal").poll().moments
    assert [each.number for each in written] == list(range(1, len(seen) + 1))
    for moment, (configuration, outcome) in zip(written, seen, strict=True):
        assert isinstance(outcome, Measurement)
        assert moment.power_w == outcome.power_w
        assert moment.power_limit_w == 12
        assert moment.kept is (answer.problem.judge(outcome)[1] <= 0)
        slots = [slot for tenant in moment.tenants for slot in tenant.slots]
        assert len(slots) == len(list(configuration.slots()))


def test_a_gpu_is_tuned(small_onnx: Path) -> None:
    with stand_ins():
        answer = tuner.optimize(
            small_onnx,
            p99_ms=1000,
            runtime="tensorrt",
            board="agx_orin_64",
            measurements=4,
            window_s=0.1,
            max_instances=1,
            batches=[1, 4],
        )
    assert answer.origin == "measured"
    assert {"tensor", "cuda", "dla0", "dla1"} >= {
        word for word in str(answer.configuration).replace("+", "").split() if "x" not in word
    }


def test_a_recording_is_tuned(trace: Trace) -> None:
    answer = tuner.optimize(runtime="replayed", trace=str(trace.path), p99_ms=60)
    assert answer.origin == "replayed"
    assert answer.limits_kept
    assert answer.networks["net0"].p99_ms == answer.p99_ms <= 60


def test_five_networks_are_tuned_together(small_onnx: Path, other_onnx: Path) -> None:
    paths = [small_onnx, other_onnx, small_onnx, small_onnx, other_onnx]
    answer = tuner.optimize(
        paths, p99_ms=200, measurements=4, runtime="simulated", allow_uncalibrated=True
    )
    assert len(answer.networks) == 5
    assert answer.problem.open
    assert answer.throughput_ips == sum(each.throughput_ips for each in answer.networks.values())
    assert answer.limits_kept
    assert str(answer.configuration).startswith("small: ")


def test_an_open_device_is_tuned_again_and_stays_open(small_onnx: Path) -> None:
    with tuner.open_device(small_onnx, **BOARD) as device:
        slow = tuner.optimize(device, p99_ms=100, measurements=4)
        fast = tuner.optimize(device, p99_ms=[2.0], measurements=4)
        assert slow.throughput_ips > 0.95 * fast.throughput_ips  # windows scatter
        assert isinstance(device.measure(fast.configuration), Measurement)
        with pytest.raises(OptionError, match="batches: an open device has its options already"):
            tuner.optimize(device, batches=[1])
        with pytest.raises(ObjectiveError, match="2 values for 1 tenants"):
            tuner.optimize(device, p99_ms=[1.0, 2.0])


class Everything:
    """A tuner of one's own: it tries the candidates in order."""

    def __init__(self, problem: tuner.Problem) -> None:
        self.rest = [Configuration.of(row) for row in problem.candidates]
        self.result: list[Outcome] = []

    def ask(self) -> Configuration:
        return self.rest[len(self.result)]

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        self.result.append(outcome)


def test_a_tuner_of_ones_own_is_asked_and_told(trace: Trace) -> None:
    options = {"runtime": "replayed", "trace": str(trace.path), "measurements": 6}
    by_class = tuner.optimize(tuner=Everything, **options)
    assert [each for each, _ in by_class.tried[:6]] == [
        Configuration.of(row) for row in trace.placements[:6]
    ]
    with tuner.open_device(runtime="replayed", trace=str(trace.path)) as device:
        given = Everything(device.problem(by_class.problem.objective))
        again = tuner.optimize(device, tuner=given, measurements=6)
        assert [each for each, _ in again.tried] == [each for each, _ in by_class.tried]
        assert len(given.result) == again.searched == 6
    seeded = tuner.optimize(tuner=lambda problem: RandomSearch(problem), **options)
    assert seeded.searched == 6
    with pytest.raises(OptionError, match="either a bundle or a tuner"):
        tuner.optimize(tuner=Everything, bundle="x.bundle", **options)
    with pytest.raises(OptionError, match="risk=bold belongs to the policy"):
        tuner.optimize(tuner=Everything, risk="bold", **options)


def test_an_answer_that_could_not_be_measured_says_so(small_onnx: Path) -> None:
    with tuner.open_device(small_onnx, **BOARD) as device:
        answer = tuner.optimize(device, measurements=3)
    failed = tuner.Answer(
        answer.configuration,
        Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0),
        3.0,
        [],
        0,
        answer.problem,
    )
    assert not failed.limits_kept
    assert math.isnan(failed.throughput_ips)
    assert math.isnan(failed.p99_ms)
    assert math.isnan(failed.power_w)
    assert failed.networks == {}
    assert failed.origin == "nothing could be measured"
    assert json.loads(json.dumps(failed.to_dict()))["throughput_ips"] is None


def test_what_it_keeps_can_be_exported(small_onnx: Path, tmp_path: Path) -> None:
    answer = tuner.optimize(small_onnx, measurements=3, **BOARD)
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(answer.to_dict()))
    slots = read_answer(path).slots
    assert [(slot.instances, slot.batch) for slot in slots] == [
        (instances, batch) for _, _, instances, batch in answer.configuration.slots()
    ]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"measurements": 1}, OptionError, "measurements=1 must be at least 2"),
        ({"window_s": 0}, OptionError, "window_s=0 must be above zero"),
        ({"bundle": "nowhere.bundle"}, BundleError, "there is no policy bundle nowhere.bundle"),
        ({"p99_ms": -1}, ObjectiveError, "a limit must be above zero"),
        ({"p99_ms": "soon"}, ObjectiveError, "is no number"),
        ({"p99_ms": [1, 2]}, ObjectiveError, "2 values for 1 tenants"),
        ({"power_w": 0}, ObjectiveError, "a limit must be above zero"),
        ({"rate": 3}, OptionError, "there is no option 'rate'"),
    ],
)
def test_wrong_arguments_get_one_sentence_before_any_file_is_read(
    options: dict[str, object], error: type[TunerError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        tuner.optimize("nowhere.onnx", **options)


def test_a_configuration_without_a_label_prints_its_numbers() -> None:
    configuration = space().default()
    assert str(configuration) == repr(configuration)
    assert "placements=" in str(configuration)


def test_a_search_ends_when_its_seconds_are_used_up(small_onnx: Path) -> None:
    options: dict[str, Any] = {"runtime": "simulated", "accelerators": ["tensor", "cuda"]}
    answer = tuner.optimize(small_onnx, seconds=4.0, pairs=0, **options)
    assert answer.ended == "the 4 s for the search are used up"
    assert answer.searched < 8
    with pytest.raises(OptionError, match="seconds=0 must be above zero"):
        tuner.optimize(small_onnx, seconds=0, **options)
    with pytest.raises(OptionError, match=r"seconds=5\.0 belongs to the policy"):
        tuner.optimize(small_onnx, seconds=5.0, tuner=RandomSearch, **options)
