from __future__ import annotations

import math
from dataclasses import replace

import pytest

from envs.catalog.boards import board, power_mode
from envs.errors import OptionError
from envs.simulator.generic_gpu import generic_machine, rates_of_capability, remark_on
from envs.simulator.machine import machine_of
from envs.spec import Hardware

RTX_4090 = Hardware(
    "NVIDIA GeForce RTX 4090", "8.9", 128, False, 24_000.0, 2520, 2520, 1008, 72, 16, 4000
)


@pytest.mark.parametrize(
    ("capability", "sm", "mhz", "fp32", "fp16", "int8"),
    [
        # Dense peaks in tera-operations per second, published by NVIDIA: V100 SXM2, T4, A100 SXM,
        # GeForce RTX 3090, 4090 and 5090.
        ("7.0", 80, 1530, 15.7, 125, None),
        ("7.5", 40, 1590, 8.1, 65, 130),
        ("8.0", 108, 1410, 19.5, 312, 624),
        ("8.6", 82, 1695, 35.6, 142, 284),
        ("8.9", 128, 2520, 82.6, 330, 661),
        ("12.0", 170, 2407, 104.8, 419, 838),
    ],
)
def test_peaks_are_the_published_ones(
    capability: str, sm: int, mhz: float, fp32: float, fp16: float, int8: float | None
) -> None:
    hardware = replace(RTX_4090, capability=capability, sm=sm, clock_mhz=mhz)
    machine = generic_machine(hardware)
    for width, published in ((4, fp32), (2, fp16), (1, int8)):
        peak = 2 * machine.mac_s(width) / 1e12
        assert published is None or peak == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(("name", "capability"), [("agx_orin_64", "8.7"), ("agx_xavier", "7.2")])
def test_a_jetson_described_by_its_attributes_computes_as_in_the_catalogue(
    name: str, capability: str
) -> None:
    module = board(name)
    mode = power_mode(module, "MAXN")
    hardware = Hardware(
        module.module, capability, mode.sm, False, module.memory_mib, mode.gpu_mhz, mode.gpu_mhz,
        module.dram_gb_s, module.l2_mib, mode.cpu_cores, mode.cpu_mhz,
    )  # fmt: skip
    ours, catalogue = generic_machine(hardware, "int8"), machine_of(name, "MAXN")
    assert ours.dram_byte_s == pytest.approx(catalogue.dram_byte_s)
    assert (ours.l2_bytes, ours.cpu_ghz) == (catalogue.l2_bytes, catalogue.cpu_ghz)
    for width in (4, 2, 1):
        assert ours.mac_s(width) == catalogue.mac_s(width)


def test_a_newer_gpu_has_the_rates_of_the_newest_one_before_it() -> None:
    assert rates_of_capability((9, 9)) == rates_of_capability((9, 0))
    assert rates_of_capability((13, 0)) == rates_of_capability((12, 0))


def test_a_gpu_that_tells_too_little_or_is_too_old_is_refused() -> None:
    with pytest.raises(OptionError, match=r"RTX 4090 tells no clocks.*--board"):
        generic_machine(replace(RTX_4090, bandwidth_gb_s=math.nan))
    with pytest.raises(OptionError, match=r"capability 3\.5 is too old.*--board"):
        generic_machine(replace(RTX_4090, capability="3.5"))
    with pytest.raises(OptionError, match=r"device\.precision='fp8' is unknown"):
        generic_machine(RTX_4090, "fp8")


def test_the_remark_calls_it_a_guess() -> None:
    assert remark_on(RTX_4090) == (
        "NVIDIA GeForce RTX 4090 is no Jetson: the model takes its 128 multiprocessors, 2520 MHz"
        " and 1008 GB/s from the driver, and everything else from an Orin, so that its predictions"
        " are a guess until it has measured"
    )
