"""The contract of a sensor, as tests."""

import math
import threading

import pytest

from envs.telemetry.energy import power_window
from envs.telemetry.protocol import BoardSample, Sensor
from envs.testing.runtime_contract import assert_ended


class SensorContract:
    """Tests that every sensor passes.

    To test a sensor of your own, subclass this in a test module and give the fixture `sensor`:

        class TestMySensor(SensorContract):
            @pytest.fixture
            def sensor(self):
                return MySensor()

    The tests close it.

    Attributes:
        moves: whether the counters change by themselves; False for a sensor that reads the
            files of a test.
    """

    moves = True

    @pytest.fixture
    def sensor(self) -> Sensor:
        """Give a new sensor."""
        raise NotImplementedError(f"{type(self).__name__} must define the fixture `sensor`")

    @pytest.fixture
    def threads(self) -> set[threading.Thread]:
        """Give the threads that run before the sensor is made."""
        return set(threading.enumerate())

    def _read(self, sensor: Sensor, count: int = 2) -> list[BoardSample]:
        samples = [sensor.read() for _ in range(count)]
        sensor.close()
        return samples

    def test_time_goes_on_from_one_reading_to_the_next(self, sensor: Sensor) -> None:
        """`time_s` grows."""
        stamps_s = [sample.time_s for sample in self._read(sensor, 3)]
        assert stamps_s == sorted(set(stamps_s))

    def test_has_power_says_whether_the_total_is_read(self, sensor: Sensor) -> None:
        """The total is NaN, and has no rails, where `has_power` is False."""
        sample = self._read(sensor)[-1]
        assert sensor.has_power == math.isfinite(sample.total_w)
        assert sensor.has_power == bool(sample.total_rails)

    def test_the_total_is_the_sum_of_its_rails(self, sensor: Sensor) -> None:
        """`total_rails` names rails that were read, and `total_w` is their sum."""
        sample = self._read(sensor)[-1]
        assert set(sample.total_rails) <= set(sample.rails_w)
        if sensor.has_power:
            assert sample.total_w == pytest.approx(
                sum(sample.rails_w[rail] for rail in sample.total_rails)
            )

    def test_readings_are_finite_and_missing_ones_are_left_out(self, sensor: Sensor) -> None:
        """No reading is NaN; temperatures and clocks are plausible."""
        sample = self._read(sensor)[-1]
        for readings in (sample.rails_w, sample.energy_j, sample.throttle_events):
            assert all(math.isfinite(value) for value in readings.values())
        assert all(0 < celsius < 150 for celsius in sample.temperatures_c.values())
        assert all(0 < mhz < 1e5 for mhz in sample.clocks_mhz.values())

    def test_watts_have_a_step_and_counters_have_an_age(self, sensor: Sensor) -> None:
        """A sensor of watts gives their resolution, a counter how old it may be."""
        (sample,) = self._read(sensor, 1)
        assert set(sample.energy_j) >= set(sample.total_rails) or not sample.energy_j
        if sample.energy_j:
            assert sample.refresh_s > 0
        else:
            assert all(0 < sample.steps_w[rail] < 1 for rail in sample.total_rails)

    def test_its_samples_make_a_window(self, sensor: Sensor) -> None:
        """Mean power and its uncertainty follow from the samples; a counter must move."""
        window = power_window(self._read(sensor, 3), sensor.has_power)
        if self.moves:
            assert not window.fault
            assert math.isfinite(window.mean_w) == sensor.has_power
            assert math.isfinite(window.uncertainty_w) == sensor.has_power
        else:
            assert "did not move" in window.fault

    def test_close_is_idempotent_and_ends_every_thread(
        self, threads: set[threading.Thread], sensor: Sensor
    ) -> None:
        """No thread that the sensor started is alive five seconds after `close`."""
        self._read(sensor, 1)
        sensor.close()
        assert_ended(set(threading.enumerate()) - threads)
