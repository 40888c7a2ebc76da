"""The evaluate command, with and without a trace, and its live check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.errors import ObjectiveError, OptionError, TraceError
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.recording import RecordOptions, record
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationSpace, Goal
from envs.telemetry.none import NoSensor
from envs.traces.reader import Trace, read_trace
from envs.traces.writer import TraceWriter
from tuner.evaluate import EvaluateCommand, EvaluationOptions, evaluate, trace_cases
from tuner.evaluation.live import LiveOptions
from tuner.evaluation.simulated import simulated_cases
from tuner.objectives import asked

QUICK = EvaluationOptions(objectives=6, seeds=2, tuners=["random", "hill_climb"])


def test_it_writes_a_report_and_figures(trace: Trace, tmp_path: Path) -> None:
    report = evaluate(trace_cases(trace, QUICK), {}, QUICK, tmp_path)
    assert report.html == tmp_path / "report.html"
    assert "Replayed from a trace" in report.html.read_text()
    assert (tmp_path / "summary.csv").read_text().startswith("tuner,budget_measurements,")
    assert set(report.comparison.tuners) == {"random", "hill_climb", "oracle"}


def test_without_a_trace_problems_are_simulated_and_the_report_says_so(tmp_path: Path) -> None:
    options = EvaluationOptions(objectives=4, seeds=1, tuners=["hill_climb", "vendor_gpu_dla"])
    draw = EvaluateCommand().draw
    draw.small_spaces = 1.0
    cases = simulated_cases(draw, options.objectives, options.seed)
    report = evaluate(cases, {}, options, tmp_path)
    assert report.trace is None
    text = report.html.read_text()
    assert "Simulated by the device model; no device was measured" in text
    assert "by board, network and number of tenants" in text
    assert set(report.comparison.tuners) == {"hill_climb", "vendor_gpu_dla"}
    with pytest.raises(OptionError, match="give a trace"):
        evaluate(cases, {}, options, tmp_path, LiveOptions(["some.onnx"]))


def test_a_policy_is_compared_with_the_rule_at_equal_risk(
    trace: Trace, policy: tuple[object, Path], tmp_path: Path
) -> None:
    options = EvaluationOptions(
        objectives=4, seeds=1, tuners=["random", "expected_gain"], training_problems=3
    )
    report = evaluate(trace_cases(trace, options), {"policy": policy[1]}, options, tmp_path)
    assert set(report.comparison.tuners) == {"policy", "random", "expected_gain", "oracle"}
    assert {point.tuner for point in report.front} == {"policy", "expected_gain"}
    text = report.html.read_text()
    assert "on 3 training problems it breaks" in text
    assert "Over the untrained rule at equal risk, learning adds" in text
    with pytest.raises(OptionError, match=r"evaluation\.risk=reckless"):
        EvaluationOptions(risk="reckless")


def test_objectives_are_repeatable_and_held_out(trace: Trace) -> None:
    one, same = trace_cases(trace, QUICK).objectives, trace_cases(trace, QUICK).objectives
    other = trace_cases(trace, EvaluationOptions(objectives=6, seed=2)).objectives
    assert (one.p99_ms == same.p99_ms).all()
    assert not np.array_equal(one.p99_ms, other.p99_ms)


def test_goal_and_least_rates_are_those_of_every_objective(trace: Trace) -> None:
    found = trace_cases(trace, QUICK, asked(goal="latency", min_rate_ips=7.0)).objectives
    assert found.goal is Goal.LATENCY
    assert found.min_rate_ips is not None
    assert found.min_rate_ips.tolist() == [[7.0]] * 6
    same = trace_cases(trace, QUICK).objectives
    assert np.array_equal(same.p99_ms, found.p99_ms)
    with pytest.raises(ObjectiveError, match="recorded without a power sensor"):
        trace_cases(trace, QUICK, asked(goal="energy"))


def test_choices_are_run_live_again_and_another_network_is_refused(
    live_space: ConfigurationSpace,
    small_onnx: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trace: Trace,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    path = tmp_path / "live.parquet"
    plan = [Configuration.of(row) for row in live_space.catalogue[:4]]
    with TraceWriter(
        path,
        live_space,
        {
            "plan": {},
            "serving": {},
            "record": {"window_s": 0.1, "attempts": 1},
            "started": "2026-01-01T00:00:00Z",
        },
    ) as writer:
        factory = OnnxEngineFactory(live_space, [small_onnx], cache)
        with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
            record(runtime, plan, writer, RecordOptions(window_s=0.1, attempts=1))
        writer.publish(complete=True)
    options = EvaluationOptions(objectives=2, seeds=1, tuners=["random"])
    live = LiveOptions([str(small_onnx)], choices=2)
    report = evaluate(trace_cases(read_trace(path), options), {}, options, tmp_path, live)
    assert report.trace is not None
    assert 1 <= len(report.live) <= 2
    assert report.live[0].same_machine == (live_space.device.name == report.trace.space.device.name)
    assert report.live[0].live_ips > 0
    with pytest.raises(TraceError, match="recorded with net0"):
        evaluate(trace_cases(trace, options), {}, options, tmp_path, live)
