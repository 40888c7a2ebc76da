from __future__ import annotations

import time
from pathlib import Path

import pytest

from envs.errors import SensorError
from envs.telemetry.rapl import RaplSensor
from tests.envs.telemetry import trees
from tests.envs.telemetry.rights import closed_to_others


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_packages_are_summed_and_their_parts_not_counted_twice(
    tmp_path: Path, now_s: list[float]
) -> None:
    first = trees.package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = trees.package(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    trees.package(tmp_path, "intel-rapl:0:0", "core", 900_000)
    sensor = RaplSensor(tmp_path)
    now_s[0] += 2.0
    (first / "energy_uj").write_text("31000000")
    (second / "energy_uj").write_text("25000000")
    sample = sensor.read()
    assert sample.total_w == pytest.approx(15 + 10)
    assert sample.rails_w == pytest.approx(
        {"package-0@intel-rapl:0": 15.0, "package-1@intel-rapl:1": 10.0}
    )
    assert sample.energy_j == {"package-0@intel-rapl:0": 31.0, "package-1@intel-rapl:1": 25.0}


def test_the_platform_is_not_added_to_its_packages(tmp_path: Path, now_s: list[float]) -> None:
    package = trees.package(tmp_path, "intel-rapl:0", "package-0", 0)
    platform = trees.package(tmp_path, "intel-rapl:1", "psys", 0)
    sensor = RaplSensor(tmp_path)
    now_s[0] += 1.0
    (package / "energy_uj").write_text("10000000")
    (platform / "energy_uj").write_text("18000000")
    assert sensor.read().total_w == pytest.approx(10.0)


def test_a_counter_that_wrapped_around(tmp_path: Path, now_s: list[float]) -> None:
    package = trees.package(tmp_path, "intel-rapl:0", "package-0", 99_000_000, wrap_uj=100_000_000)
    sensor = RaplSensor(tmp_path)
    now_s[0] += 1.0
    (package / "energy_uj").write_text("4000000")
    assert sensor.read().total_w == pytest.approx(5.0)


def test_a_missing_tree_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        SensorError,
        match=r"rapl: no energy counters below .*: this processor or virtual machine shows none",
    ):
        RaplSensor(tmp_path)


def test_counters_for_root_alone_give_advice(public_root: Path) -> None:
    """Linux restricts them to root since CVE-2020-8694."""
    counter = trees.package(public_root, "intel-rapl:0", "package-0", 1) / "energy_uj"
    with (
        closed_to_others(counter),
        pytest.raises(
            SensorError,
            match=r"energy_uj may not be read by this user: run as root, or .*sudo chmod a\+r",
        ),
    ):
        RaplSensor(public_root)


def test_a_damaged_tree_is_an_error(tmp_path: Path) -> None:
    package = trees.package(tmp_path, "intel-rapl:0", "package-0", 1)
    (package / "energy_uj").write_text("")
    with pytest.raises(SensorError, match="energy_uj holds no number"):
        RaplSensor(tmp_path)
