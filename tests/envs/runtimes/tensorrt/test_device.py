from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.device import (
    RESERVE_MIB,
    accelerators_of,
    hardware_of,
    jetson_device,
    memory_for_instances,
)
from envs.spec import DeviceSpec, Hardware
from tests.envs.telemetry.trees import write
from tests.standins.tensorrt import stand_ins
from tests.standins.tensorrt.driver import ORIN


@pytest.mark.parametrize(
    ("capability", "cores", "expected"),
    [
        ((8, 7), 2, ("cuda", "tensor", "dla0", "dla1")),
        ((8, 7), 1, ("cuda", "tensor", "dla0")),
        ((8, 7), 0, ("cuda", "tensor")),
        ((7, 2), 2, ("cuda", "tensor", "dla0", "dla1")),
        ((6, 2), 0, ("cuda",)),
    ],
)
def test_accelerators_follow_cores_and_capability(
    capability: tuple[int, int], cores: int, expected: tuple[str, ...]
) -> None:
    assert accelerators_of(replace(ORIN, capability=capability), cores) == expected


def test_a_board_with_dla_that_this_tensorrt_cannot_use_has_none(tmp_path: Path) -> None:
    """JetPack 7.2 with TensorRT 10.16 on an AGX Orin: the board's name decides nothing."""
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson AGX Orin Developer Kit\0")
    with stand_ins("10.16.1", dla_cores=0):
        device = jetson_device(root=tmp_path)
    assert device.name == "NVIDIA Jetson AGX Orin Developer Kit"
    assert device.accelerator_names == ("cuda", "tensor")
    assert device.power_mode == "default"


def meminfo(root: Path, total_mib: int, available_mib: int) -> None:
    write(
        root / "proc/meminfo",
        f"MemTotal: {total_mib * 1024} kB\nMemFree: 9 kB\nMemAvailable: {available_mib * 1024} kB",
    )


def test_a_jetson_shares_its_memory_and_tells_its_power_mode(tmp_path: Path) -> None:
    write(tmp_path / "var/lib/nvpmodel/status", "pmode:0000")
    meminfo(tmp_path, 30_000, 29_900)
    with stand_ins("10.3.0", dla_cores=2):
        device = jetson_device(root=tmp_path)
    assert device.accelerator_names == ("cuda", "tensor", "dla0", "dla1")
    assert device.power_mode == "0"
    assert device.name == "Orin"
    assert device.memory_mib == 27_000


@pytest.mark.parametrize(
    ("available_mib", "expected"),
    [(29_900, 27_000), (20_000, 20_000 - RESERVE_MIB), (500, 0), (None, 27_000)],
)
def test_instances_may_fill_what_is_free_less_a_reserve(
    tmp_path: Path, available_mib: int | None, expected: float
) -> None:
    if available_mib is not None:
        meminfo(tmp_path, 30_000, available_mib)
    assert memory_for_instances(ORIN, 100.0, tmp_path) == expected


@pytest.mark.parametrize(("free_mib", "expected"), [(11_900.0, 10_800), (8_024.0, 7_000)])
def test_the_driver_tells_what_is_free_of_a_desktop_gpu(
    tmp_path: Path, free_mib: float, expected: float
) -> None:
    meminfo(tmp_path, 64_000, 60_000)
    facts = replace(ORIN, memory_mib=12_000.0, integrated=False)
    assert memory_for_instances(facts, free_mib, tmp_path) == expected


def test_the_hardware_is_described_beside_the_names(tmp_path: Path) -> None:
    write(tmp_path / "sys/class/devfreq/17000000.gpu/max_freq", 612_000_000)
    write(tmp_path / "sys/devices/system/cpu/online", "0-3,6-7")
    write(tmp_path / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", 1_728_000)
    with stand_ins("10.3.0", dla_cores=2, gpu=replace(ORIN, sm=8)):
        device = jetson_device(root=tmp_path)
    assert device.power_mode == "612 MHz", "nvpmodel is not visible, but what it sets is"
    assert device.hardware is not None
    assert device.hardware == Hardware(
        "Orin", "8.7", 8, True, 30_000.0, 612.0, 1300.0, device.hardware.bandwidth_gb_s, 4.0, 6,
        1728.0, 2,
    )  # fmt: skip
    assert math.isnan(device.hardware.bandwidth_gb_s)
    data = json.loads(json.dumps(device.to_dict()))
    assert "bandwidth_gb_s" not in data["hardware"]
    read = DeviceSpec.from_dict(data)
    assert read.hardware is not None
    assert read.hardware.to_dict() == device.hardware.to_dict()


def test_without_devfreq_an_orin_tells_the_clock_of_its_mode_as_that_of_its_memory(
    tmp_path: Path,
) -> None:
    facts = replace(ORIN, memory_clock_mhz=612.0)
    assert hardware_of(facts, 2, tmp_path).clock_mhz == 612
    assert math.isnan(hardware_of(replace(ORIN, memory_clock_mhz=3199.0), 2, tmp_path).clock_mhz)


@pytest.mark.parametrize(
    ("key", "value"), [("sm", "8"), ("sm", -1), ("integrated", 1), ("capability", "new"), ("x", 1)]
)
def test_damaged_hardware_is_refused(key: str, value: object) -> None:
    good = hardware_of(ORIN, 2, Path("/nowhere")).to_dict()
    with pytest.raises((ValueError, TypeError)):
        Hardware.from_dict(good | {key: value})


def test_a_driver_may_lack_an_attribute() -> None:
    with stand_ins(gpu=replace(ORIN, l2_mib=0.0)) as modules:
        del modules.driver.device_attribute.CLOCK_RATE
        cuda = Cuda()
        with cuda.current():
            facts = cuda.facts()
    assert math.isnan(facts.clock_mhz)
    assert math.isnan(facts.l2_mib)
    assert facts.driver_version == 12060


def test_a_desktop_gpu_is_a_device_too(tmp_path: Path) -> None:
    facts = replace(
        ORIN,
        name="NVIDIA GeForce RTX 4070",
        capability=(8, 9),
        memory_mib=12_000.0,
        integrated=False,
        clock_mhz=2475.0,
        memory_clock_mhz=10_501.0,
        bus_width_bits=192.0,
    )
    with stand_ins("11.4.0", dla_cores=0, gpu=facts):
        device = jetson_device(root=tmp_path)
    assert (device.name, device.accelerator_names, device.memory_mib) == (
        "NVIDIA GeForce RTX 4070",
        ("cuda", "tensor"),
        10_800,
    )
    assert device.hardware is not None
    # 504 GB/s, as NVIDIA publishes
    assert device.hardware.bandwidth_gb_s == pytest.approx(504, rel=0.001)
    assert device.hardware.clock_mhz == 2475
