"""The benchmark of tails finds the scatter and the tail that windows were drawn with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tails import DATA, LEAST_WINDOWS, fitted, series_of
from benchmarks.tails_recording import Window, read_windows, write_windows

WINDOW = Window("net 1x1", 1.0, 100.0, 100.0, 9.5, 10.0, 9.9, 10.1, 0.0, "a computer")


@pytest.mark.parametrize(("sigma", "weight"), [(0.02, 0.0), (0.1, 0.2), (0.05, 0.5)])
def test_a_tail_is_found_again(sigma: float, weight: float) -> None:
    normals = np.random.default_rng(0).standard_normal(20_000)
    found = fitted(3.0 + sigma * normals * np.exp(weight * normals**2 / 2))
    assert found == pytest.approx((sigma, weight), rel=0.05, abs=0.02)


def test_series_are_calm_and_long_enough() -> None:
    busy = replace(WINDOW, foreign_share=0.5)
    short = replace(WINDOW, series="other")
    windows = [WINDOW] * LEAST_WINDOWS + [busy] + [short] * (LEAST_WINDOWS - 1)
    assert series_of(windows) == {"net 1x1": [WINDOW] * LEAST_WINDOWS}
    unknown = replace(WINDOW, foreign_share=math.nan)
    assert unknown.calm, "nobody says that it was disturbed"


def test_windows_are_kept_as_they_were(tmp_path: Path) -> None:
    windows = [WINDOW, replace(WINDOW, series="a, b", foreign_share=0.25)]
    write_windows(windows, tmp_path / "windows.csv")
    assert read_windows(tmp_path / "windows.csv") == windows


def test_every_recorded_window_says_where_it_is_from() -> None:
    windows = read_windows(DATA)
    assert len(series_of(windows)) >= 2
    assert all(each.source and each.p99_ms >= each.p50_ms > 0 for each in windows)
