"""Train, evaluate and tune on the traces of published measurements, which hold a few rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import call
from tuner.policy.bundle import load_bundle

PARTIAL = "is partial: it holds {} configurations of its space"
AGX = PARTIAL.format("6 of the 48,840")
NANO = PARTIAL.format("3 of the 624")
QUICK = ("evaluation.objectives=4", "evaluation.seeds=1")


@pytest.mark.parametrize(
    ("name", "partial"), [("agx_orin_resnet50", AGX), ("orin_nano_yolo11n_pose_fp16", NANO)]
)
def test_training_on_a_few_rows_ends_in_a_bundle_and_says_that_they_are_few(
    name: str, partial: str, tmp_path: Path
) -> None:
    small = ("agent.envs=64", "agent.batch_size=448", "agent.hidden=16", "agent.steps=900")
    more = ("problems=4", f"run_dir={tmp_path}", "evaluation.tuners=[random]")
    result = call("train", f"trace={name}", *small, *more, *QUICK)
    assert result.returncode == 0, result.stderr
    assert partial in result.stdout
    assert "its numbers are published measurements (" in result.stdout
    bundle = load_bundle(tmp_path / "policy.bundle")
    assert bundle.provenance["origin"] == "replayed"
    assert partial in bundle.provenance["trace"]["remark"]


@pytest.mark.parametrize(
    ("name", "partial", "latency"),
    [
        ("agx_orin_resnet50", AGX, "median of the slowest engine"),
        ("orin_nano_yolov8s_pose_int8", NANO, "p95"),
        ("orin_nano_yolo11n_pose_int8", NANO, "mean latency"),
    ],
)
def test_every_tuner_is_compared_on_a_few_rows(
    name: str, partial: str, latency: str, tmp_path: Path
) -> None:
    bundle = Path(__file__).parents[2] / "checkpoints" / "reference.bundle"
    given = (f"bundle={bundle}", f"out={tmp_path}", "evaluation.jobs=1")
    result = call("evaluate", f"trace={name}", *given, *QUICK)
    assert result.returncode == 0, result.stderr
    report = (tmp_path / "report.html").read_text()
    for text in (result.stdout, report):
        assert partial in text
        assert f"the {latency} stands in for it" in text
        assert "replayed from published measurements of Jetson" in text.replace(
            "Replayed", "replayed"
        )
    assert "nan" not in result.stdout.lower().replace("nano", "")
    assert f"{latency} of " in report, "the axis of the plot"
    oracle = [line for line in result.stdout.splitlines() if line.strip().startswith("oracle")]
    assert all(" 100.0 " in line for line in oracle), "the best row that was recorded"


def test_tuning_on_published_measurements_names_what_was_judged(tmp_path: Path) -> None:
    out = tmp_path / "answer.json"
    given = ("--runtime", "replayed", "--trace", "agx_orin_resnet50", "--power-w", 25, "--out", out)
    result = call("tune", *given, "--allow-uncalibrated")
    assert result.returncode == 0, result.stderr
    assert "uncalibrated INT8, as far as is known" in result.stdout
    assert AGX in result.stderr
    assert "(replayed): most throughput with power <= 25 W" in result.stdout
    assert "inferences/s, median of the slowest engine " in result.stdout
    assert "p99" not in result.stdout
    answer = json.loads(out.read_text())
    assert answer["latency_quantity"] == "median of the slowest engine"
    assert answer["power_w"] <= 25


def test_power_that_nobody_published_cannot_be_limited() -> None:
    given = ("--runtime", "replayed", "--trace", "orin_nano_yolo11n_pose_fp16", "--power-w", 20)
    result = call("tune", *given)
    assert result.returncode == 2
    assert "a power limit of 20 W cannot be kept" in result.stderr


@pytest.mark.parametrize(
    ("goal", "configuration", "score", "said"),
    [
        ("energy", ["dla0", "dla1"], 66.07, "  goal: 66.07 inferences/J, at 20.5 W"),
        ("latency", ["tensor"], 1 / 1.01465, "lowest p99 latency with agreement >= 0.99"),
    ],
)
def test_the_goal_decides_which_published_configuration_is_the_answer(
    goal: str, configuration: list[str], score: float, said: str, tmp_path: Path
) -> None:
    out = tmp_path / "answer.json"
    given = ("--runtime", "replayed", "--trace", "agx_orin_resnet50", "--allow-uncalibrated")
    result = call("tune", *given, "--goal", goal, "--out", out)
    assert result.returncode == 0, result.stderr
    assert said in result.stdout.splitlines() or said in result.stdout
    assert f"goal={goal} without min_rate_ips for resnet50: the smallest" in result.stderr
    answer = json.loads(out.read_text())
    assert [each["accelerator"] for each in answer["configuration"]] == configuration
    assert answer["goal"] == goal
    assert answer["score"] == pytest.approx(score, rel=1e-3)


def test_a_least_rate_beyond_all_published_ones_is_the_reason() -> None:
    given = ("--runtime", "replayed", "--trace", "agx_orin_resnet50", "--allow-uncalibrated")
    result = call("tune", *given, "--min-rate-ips", 3000)
    assert result.returncode == 3
    assert "too much is asked for: resnet50 reached at most" in result.stderr
    assert "of min_rate_ips=3000 (the device model expects" in result.stderr


def test_the_goal_energy_needs_watts() -> None:
    given = ("--runtime", "replayed", "--trace", "orin_nano_yolo11n_pose_fp16", "--goal", "energy")
    result = call("tune", *given)
    assert result.returncode == 2
    assert "goal=energy needs the power of each configuration" in result.stderr
