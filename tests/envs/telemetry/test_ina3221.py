from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from envs.errors import SensorError
from envs.telemetry.ina3221 import Ina3221Sensor
from tests.envs.telemetry import trees
from tests.envs.telemetry.rights import closed_to_others


def test_an_agx_orin_at_rest(tmp_path: Path) -> None:
    """JetPack 5: equal to tegrastats on the same board, without the rail that VIN_SYS_5V0 feeds."""
    sample = Ina3221Sensor(trees.agx_orin_jetpack5(tmp_path)).read()
    assert sample.rails_w == pytest.approx(
        {"VDD_GPU_SOC": 1.9952, "VDD_CPU_CV": 0.0, "VIN_SYS_5V0": 2.524, "VDDQ_VDD2_1V8AO": 1.0912}
    )
    assert sample.total_w == pytest.approx(1.9952 + 2.524)
    assert sample.total_rails == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


def test_its_step_is_the_one_of_the_chip(tmp_path: Path) -> None:
    """40 uV over 2 mOhm are 20 mA, at 20 V 0.4 W; at 5 V 0.1 W."""
    steps_w = Ina3221Sensor(trees.agx_orin_jetpack5(tmp_path)).read().steps_w
    assert steps_w["VDD_GPU_SOC"] == pytest.approx(0.4, rel=0.01)
    assert steps_w["VIN_SYS_5V0"] == pytest.approx(0.1, rel=0.05)


def test_jetpack6_names_things_differently(tmp_path: Path) -> None:
    sample = Ina3221Sensor(trees.agx_orin_jetpack6(tmp_path)).read()
    assert sample.total_w == pytest.approx(19.952 * (0.16 + 0.72) + 5.04 * 0.98)
    assert sample.temperatures_c == {"cpu": 76.5, "gpu": 74.0, "tj": 77.281}
    assert sample.clocks_mhz["gpu"] == 407.0
    assert sample.throttle_events == {"oc1": 0, "oc2": 15, "oc3": 37}
    assert sample.throttling == ("gpu_thermal",)


def test_jetpack5_zones_have_the_same_names_and_offline_ones_none(tmp_path: Path) -> None:
    sample = Ina3221Sensor(trees.agx_orin_jetpack5(tmp_path)).read()
    assert sample.temperatures_c == {"cpu": 43.343, "gpu": 41.5, "tj": 43.343}
    assert sample.clocks_mhz == {"gpu": 306.0, "cpu0": 729.6}
    assert sample.throttling == ()


def test_the_input_rail_of_an_orin_nx_is_its_total(tmp_path: Path) -> None:
    sample = Ina3221Sensor(trees.orin_nx(tmp_path)).read()
    assert sample.total_w == pytest.approx(5.024 * 0.992)
    assert sample.rails_w["VDD_SOC"] == pytest.approx(5.016 * 0.28)
    assert sample.steps_w["VDD_IN"] == pytest.approx(0.048, rel=0.01), (
        "40 uV over 5 mOhm are 8 mA at 5 V, and 8 mV at 1 A"
    )


def test_unknown_rails_are_kept_and_never_summed(tmp_path: Path) -> None:
    """An AGX Xavier has six rails, and no source says which are parts of others."""
    trees.monitor(
        tmp_path,
        "1-0040",
        "hwmon3",
        {1: ("GPU", 19000, 100), 2: ("CPU", 19000, 60), 3: ("SOC", 19000, 140)},
        5000,
    )
    sensor = Ina3221Sensor(tmp_path)
    sample = sensor.read()
    assert not sensor.has_power
    assert math.isnan(sample.total_w)
    assert sample.rails_w == pytest.approx({"GPU": 1.9, "CPU": 1.14, "SOC": 2.66})


def test_rails_of_the_same_name_are_both_kept_and_give_no_total(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A carrier board has a monitor of its own, whose rail is called like one of the module's."""
    root = trees.agx_orin_jetpack5(tmp_path)
    trees.monitor(root, "7-0040", "hwmon9", {1: ("VIN_SYS_5V0", 5000, 2000)}, 5000)
    with caplog.at_level(logging.WARNING):
        sensor = Ina3221Sensor(root)
    (record,) = caplog.records
    assert "monitors 1-0040, 7-0040 have rails of the same name (VIN_SYS_5V0)" in record.message
    assert not sensor.has_power
    sample = sensor.read()
    assert math.isnan(sample.total_w)
    assert sample.total_rails == ()
    assert sample.rails_w == pytest.approx(
        {
            "VDD_GPU_SOC": 1.9952,
            "VDD_CPU_CV": 0.0,
            "VIN_SYS_5V0@1-0040.3": 2.524,
            "VIN_SYS_5V0@7-0040.1": 10.0,
            "VDDQ_VDD2_1V8AO": 1.0912,
        }
    )


def test_a_power_file_is_preferred(tmp_path: Path) -> None:
    chip = trees.monitor(tmp_path, "1-0040", "hwmon3", {1: ("VDD_IN", 5000, 1000)}, 5000)
    trees.write(chip / "power1_input", 7_600_000)
    assert Ina3221Sensor(tmp_path).read().total_w == 7.6


def test_a_channel_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    root = trees.orin_nx(tmp_path)
    next(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/*/in3_enable")).write_text("0\n")
    assert set(Ina3221Sensor(root).read().rails_w) == {"VDD_IN", "VDD_CPU_GPU_CV"}


def test_a_zone_that_cannot_be_read_does_not_matter(tmp_path: Path) -> None:
    """A zone that is powered off answers with an error (EAGAIN on a board; EISDIR here)."""
    root = trees.agx_orin_jetpack6(tmp_path)
    trees.write(root / "sys/class/thermal/thermal_zone9/type", "cv0-thermal")
    (root / "sys/class/thermal/thermal_zone9/temp").mkdir()
    assert "cv0" not in Ina3221Sensor(root).read().temperatures_c


def test_a_missing_monitor_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        SensorError, match=r"ina3221: no power monitor below .*ina3221: this is not a Jetson"
    ):
        Ina3221Sensor(tmp_path)


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    sensor = Ina3221Sensor(trees.orin_nx(tmp_path))
    lost = next(tmp_path.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/*/curr1_input"))
    lost.unlink()
    with pytest.raises(
        SensorError, match=r"curr1_input cannot be read \(No such file or directory\)"
    ):
        sensor.read()


def test_a_file_without_a_number_is_named(tmp_path: Path) -> None:
    root = trees.orin_nx(tmp_path)
    next(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/*/in1_input")).write_text("")
    with pytest.raises(SensorError, match="in1_input holds no number"):
        Ina3221Sensor(root)


@pytest.mark.parametrize(
    "forbidden", [".", "*/hwmon", "*/hwmon/*/in1_label", "*/hwmon/*/curr1_input"]
)
def test_no_permission_says_what_to_do(public_root: Path, forbidden: str) -> None:
    """A hardened container may hide a folder or a file."""
    driver = trees.orin_nx(public_root) / "sys/bus/i2c/drivers/ina3221"
    hidden = driver if forbidden == "." else next(driver.glob(forbidden))
    with closed_to_others(hidden), pytest.raises(SensorError) as error:
        Ina3221Sensor(public_root)
    assert (
        str(error.value) == f"ina3221: {hidden} may not be read by this user: "
        f"run as root, or allow it once with `sudo chmod a+r {hidden}`"
    )
