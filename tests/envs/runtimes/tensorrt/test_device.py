from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from envs.runtimes.tensorrt.device import accelerators_of, jetson_device
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


def test_a_jetson_shares_its_memory_and_tells_its_power_mode(tmp_path: Path) -> None:
    (tmp_path / "var/lib/nvpmodel").mkdir(parents=True)
    (tmp_path / "var/lib/nvpmodel/status").write_text("pmode:0000")
    with stand_ins("10.3.0", dla_cores=2):
        device = jetson_device(root=tmp_path)
    assert device.accelerator_names == ("cuda", "tensor", "dla0", "dla1")
    assert device.power_mode == "0"
    assert device.name == "Orin"
    assert device.memory_mib == pytest.approx(
        0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20, abs=1
    )


def test_a_desktop_gpu_is_a_device_too(tmp_path: Path) -> None:
    facts = replace(
        ORIN,
        name="NVIDIA GeForce RTX 4070",
        capability=(8, 9),
        memory_mib=12_000.0,
        integrated=False,
    )
    with stand_ins("11.4.0", dla_cores=0, gpu=facts):
        device = jetson_device(root=tmp_path)
    assert (device.name, device.accelerator_names, device.memory_mib) == (
        "NVIDIA GeForce RTX 4070",
        ("cuda", "tensor"),
        10_800,
    )
