"""RAPL from a tree as the kernel shows it, and nothing where there is none."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from envs.telemetry.sensors import NoSensor, RaplSensor, probe_sensor


def domain(root: Path, name: str, label: str, energy_uj: int, wrap_uj: int = 262_143_328_850) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{wrap_uj}\n")
    return folder


def test_packages_are_summed_and_their_parts_not_counted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    first = domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = domain(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    domain(tmp_path, "intel-rapl:0:0", "core", 900_000)
    sensor = probe_sensor(tmp_path)
    assert isinstance(sensor, RaplSensor)
    assert sensor.has_power
    now[0] += 2.0
    (first / "energy_uj").write_text("31000000")
    (second / "energy_uj").write_text("25000000")
    sample = sensor.read()
    assert sample.total_w == pytest.approx(15 + 10)
    assert sample.rails_w == pytest.approx({"package-0@intel-rapl:0": 15.0, "package-1@intel-rapl:1": 10.0})


def test_the_platform_is_not_added_to_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    package, platform = domain(tmp_path, "intel-rapl:0", "package-0", 0), domain(tmp_path, "intel-rapl:1", "psys", 0)
    sensor = probe_sensor(tmp_path)
    now[0] += 1.0
    (package / "energy_uj").write_text("10000000")
    (platform / "energy_uj").write_text("18000000")
    assert sensor.read().total_w == pytest.approx(10.0)


def test_a_counter_that_wrapped_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    package = domain(tmp_path, "intel-rapl:0", "package-0", 99_000_000, wrap_uj=100_000_000)
    sensor = probe_sensor(tmp_path)
    now[0] += 1.0
    (package / "energy_uj").write_text("4000000")
    assert sensor.read().total_w == pytest.approx(5.0)


def test_no_tree_is_nan_never_zero(tmp_path: Path) -> None:
    sensor = probe_sensor(tmp_path / "missing")
    assert isinstance(sensor, NoSensor)
    assert not sensor.has_power
    assert math.isnan(sensor.read().total_w)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_for_root_alone_count_as_none(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0", 1)
    (package / "energy_uj").chmod(0)
    assert isinstance(probe_sensor(tmp_path), NoSensor)


def test_a_damaged_tree_counts_as_none(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0", 1)
    (package / "energy_uj").write_text("")
    assert isinstance(probe_sensor(tmp_path), NoSensor)
