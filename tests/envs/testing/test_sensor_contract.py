"""A sensor that breaks a promise does not pass the contract."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest

from envs.telemetry.protocol import BoardSample
from envs.testing.sensor_contract import SensorContract
from envs.testing.sensors import ScriptedSensor, watts

STARTED_S = time.perf_counter()


class TestScripted(SensorContract):
    @pytest.fixture
    def sensor(self) -> ScriptedSensor:
        return ScriptedSensor(lambda count: watts(10.0 + count))


@pytest.mark.parametrize(
    ("sample", "test"),
    [
        (lambda count: BoardSample(time_s=STARTED_S), "test_time_goes_on"),
        (lambda count: BoardSample(0.0), "test_has_power_says"),
        (lambda count: BoardSample(math.nan), "test_has_power_says"),
        (lambda count: BoardSample(9.0, {"cpu": 4.0}, total_rails=("cpu",)), "test_the_total_is"),
        (lambda count: BoardSample(9.0, {}, total_rails=("cpu",)), "test_the_total_is"),
        (lambda count: BoardSample(rails_w={"cpu": math.nan}), "test_readings_are_finite"),
        (lambda count: BoardSample(temperatures_c={"cpu": 0.0}), "test_readings_are_finite"),
        (lambda count: BoardSample(9.0, {"cpu": 9.0}, total_rails=("cpu",)), "test_watts_have"),
        (lambda count: BoardSample(energy_j={"cpu": 9.0}), "test_watts_have"),
        (lambda count: BoardSample(), "test_its_samples_make_a_window"),
    ],
)
def test_the_contract_catches(sample: Callable[[int], BoardSample], test: str) -> None:
    (name,) = [name for name in dir(SensorContract) if name.startswith(test)]
    with pytest.raises((AssertionError, KeyError)):
        getattr(SensorContract(), name)(sensor=ScriptedSensor(sample))
