from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from envs.errors import DependencyError, SensorError, TunerError
from envs.telemetry.meter import PowerMeter
from envs.telemetry.nvml import NvmlSensor
from tests.envs.telemetry import nvml_library


def real_sensor() -> NvmlSensor:
    if importlib.util.find_spec("pynvml") is None:
        pytest.skip("nvidia-ml-py is not installed")
    try:
        return NvmlSensor()
    except SensorError as error:
        pytest.skip(f"no GPU to ask: {error}")


def test_energy_if_the_driver_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml_library.install(monkeypatch, counts=True)
    sensor = NvmlSensor()
    first, second = sensor.read(), sensor.read()
    assert second.energy_j["gpu"] - first.energy_j["gpu"] == pytest.approx(0.007)
    assert second.total_w == pytest.approx(0.007 / (second.time_s - first.time_s))
    assert second.clocks_mhz == {"gpu": 1410.0, "memory": 1593.0}
    assert second.temperatures_c == {"gpu": 45.0}


def test_power_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml_library.install(monkeypatch, counts=False)
    sample = NvmlSensor().read()
    assert sample.total_w == 61.25
    assert not sample.energy_j


def test_causes_of_lower_clocks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml_library.install(monkeypatch, counts=True, throttled=0x40 | 0x4)
    sensor = NvmlSensor()
    with PowerMeter(sensor) as meter:
        pass
    assert meter.window().throttled == ("hardware_thermal", "power_cap"), (
        "a counter that changed and a cause; the bit of the power cap alone does not count"
    )


def test_a_gpu_without_power_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml_library.install(monkeypatch, counts=True, has_power=False)
    with pytest.raises(SensorError, match=r"does not measure power .*Not Supported"):
        NvmlSensor()


@pytest.mark.parametrize(
    ("visible", "handle"),
    [
        ("1,0", "index 1"),
        ("GPU-8932f937-d72c", "GPU-8932f937-d72c"),
        ("", "index 0"),
        ("MIG-1", "index 0"),
    ],
)
def test_the_gpu_is_the_first_that_cuda_sees(
    monkeypatch: pytest.MonkeyPatch, visible: str, handle: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    module = nvml_library.install(monkeypatch, counts=False)
    handles = []
    monkeypatch.setattr(
        module, "nvmlDeviceGetPowerUsage", lambda each: handles.append(each) or 1000
    )
    NvmlSensor().read()
    assert set(handles) == {handle}


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(TunerError, match=r"orin-tuner\[nvml\]") as error:
        NvmlSensor()
    assert isinstance(error.value, DependencyError)


def test_the_real_library_without_a_driver_says_so() -> None:
    if importlib.util.find_spec("pynvml") is None:
        pytest.skip("nvidia-ml-py is not installed")
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this computer has a driver")
    with pytest.raises(SensorError, match="no NVIDIA driver that answers"):
        NvmlSensor()


def test_a_real_gpu_draws_power() -> None:
    sensor = real_sensor()
    with PowerMeter(sensor) as meter:
        time.sleep(1.0)
    window = meter.window()
    sensor.close()
    assert not window.fault
    assert 1 < window.mean_w < 2000
    assert 10 < window.hottest_c < 110
    assert 0 < window.uncertainty_w < window.mean_w
