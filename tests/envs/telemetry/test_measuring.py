from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from envs.errors import OptionError, SensorError
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationSpace, Measurement
from envs.telemetry.ina3221 import Ina3221Sensor
from envs.telemetry.none import NoSensor
from envs.telemetry.protocol import BoardSample, Sensor
from envs.testing.sensors import ScriptedSensor, watts
from tests.envs.telemetry import trees


class Engine:
    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        time.sleep(0.005)
        return [np.zeros((len(inputs[0]), 10), np.float32)]

    def close(self) -> None:
        pass


class Factory:
    def load(self, tenant: int, accelerator: int, threads: int) -> Engine:
        return Engine()

    def close(self) -> None:
        pass


def measure(
    space: ConfigurationSpace, sensor: Sensor, window_s: float = 0.3, interval_s: float = 0.02
) -> Measurement:
    with ServingRuntime(
        space, Factory(), sensor, ServingOptions(warmup_s=0.0, power_interval_s=interval_s)
    ) as runtime:
        runtime.apply(Configuration((((1, 1), (0, 0)),)))
        return runtime.measure(window_s)


def test_watts_with_their_uncertainty(live_space: ConfigurationSpace) -> None:
    measured = measure(
        live_space,
        ScriptedSensor(
            lambda position: watts(20.0 + position % 2, temperatures_c={"tj": 71.5, "cpu": 68.0})
        ),
    )
    assert 20 <= measured.power_w <= 21
    assert measured.energy_j == pytest.approx(measured.power_w * measured.window_s)
    assert measured.rails_w == {"module": pytest.approx(measured.power_w)}
    assert 0.4 / math.sqrt(12) < measured.power_uncertainty_w < 1.0
    assert measured.temperature_c == 71.5
    assert measured.sensor == "scripted"
    assert measured.sensor_fault == ""
    assert measured.throttled == ()


def test_a_sensor_that_fails_costs_the_power_alone(
    live_space: ConfigurationSpace,
) -> None:
    def tell(position: int) -> BoardSample:
        if position >= 1:  # every window has a reading at its end
            raise SensorError("scripted: gone")
        return watts(20.0 + position)

    measured = measure(live_space, ScriptedSensor(tell))
    assert measured.sensor_fault == "scripted: gone"
    assert math.isnan(measured.power_w)
    assert math.isnan(measured.energy_j)
    assert math.isnan(measured.power_uncertainty_w)
    assert measured.rails_w == {}
    assert measured.throughput_ips[0] > 0


def test_alarms_in_the_window_mark_it(live_space: ConfigurationSpace) -> None:
    sensor = ScriptedSensor(
        lambda position: watts(
            20.0 + position,
            throttle_events={"oc1": 0, "oc3": 5 + position},
            throttling=("gpu_thermal",),
        )
    )
    assert measure(live_space, sensor).throttled == ("gpu_thermal", "oc3")


def test_a_board_whose_readings_never_change(
    live_space: ConfigurationSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.telemetry.energy.STUCK_S", 0.3)
    monkeypatch.setattr("envs.telemetry.energy.STUCK_READS", 2)
    measured = measure(live_space, Ina3221Sensor(trees.agx_orin_jetpack6(tmp_path)), window_s=0.4)
    assert measured.sensor == "ina3221"
    assert "stuck" in measured.sensor_fault
    assert math.isnan(measured.power_w)
    assert measured.throttled == ("gpu_thermal",)
    assert measured.temperature_c == 77.281


def test_no_sensor_is_not_a_fault(live_space: ConfigurationSpace) -> None:
    measured = measure(live_space, NoSensor())
    assert measured.sensor_fault == ""
    assert math.isnan(measured.power_w)
    assert math.isnan(measured.temperature_c)


def test_the_runtime_closes_its_sensor(live_space: ConfigurationSpace) -> None:
    closed: list[bool] = []
    sensor = ScriptedSensor(lambda position: watts(20.0))
    sensor.close = lambda: closed.append(True)  # type: ignore[method-assign]
    with ServingRuntime(live_space, Factory(), sensor, ServingOptions()):
        assert not closed
    assert closed == [True]


def test_a_sensor_that_hangs_costs_one_thread(
    live_space: ConfigurationSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.telemetry.meter.ANSWER_S", 0.1)
    hang = threading.Event()

    def tell(position: int) -> BoardSample:
        hang.wait()
        return watts(20.0)

    sensor = ScriptedSensor(tell)
    with ServingRuntime(live_space, Factory(), sensor, ServingOptions(warmup_s=0.0)) as runtime:
        runtime.apply(Configuration((((1, 1), (0, 0)),)))
        measured = [runtime.measure(0.1) for _ in range(3)]
    hang.set()
    assert sensor.reads == 1
    assert "has not returned" in measured[2].sensor_fault
    assert all(math.isnan(each.power_w) and each.throughput_ips[0] > 0 for each in measured)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match=r"serving\.power_interval_s=0 must be above zero"):
        ServingOptions(power_interval_s=0)
