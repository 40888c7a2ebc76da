from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from envs.errors import OptionError, SensorError, TunerError
from envs.telemetry.sensors import SENSORS, probe_sensor
from tests.envs.telemetry import nvml_library, trees
from tests.envs.telemetry.rights import closed_to_others


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a GPU of the computer that runs the tests."""
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sensor is preferred to the later ones; one of other hardware is never chosen."""

    def chosen(on_gpu: bool = False) -> str:
        sensor = probe_sensor(root=tmp_path, on_gpu=on_gpu)
        sensor.close()
        return sensor.name

    assert chosen() == "none"
    nvml_library.install(monkeypatch, counts=True)
    assert (chosen(), chosen(on_gpu=True)) == ("none", "nvml")
    trees.package(tmp_path, "intel-rapl:0", "package-0", 1)
    assert (chosen(), chosen(on_gpu=True)) == ("rapl", "nvml")
    trees.agx_orin_jetpack5(tmp_path)
    assert chosen() == "ina3221"


def test_skipped_sensors_are_logged_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "envs.telemetry"):
        assert not probe_sensor(root=tmp_path).has_power
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in lines] == ["ina3221", "jtop", "rapl"]
    assert "virtual machine shows none" in lines[2]


def test_nothing_is_logged_at_the_level_of_a_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        probe_sensor(root=tmp_path)
    assert not caplog.records


def test_a_forbidden_sensor_is_skipped(public_root: Path) -> None:
    trees.package(public_root, "intel-rapl:0", "package-0", 1)
    monitor = next(
        trees.orin_nx(public_root).glob("sys/bus/i2c/drivers/ina3221/*/hwmon/*/curr1_input")
    )
    with closed_to_others(monitor):
        assert probe_sensor(root=public_root).name == "rapl"
        with pytest.raises(SensorError, match=r"ina3221: .*may not be read"):
            probe_sensor("ina3221", public_root)


@pytest.mark.parametrize("kind", [kind for kind in SENSORS if kind != "none"])
def test_a_named_sensor_that_is_missing_is_an_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TunerError) as error:
        probe_sensor(kind, tmp_path)
    assert "\n" not in str(error.value)
    assert ": " in str(error.value), "the message has a reason and advice"


def test_none_can_be_chosen(tmp_path: Path) -> None:
    assert probe_sensor("none", trees.orin_nx(tmp_path)).name == "none"


def test_an_unknown_name_lists_all_names(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError,
        match="sensor=ina219: choose one of auto, ina3221, jtop, rapl, nvml, none",
    ):
        probe_sensor("ina219", tmp_path)
