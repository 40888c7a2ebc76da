"""The live benchmark of critical and best-effort networks: its arithmetic, and that it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import criticality
from benchmarks.criticality_load import _busy, _due, _inside
from benchmarks.criticality_modes import MODES


def test_requests_count_by_the_share_of_their_time_inside() -> None:
    assert _inside([(0.0, 2.0), (1.0, 3.0), (3.5, 4.5), (9.0, 9.5)], 1.0, 4.0) == 0.5 + 1 + 0.5


def test_time_with_requests_counts_once() -> None:
    assert _busy([(0.0, 2.0), (1.5, 3.0), (5.0, 9.0)], 1.0, 6.0) == pytest.approx(3 / 5)


def test_uniform_arrivals_are_even_and_poisson_arrivals_have_the_rate() -> None:
    assert list(_due("uniform", 4.0, 1.1, 0)) == [0.25, 0.5, 0.75, 1.0]
    assert len(list(_due("poisson", 100.0, 100.0, 0))) == pytest.approx(10_000, abs=400)


def test_every_mode_is_measured_under_every_kind_of_arrivals(
    small_onnx: Path,
    other_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = tmp_path / "figures.json"
    given = ["criticality", "--mixes", f"{small_onnx}+{other_onnx}:3", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", [*given, "--window", "0.3", "--json", str(figures)])
    monkeypatch.setattr(criticality, "PROBE_S", 0.2)
    criticality.main()  # whether its goals hold depends on the computer
    names = [each["name"] for each in json.loads(figures.read_text())]
    for mode in MODES:
        for arrivals in ("closed", "uniform", "poisson"):
            assert any(f"{arrivals} arrivals, {mode}: critical p99" in name for name in names)
