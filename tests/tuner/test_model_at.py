from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.catalog.reference_networks import reference_network
from envs.errors import OptionError
from envs.problems.draw import described
from envs.runtimes.tensorrt.device import jetson_device
from envs.simulator.machine import device_of, machine_of
from envs.spec import ConfigurationSpace, DeviceSpec, local_computer, workload_of
from tests.envs.simulator.test_generic_gpu import RTX_4090
from tests.envs.telemetry.trees import write
from tests.standins.tensorrt import stand_ins
from tests.standins.tensorrt.driver import ORIN
from tuner.model_at import machine_like, models_of, rates_of, remarks_on

#: An AGX Orin of 64 GB in 30 W, as `deviceQuery` prints it in a container.
IN_30_W = replace(ORIN, sm=8, memory_mib=62_841.0, memory_clock_mhz=612.0, bus_width_bits=256.0)

NETWORK = reference_network("resnet50")


def space_of(device: DeviceSpec) -> ConfigurationSpace:
    return ConfigurationSpace(device, workload_of([described(NETWORK)]), 4, (1, 8))


def container(root: Path) -> DeviceSpec:
    """Return the device in a container that shows no device tree and no file of nvpmodel."""
    write(root / "sys/devices/system/cpu/online", "0-7")
    with stand_ins(gpu=IN_30_W):
        return jetson_device(root=root)


def test_a_container_in_30_w_is_modelled_in_30_w_and_the_guess_is_said(tmp_path: Path) -> None:
    device = container(tmp_path)
    assert (device.name, device.power_mode) == ("Orin", "default")
    assert machine_like(device, None, None, "unknown", {}) == machine_of("agx_orin_64", "30W")
    (remark,) = remarks_on(device)
    assert "agx_orin_64 in 30W" in remark
    assert "--board and --mode" in remark


def test_the_mode_of_the_model_follows_the_device(tmp_path: Path) -> None:
    now = ["30W"]
    space = space_of(container(tmp_path))
    model_at = models_of(space, (NETWORK,), "agx_orin_64", lambda: now[0])
    before = model_at(rates_of(space)).machine
    now[0] = "816 MHz"  # nvpmodel is not visible any more
    assert (before, model_at(rates_of(space)).machine) == (
        machine_of("agx_orin_64", "30W"),
        machine_of("agx_orin_64", "30W"),  # eight multiprocessors are on in this mode alone
    )
    now[0] = "MAXN"
    assert model_at(rates_of(space)).machine.sm == 16
    fixed = models_of(space, (NETWORK,), "agx_orin_64", lambda: now[0], mode="15W")
    assert fixed(rates_of(space)).machine == machine_of("agx_orin_64", "15W")


def test_a_desktop_gpu_is_modelled_by_its_own_attributes() -> None:
    device = replace(device_of("orin_nano_8", "15W"), name=RTX_4090.gpu, hardware=RTX_4090)
    machine = machine_like(device, None, None, None, {})
    assert (machine.sm, machine.dram_byte_s) == (128, 1008e9)
    (remark,) = remarks_on(device)
    assert "is no Jetson" in remark
    space = space_of(device)
    desktop = models_of(space, (NETWORK,), engines={"precision": "fp16"})(rates_of(space))
    nano = models_of(
        space_of(device_of("orin_nano_8", "15W")), (NETWORK,), engines={"precision": "fp16"}
    )(rates_of(space))
    placements = space.default().array()[None]
    ours, theirs = (each.batch(each.nominal(), placements) for each in (desktop, nano))
    faster = ours.throughput_ips / theirs.throughput_ips
    assert (faster > 3).all()
    assert np.isfinite(faster).all()
    assert machine_like(device, "agx_orin_64", "MAXN", None, {}) == machine_of(
        "agx_orin_64", "MAXN"
    )


def test_nothing_is_guessed_of_a_plain_computer_or_a_board_of_the_catalogue() -> None:
    assert remarks_on(local_computer()) == []
    assert remarks_on(device_of("agx_orin_64", "30W")) == []


def test_a_device_that_has_no_model_is_no_error_before_one_is_needed() -> None:
    thor = replace(RTX_4090, gpu="NVIDIA Thor", capability="11.0", integrated=True)
    device = replace(device_of("orin_nano_8", "15W"), name="NVIDIA Thor", hardware=thor)
    assert remarks_on(device) == [
        "'NVIDIA Thor' is not a board of the catalogue: say with --board which of"
        " agx_orin_64, agx_orin_32, orin_nx_16, orin_nano_8, agx_xavier, xavier_nx it is most like"
    ]
    with pytest.raises(OptionError, match="which of agx_orin_64"):
        machine_like(device, None, None, None, {})


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nonsense is unknown"):
        remarks_on(container(tmp_path), "nonsense")
    with pytest.raises(OptionError, match="17W is unknown on agx_orin_64"):
        remarks_on(container(tmp_path), "agx_orin_64", "17W")
