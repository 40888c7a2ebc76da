"""What every sensor promises. A new one is tested by adding a line to `SENSORS`."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envs.telemetry.energy import power_window
from envs.telemetry.ina3221 import Ina3221Sensor
from envs.telemetry.none import NoSensor
from envs.telemetry.nvml import NvmlSensor
from envs.telemetry.protocol import BoardSample, Sensor
from envs.telemetry.rapl import RaplSensor
from tests.envs.telemetry import nvml_library, trees
from tests.envs.telemetry.jtop_service import jtop_sensor

Make = Callable[[Path, pytest.FixtureRequest], Sensor]


def rapl(root: Path, request: pytest.FixtureRequest) -> Sensor:
    trees.package(root, "intel-rapl:0", "package-0", 1_000_000)
    return RaplSensor(root)


def nvml(root: Path, request: pytest.FixtureRequest) -> Sensor:
    nvml_library.install(request.getfixturevalue("monkeypatch"), counts=True)
    return NvmlSensor()


SENSORS: dict[str, Make] = {
    "agx_orin_jetpack5": lambda root, request: Ina3221Sensor(trees.agx_orin_jetpack5(root)),
    "agx_orin_jetpack6": lambda root, request: Ina3221Sensor(trees.agx_orin_jetpack6(root)),
    "orin_nx": lambda root, request: Ina3221Sensor(trees.orin_nx(root)),
    "jtop": lambda root, request: jtop_sensor(root, request),
    "rapl": rapl,
    "nvml": nvml,
    "none": lambda root, request: NoSensor(),
}


@pytest.mark.parametrize("kind", SENSORS)
class TestSensor:
    @pytest.fixture
    def sensor(self, kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sensor]:
        sensor = SENSORS[kind](tmp_path, request)
        yield sensor
        sensor.close()

    def test_time_goes_on_from_one_reading_to_the_next(self, sensor: Sensor) -> None:
        stamps_s = [sensor.read().time_s for _ in range(3)]
        assert stamps_s == sorted(set(stamps_s))

    def test_has_power_is_true_to_its_word(self, sensor: Sensor) -> None:
        sensor.read()
        sample = sensor.read()
        assert sensor.has_power == math.isfinite(sample.total_w)
        assert sensor.has_power == bool(sample.total_rails)

    def test_the_total_is_the_sum_of_the_rails_it_names(self, sensor: Sensor) -> None:
        sensor.read()
        sample = sensor.read()
        assert set(sample.total_rails) <= set(sample.rails_w)
        if sensor.has_power:
            assert sample.total_w == pytest.approx(
                sum(sample.rails_w[rail] for rail in sample.total_rails)
            )

    def test_what_is_told_is_a_number_and_what_is_not_is_left_out(self, sensor: Sensor) -> None:
        sensor.read()
        sample = sensor.read()
        for told in (
            sample.rails_w,
            sample.energy_j,
            sample.temperatures_c,
            sample.clocks_mhz,
            sample.throttle_events,
        ):
            assert all(math.isfinite(value) for value in told.values())
        assert all(0 < celsius < 150 for celsius in sample.temperatures_c.values())
        assert all(0 < mhz < 1e5 for mhz in sample.clocks_mhz.values())

    def test_watts_come_with_a_step_and_counters_with_their_age(self, sensor: Sensor) -> None:
        sample = sensor.read()
        assert set(sample.energy_j) >= set(sample.total_rails) or not sample.energy_j
        if sample.energy_j:
            assert sample.refresh_s > 0
        else:
            assert all(0 < sample.steps_w[rail] < 1 for rail in sample.total_rails)

    def test_its_samples_make_a_window(self, kind: str, sensor: Sensor) -> None:
        samples: list[BoardSample] = [sensor.read() for _ in range(3)]
        window = power_window(samples, sensor.has_power)
        if kind == "rapl":
            assert "did not move" in window.fault, "the counter of a file that nobody writes"
        else:
            assert not window.fault
            assert (
                math.isfinite(window.mean_w)
                == sensor.has_power
                == math.isfinite(window.uncertainty_w)
            )

    def test_close_is_idempotent_and_leaves_nothing_behind(self, sensor: Sensor) -> None:
        sensor.read()
        sensor.close()
        sensor.close()
        for thread in threading.enumerate():
            if thread.name.endswith(" lines"):
                thread.join(5)
                assert not thread.is_alive(), (
                    "its child has gone, and with it the thread that listened"
                )
