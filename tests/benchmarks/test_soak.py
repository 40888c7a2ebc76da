"""The comparisons of the soak: configurations on a computer that drifts, and memory of phases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import growth, main
from benchmarks.soak_phases import Phase, levelled
from envs.spec import Configuration, Failure, FailureKind, Objective
from tuner.control import guard
from tuner.control.period import Period


def test_configurations_are_told_from_the_level_of_the_computer() -> None:
    """The computer gets slower; configurations that came late are not thought to be slow."""
    which = np.array([0, 0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 2] * 10)
    level = np.linspace(0.0, -1.0, len(which))
    speed = np.log([100.0, 150.0, 50.0])
    own, found = levelled(speed[which] + level, which)
    assert np.diff(own) == pytest.approx(np.diff(speed), abs=0.01)
    assert own[which] + found == pytest.approx(speed[which] + level, abs=0.02)


def test_memory_is_compared_between_phases_with_the_same_limit() -> None:
    def phase(limit_ms: float, memory_mib: float) -> Phase:
        return Phase(limit_ms, [], [], [], np.empty((0, 0)), np.empty((0, 0)), memory_mib)

    assert (
        growth([phase(8.0, 160.0), phase(2.0, 190.0), phase(8.0, 160.0), phase(2.0, 190.0)]) == 1.0
    )
    assert growth([phase(8.0, 160.0), phase(2.0, 190.0), phase(8.0, 168.0)]) == pytest.approx(1.05)


def served(configuration: Configuration, score: float) -> Period:
    unread = Failure(FailureKind.BUILD_FAILED, "not read here")
    return Period(
        1,
        0.0,
        guard.Phase.HOLDING,
        configuration,
        unread,
        Objective((10.0,)),
        True,
        score,
        0.0,
        0.0,
        (),
    )


def against(p99_ms: list[list[float]]) -> tuple[float, float]:
    """Return the best fixed one of a slow and a fast configuration on a steady computer."""
    slow, fast = (Configuration((((0, 0), (2, batch)),)) for batch in (1, 2))
    ips = np.repeat([[100.0], [150.0]], 4, axis=1)
    return Phase(
        10.0, [served(slow, 100.0)] * 8, [2, 4, 6, 8], [slow, fast], ips, np.array(p99_ms), 100.0
    ).fixed


def test_the_best_fixed_one_kept_every_limit_and_else_a_broken_round_counts_as_zero() -> None:
    keeps, once, often = [9.0] * 4, [9.0, 9.0, 9.0, 11.0], [11.0, 9.0, 11.0, 11.0]
    assert against([keeps, keeps]) == pytest.approx((150.0, 0.0))
    assert against([keeps, once]) == pytest.approx((100.0, 0.0)), (
        "the faster one broke the limit once"
    )
    assert against([once, once]) == pytest.approx((112.5, 0.25))
    assert against([once, often]) == pytest.approx((75.0, 0.25))


def test_a_missing_bundle_is_reported_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["soak", "--bundle", str(tmp_path / "none.bundle")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert (
        f"there is no policy bundle {tmp_path / 'none.bundle'}: train one"
        in capsys.readouterr().err
    )
