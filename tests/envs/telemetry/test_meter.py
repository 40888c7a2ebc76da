from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envs.errors import SensorError
from envs.telemetry import energy
from envs.telemetry import meter as meter_module
from envs.telemetry.ina3221 import Ina3221Sensor
from envs.telemetry.meter import PowerMeter
from envs.telemetry.protocol import BoardSample
from envs.telemetry.rapl import RaplSensor
from envs.testing.sensors import ScriptedSensor, watts
from tests.envs.telemetry import trees


def orin_nx_file(root: Path, name: str) -> Path:
    return next(trees.orin_nx(root).glob(f"sys/bus/i2c/drivers/ina3221/*/hwmon/*/{name}"))


def until(condition: Callable[[], bool]) -> None:
    """Wait, for readings of a computer that may be busy."""
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_watts_are_read_again_and_again() -> None:
    sensor = ScriptedSensor(lambda position: watts(10.0 + position % 2))
    with PowerMeter(sensor, interval_s=0.01) as meter:
        until(lambda: sensor.reads >= 10)
    window = meter.window()
    assert 10 <= window.mean_w <= 11
    assert not window.fault


def test_counters_are_read_at_both_ends(tmp_path: Path) -> None:
    package = trees.package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    sensor = RaplSensor(tmp_path)
    with PowerMeter(sensor, interval_s=0.01) as meter:
        began_s = time.perf_counter()
        time.sleep(0.3)
        (package / "energy_uj").write_text("4000000")
        length_s = time.perf_counter() - began_s
    window = meter.window()
    assert meter._readings is not None
    assert len(meter._readings.samples) == 2
    assert window.energy_j == pytest.approx(3.0)
    assert window.mean_w <= 3.0 / length_s


def test_a_load_that_moves(tmp_path: Path) -> None:
    """The current of a rail changes in its file during the window; the mean lies between."""
    current = orin_nx_file(tmp_path, "curr1_input")
    sensor = Ina3221Sensor(tmp_path)
    with PowerMeter(sensor, interval_s=0.01) as meter:
        for milliamperes in (1000, 2000) * 20:
            # A file that is being written is empty for a moment, unlike those of the kernel.
            (tmp_path / "next").write_text(str(milliamperes))
            (tmp_path / "next").replace(current)
            time.sleep(0.01)
    window = meter.window()
    assert not window.fault
    assert 5.024 * 0.992 < window.mean_w < 5.024 * 2.0
    assert window.uncertainty_w > 0.05


def test_alarms_that_move_mark_the_window(tmp_path: Path) -> None:
    sensor = Ina3221Sensor(trees.orin_nx(tmp_path))
    with PowerMeter(sensor, interval_s=0.05) as meter:
        trees.alarms(tmp_path, "hwmon3", (0, 0, 41))
    assert meter.window().throttled == ("oc3",)
    assert meter.window().hottest_c == 46.5


def test_a_processor_that_was_too_hot_marks_the_window(tmp_path: Path) -> None:
    """On a computer the kernel counts for each package and shows the count at all its cores."""
    package = trees.package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    counters = trees.throttled_packages(tmp_path, {0: 3, 1: 0})
    with PowerMeter(RaplSensor(tmp_path)) as meter:
        (package / "energy_uj").write_text("4000000")
    assert meter.window().throttled == ()
    with PowerMeter(RaplSensor(tmp_path)) as meter:
        (package / "energy_uj").write_text("8000000")
        for counter in counters[0]:
            counter.write_text("4\n")
    assert meter.window().throttled == ("package0_thermal",)


def test_a_file_that_vanishes_in_the_middle(tmp_path: Path) -> None:
    lost = orin_nx_file(tmp_path, "in1_input")
    sensor = Ina3221Sensor(tmp_path)
    with PowerMeter(sensor, interval_s=0.02) as meter:
        time.sleep(0.1)
        lost.unlink()
        time.sleep(0.1)
    window = meter.window()
    assert math.isnan(window.mean_w)
    assert math.isnan(window.energy_j)
    assert "in1_input cannot be read" in window.fault


def test_a_file_that_stands_still_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "STUCK_S", 0.5)
    sensor = Ina3221Sensor(trees.orin_nx(tmp_path))
    with PowerMeter(sensor, interval_s=0.02) as meter:
        assert meter._readings is not None
        samples = meter._readings.samples
        until(lambda: len(samples) >= energy.STUCK_READS)
        until(lambda: samples[-1].time_s - samples[0].time_s >= energy.STUCK_S)
    window = meter.window()
    assert math.isnan(window.mean_w)
    assert window.fault.startswith("stuck: ")


def test_nan_is_a_fault() -> None:
    sensor = ScriptedSensor(lambda position: watts(math.nan if position > 2 else 10.0))
    with PowerMeter(sensor, interval_s=0.01) as meter:
        until(lambda: sensor.reads > 4)
    assert math.isnan(meter.window().mean_w)
    assert "no number for module" in meter.window().fault


def test_a_sensor_with_only_a_total() -> None:
    sensor = ScriptedSensor(lambda position: BoardSample(5.0 + position % 3))
    with PowerMeter(sensor, interval_s=0.01) as meter:
        time.sleep(0.2)
    assert 5 <= meter.window().mean_w <= 7


@pytest.mark.parametrize(
    "error",
    [
        SensorError("scripted: gone"),
        OSError(5, "Input/output error"),
        ZeroDivisionError("of a driver"),
    ],
)
@pytest.mark.parametrize("since", [0, 3])
def test_a_sensor_that_raises(error: Exception, since: int) -> None:
    def tell(position: int) -> BoardSample:
        if position >= since:
            raise error
        return watts(10.0 + position)

    sensor = ScriptedSensor(tell)
    with PowerMeter(sensor, interval_s=0.01) as meter:
        until(lambda: sensor.reads > 4)
    window = meter.window()
    assert math.isnan(window.mean_w)
    assert window.fault.startswith("scripted: ")
    assert str(error) in window.fault or "Input/output error" in window.fault


def test_a_sensor_that_hangs_delays_the_window_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "ANSWER_S", 0.2)
    hang = threading.Event()

    def tell(position: int) -> BoardSample:
        if position == 1:
            hang.wait()
        return watts(10.0)

    with PowerMeter(ScriptedSensor(tell), interval_s=0.01) as meter:
        time.sleep(0.1)
    window = meter.window()
    hang.set()
    assert window.fault == "scripted: no answer within 0.2 s"
    assert math.isnan(window.mean_w)


def test_a_reading_that_does_not_return_costs_one_thread_and_one_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows have power again once it has returned at last."""
    monkeypatch.setattr(meter_module, "ANSWER_S", 0.2)
    hang = threading.Event()

    def tell(position: int) -> BoardSample:
        if position == 0:
            hang.wait()
        return watts(10.0 + position)

    sensor = ScriptedSensor(tell)
    meter = PowerMeter(sensor, interval_s=0.01)
    faults = []
    for _ in range(4):
        with meter:
            pass
        faults.append(meter.window().fault)
    assert faults == ["scripted: no answer within 0.2 s"] + 3 * [
        "scripted: a reading of an earlier window has not returned"
    ]
    (thread,) = (each for each in threading.enumerate() if each.name == "power")
    assert sensor.reads == 1
    with meter:  # the reading returns here and belongs to the earlier window
        hang.set()
        thread.join(60)
    assert "has not returned" in meter.window().fault
    monkeypatch.setattr(meter_module, "ANSWER_S", 60.0)
    with meter:
        time.sleep(0.1)
    assert not meter.window().fault
    assert meter.window().mean_w > 10


@pytest.mark.parametrize("total_w", [math.nan, 0.0, -3.0])
@pytest.mark.parametrize(
    ("lost", "whole"),
    [({5}, True), ({5, 20, 21}, True), (set(range(5, 25)), False), (set(range(35, 1000)), False)],
)
def test_a_few_readings_may_fail(lost: set[int], whole: bool, total_w: float) -> None:
    """A tenth of them may fail, but not the last one."""
    enough = threading.Event()

    def tell(position: int) -> BoardSample:
        if position == 40:
            enough.set()
        if position > 40:  # how many readings there are does not depend on the computer
            assert meter._readings is not None
            meter._readings._stopping.wait(60)
        if position in lost:
            if math.isnan(total_w):
                raise SensorError("scripted: gone")
            return watts(total_w)
        return watts(10.0)

    meter = PowerMeter(ScriptedSensor(tell), interval_s=0.001)
    with meter:
        assert enough.wait(60)
    window = meter.window()
    fault = "gone" if math.isnan(total_w) else f"the total was {total_w:g} W, which no board draws"
    assert window.fault == ("" if whole else f"scripted: {fault}")
    assert (window.mean_w == 10.0) == whole


def test_an_error_inside_the_block_stops_the_thread() -> None:
    sensor = ScriptedSensor(lambda position: watts(10.0 + position))
    with pytest.raises(KeyboardInterrupt), PowerMeter(sensor, interval_s=0.01):
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name == "power"]
