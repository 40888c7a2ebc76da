"""tegrastats: lines of JetPack 5, 6 and 7, and a program that writes them as it does."""

from __future__ import annotations

import gc
import math
import os
import signal
import time
from pathlib import Path

import pytest

from envs.errors import SensorError
from envs.telemetry import child
from envs.telemetry.tegrastats import TegrastatsSensor, parse_line
from tests.envs.telemetry import trees


def test_without_root_at_rest() -> None:
    sample = parse_line(trees.AT_REST, 1.0)
    assert sample.rails_w == {"VDD_GPU_SOC": 1.995, "VDD_CPU_CV": 0.0, "VIN_SYS_5V0": 2.524}
    assert sample.total_w == pytest.approx(4.519)
    assert sample.temperatures_c == {"cpu": 43.343, "soc2": 39.812, "soc0": 40.5, "tj": 43.343, "soc1": 39.968}
    assert sample.clocks_mhz == {"cpu0": 729.0}, "a clock that is not told is left out"


def test_as_root_under_load() -> None:
    """The first number is now, the second a mean since tegrastats was started; the fourth rail is a part of the third."""
    sample = parse_line(trees.AS_ROOT, 1.0)
    assert sample.rails_w == {"VDD_GPU_SOC": 3.15, "VDD_CPU_CV": 14.312, "VIN_SYS_5V0": 4.968, "VDDQ_VDD2_1V8AO": 1.091}
    assert sample.total_w == pytest.approx(3.15 + 14.312 + 4.968)
    assert sample.temperatures_c == {"cv0": 73.625, "cpu": 76.5, "tj": 77.281}, "-256 is a place that is off"
    assert sample.clocks_mhz == {"gpu": 407.0, "cpu0": 2188.0, "emc": 2133.0, "dla0": 1600.0}


def test_jetpack_7_has_three_numbers() -> None:
    sample = parse_line(trees.JETPACK_7, 1.0)
    assert sample.total_w == pytest.approx(5.139 + 3.268 + 5.5)
    assert sample.temperatures_c == {"cpu": 52.968, "soc2": 48.406, "soc0": 49.531, "gpu": 47.625}
    assert sample.clocks_mhz == {"gpu": 1300.0, "cpu0": 2201.0, "emc": 3199.0}


def test_an_orin_nx_has_an_input_rail() -> None:
    sample = parse_line(trees.ORIN_NX, 1.0)
    assert sample.total_w == 4.988
    assert sample.total_rails == ("VDD_IN",)
    assert sample.clocks_mhz["gpu"] == 611.0, "not the clock of the second one"


@pytest.mark.parametrize(
    ("rail", "told_w"),
    [
        ("VDD_CPU_CV -8mW/0mW", {"VDD_CPU_CV": -0.008}),
        ("VDD_CPU_CV NA/NA", {}),
        ("VDD_CPU_CV NA", {}),
        ("VDD_CPU_CV 1995", {}),
        ("VDD_CPU_CV 1995mW/199", {}),
        ("VDD_CPU_CV 19.95mW/1995mW", {}),
        ("VDD_CPU_CV mW/mW", {}),
    ],
)
def test_a_rail_is_told_as_it_is_or_not_at_all(rail: str, told_w: dict[str, float]) -> None:
    """The current of the sensor has a sign (Linux drivers/hwmon/ina3221.c); whatever is no whole number of mW is left out."""
    line = f"RAM 1/2MB CPU [NA,off,5%@729] GR3D_FREQ NA% cpu@NAC {rail} VDD_GPU_SOC 1995mW/1995mW NEW 3/4 tj@43.3C"
    sample = parse_line(line, 1.0)
    assert sample.rails_w == {"VDD_GPU_SOC": 1.995} | told_w
    assert math.isnan(sample.total_w), "of an AGX Orin, whose third rail is missing"
    assert sample.temperatures_c == {"tj": 43.3}
    assert sample.clocks_mhz == {}


def test_a_step_of_04_w_where_only_watts_are_told() -> None:
    steps_w = parse_line(trees.AS_ROOT, 1.0).steps_w
    assert steps_w["VDD_GPU_SOC"] == steps_w["VDD_CPU_CV"] == 0.4


def test_a_line_a_read(tmp_path: Path) -> None:
    """Lines come one by one, each with the moment at which it came, and with the alarms of the board."""
    trees.tegrastats(tmp_path, (trees.AT_REST, trees.JETPACK_7))
    sensor = TegrastatsSensor(trees.agx_orin_jetpack6(tmp_path), interval_s=0.05)
    samples = [sensor.read() for _ in range(4)]
    sensor.close()
    assert {round(sample.total_w, 3) for sample in samples} == {4.519, 13.907}
    assert samples[0].throttle_events == {"oc1": 0, "oc2": 15, "oc3": 37}
    assert samples[0].throttling == ("gpu_thermal",)


def test_between_two_windows_old_lines_are_dropped(tmp_path: Path) -> None:
    trees.tegrastats(tmp_path, (trees.AT_REST,))
    sensor = TegrastatsSensor(tmp_path, interval_s=0.02)
    time.sleep(0.5)
    asked_s = time.perf_counter()
    sensor.read()
    assert sensor.read().time_s > asked_s, "not one of those that came meanwhile"
    sensor.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", ["close", "forget"])
def test_the_child_ends_with_its_sensor(tmp_path: Path, how: str) -> None:
    trees.tegrastats(tmp_path, (trees.AT_REST,))
    sensor = TegrastatsSensor(tmp_path, interval_s=0.05)
    pid = sensor._child._process.pid
    assert alive(pid)
    if how == "close":
        sensor.close()
    else:
        del sensor
        gc.collect()
    assert not alive(pid)


def test_a_child_that_ends_says_its_last_words(tmp_path: Path) -> None:
    trees.tegrastats(tmp_path, (trees.AT_REST,), then="echo 'tegrastats: cannot open /dev/nvmap' >&2; exit 3")
    sensor = TegrastatsSensor(tmp_path, interval_s=0.05)
    sensor._child._process.wait(10)
    with pytest.raises(SensorError, match=r"tegrastats: .* has ended \(tegrastats: cannot open /dev/nvmap\)"):
        sensor.read()
    sensor.close()


@pytest.mark.parametrize("how", ["ends", "hangs"])
def test_a_child_that_is_gone_is_started_again_by_a_later_read(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart of the service; not at every read, for one that cannot run would be started over and over."""
    monkeypatch.setattr(child, "RESTART_S", 1000.0)
    trees.tegrastats(tmp_path, (trees.AT_REST,))
    sensor = TegrastatsSensor(tmp_path, interval_s=0.05)
    first = sensor._child._process
    first.send_signal(signal.SIGKILL if how == "ends" else signal.SIGSTOP)
    with pytest.raises(SensorError, match=r"has ended|nothing was told"):
        [sensor.read() for _ in range(3)]
    if how == "ends":
        with pytest.raises(SensorError, match="has ended"):
            sensor.read()
    monkeypatch.setattr(child, "RESTART_S", 0.0)
    assert sensor.read().rails_w
    second = sensor._child._process
    assert first.poll() is not None, "nothing of the first is left"
    assert sensor.read().rails_w
    assert sensor._child._process is second
    sensor.close()
    with pytest.raises(SensorError, match="closed"):
        [sensor.read() for _ in range(3)]
    assert not alive(second.pid), "close is final"


def test_a_child_that_cannot_be_started_again_says_so_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "RESTART_S", 0.0)
    binary = trees.tegrastats(tmp_path, (trees.AT_REST,))
    sensor = TegrastatsSensor(tmp_path, interval_s=0.05)
    sensor._child._process.kill()
    with pytest.raises(SensorError, match="has ended"):
        [sensor.read() for _ in range(3)]
    binary.rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(SensorError, match="cannot be started"):
            sensor.read()
    (tmp_path / "elsewhere").rename(binary)
    assert sensor.read().rails_w
    sensor.close()


def test_a_line_without_power_is_refused(tmp_path: Path) -> None:
    trees.tegrastats(tmp_path, ("RAM 1313/30697MB GR3D_FREQ 0% cpu@43.343C",))
    with pytest.raises(SensorError, match="tells no power"):
        TegrastatsSensor(tmp_path)


def test_it_is_missing_outside_of_a_jetson(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="usr/bin/tegrastats is missing: it comes with JetPack"):
        TegrastatsSensor(tmp_path)


def test_it_may_not_be_run(tmp_path: Path) -> None:
    trees.tegrastats(tmp_path, (trees.AT_REST,)).chmod(0o644)
    with pytest.raises(SensorError, match="cannot be started"):
        TegrastatsSensor(tmp_path)
