"""What a critical network has alone is measured before the others are there."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from envs.errors import ObjectiveError, OptionError, RuntimeFault
from tuner.alone import check_slowdown, limits_alone
from tuner.api import optimize
from tuner.options import ServeOptions


@pytest.fixture
def serve(small_onnx: Path, other_onnx: Path) -> ServeOptions:
    return ServeOptions(
        network=[str(small_onnx), str(other_onnx)],
        runtime="simulated",
        accelerators=["tensor", "cuda"],
        batches=[1, 4],
        max_instances=2,
        criticality=["critical", "best_effort"],
    )


def test_a_critical_network_gets_a_limit_by_what_it_has_alone(serve: ServeOptions) -> None:
    wide, narrow = (limits_alone(serve, slowdown, None, 1.0) for slowdown in (2.0, 1.1))
    assert narrow[1] == wide[1] == math.inf, "best effort has none"
    assert wide[0] / narrow[0] == pytest.approx(2.0 / 1.1, rel=0.05)
    both = limits_alone(replace(serve, criticality=None), 1.1, None, 1.0)
    assert math.isfinite(both[1]), "two critical networks have one each"


def test_a_tighter_limit_stays(serve: ServeOptions) -> None:
    assert limits_alone(serve, 1.1, 1e-3, 1.0) == [1e-3, math.inf]
    assert limits_alone(serve, 1.1, [1e-3, 7.0], 1.0) == [1e-3, 7.0]
    assert limits_alone(serve, 1.1, 1e6, 1.0)[0] < 1e6
    with pytest.raises(ObjectiveError, match="p99_ms has 3 values for 2 tenants"):
        limits_alone(serve, 1.1, [1.0, 2.0, 3.0], 1.0)


def test_tuning_keeps_the_critical_network_within_its_slowdown(serve: ServeOptions) -> None:
    answer = optimize(serve, slowdown=1.1, measurements=4, pairs=0)
    limit_ms = answer.problem.objective.p99_ms[0]
    assert answer.limits_kept
    assert answer.networks["small"].p99_ms <= limit_ms
    assert answer.networks["other"].throughput_ips > 0


def test_what_makes_no_sense_is_one_sentence(serve: ServeOptions) -> None:
    with pytest.raises(OptionError, match=r"slowdown=0\.9 must be at least 1"):
        check_slowdown(0.9, serve)
    with pytest.raises(OptionError, match="give two"):
        check_slowdown(1.1, replace(serve, network=serve.network[:1]))
    for wrong in (math.nan, math.inf):
        with pytest.raises(OptionError, match=f"slowdown={wrong} must be at least 1, and finite"):
            check_slowdown(wrong, serve)
    with pytest.raises(OptionError, match="and here is none: leave it out"):
        check_slowdown(1.1, replace(serve, criticality=["best_effort"] * 2))
    check_slowdown(1.1, replace(serve, criticality=None))
    check_slowdown(None, serve)


def test_mappings_of_the_others_are_no_matter_alone(serve: ServeOptions) -> None:
    mapped = replace(serve, accelerators=["tensor", "dla0"], mappings=["other:dla0_to_1_tensor"])
    assert math.isfinite(limits_alone(mapped, 1.5, None, 1.0)[0])


def test_a_network_without_an_answer_has_no_limit_to_go_by(
    serve: ServeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([math.nan, 3.0, 1.0] + [math.nan] * 3)
    monkeypatch.setattr("tuner.alone._p99_ms", lambda *_: next(found))
    assert limits_alone(serve, 2.0, None, 1.0)[0] == 4.0
    with pytest.raises(RuntimeFault, match="no request was answered in windows of 1 s"):
        limits_alone(serve, 2.0, None, 1.0)
