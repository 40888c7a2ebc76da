"""The machine of a GPU that is no board of the catalogue, from its own attributes.

Its rates are those of its hardware. How much of them engines reach, and the watts that they take,
are parameters that were fitted to an Orin: whatever the model says of such a GPU is a guess.
"""

from __future__ import annotations

import math

from envs.errors import OptionError
from envs.simulator.machine import PLAIN_CPU_GHZ, PRECISION_BYTES, Machine, check_widths
from envs.spec import Hardware

#: Dense multiply-accumulates of one multiprocessor in a cycle by the first compute capability that
#: has them: FP32 on CUDA cores, FP16 and INT8 on Tensor Cores. FP32 from the table of arithmetic
#: throughput in NVIDIA's CUDA C++ Programming Guide. Tensor Cores from the peaks of NVIDIA's
#: architecture papers, divided by multiprocessors and clock: Volta V100, Turing TU102, Ampere GA100
#: and GA102, Ada AD102, Hopper H100, Blackwell B200 and GB202 (FP16 with FP16 accumulation, which
#: GeForce halves for FP32). Orin and Xavier are as in the catalogue. Without Tensor Cores, FP16 has
#: the rate of FP32 (twice that in 6.0 and 6.2), and INT8 four times that where there is `dp4a`
#: (6.1).
MAC_PER_SM_CYCLE: dict[tuple[int, int], tuple[float, float, float]] = {
    (5, 0): (128, 128, 128),
    (6, 0): (64, 128, 64),
    (6, 1): (128, 128, 512),
    (6, 2): (128, 256, 128),
    (7, 0): (64, 512, 256),
    (7, 2): (64, 512, 1024),
    (7, 5): (64, 512, 1024),
    (8, 0): (64, 1024, 2048),
    (8, 6): (128, 512, 1024),
    (8, 7): (128, 1024, 2048),
    (8, 9): (128, 512, 1024),
    (9, 0): (128, 2048, 4096),
    (10, 0): (128, 4096, 8192),
    (12, 0): (128, 512, 1024),
}

#: The parameters that are used: those of the newest board that anything was fitted to.
FITTED_TO = "ampere"


def rates_of_capability(generation: tuple[int, int]) -> tuple[float, float, float]:
    """Return the multiply-accumulates of a multiprocessor in a cycle: FP32, FP16, INT8.

    A capability that is not in the table has those of the newest one before it.

    Raises:
        OptionError: the GPU is older than all that is known.
    """
    known = [each for each in MAC_PER_SM_CYCLE if each <= generation]
    if not known:
        raise OptionError(
            f"a GPU of compute capability {generation[0]}.{generation[1]} is too old for the model:"
            " say with --board which Jetson it is most like"
        )
    return MAC_PER_SM_CYCLE[max(known)]


def generic_machine(hardware: Hardware, precision: str = "fp16") -> Machine:
    """Return the machine of a GPU with memory of its own.

    Args:
        hardware: as the driver tells it.
        precision: `int8` or `fp16`, of the engines for Tensor Cores.

    Raises:
        OptionError: the driver does not tell enough, or the GPU is too old.
    """
    check_widths(precision=precision)
    needed = (hardware.sm, hardware.clock_mhz, hardware.bandwidth_gb_s)
    if not all(math.isfinite(each) and each > 0 for each in needed):
        raise OptionError(
            f"the driver of {hardware.gpu} tells no clocks and no width of its memory, so that"
            " nothing can be predicted: say with --board which Jetson it is most like"
        )
    ghz = hardware.clock_mhz / 1e3
    return Machine(
        architecture=FITTED_TO,
        sm=hardware.sm,
        gpu_ghz=ghz,
        gpu_max_ghz=ghz,
        mac_per_sm_cycle=rates_of_capability(hardware.generation),
        l2_bytes=(hardware.l2_mib if hardware.l2_mib > 0 else 0.0) * 2**20,
        dram_byte_s=hardware.bandwidth_gb_s * 1e9,
        dla_ghz=1e-3,
        dla_mac_per_cycle=0.0,
        cpu_cores=hardware.cpu_cores,
        cpu_ghz=hardware.cpu_mhz / 1e3 if hardware.cpu_mhz > 0 else PLAIN_CPU_GHZ,
        idle_w=(0.0, 0.0, 0.0),
        max_power_w=math.inf,
        tensor_bytes=PRECISION_BYTES[precision],
    )


def remark_on(hardware: Hardware) -> str:
    """Return one sentence on what the model of such a GPU is worth."""
    return (
        f"{hardware.gpu} is no Jetson: the model takes its {hardware.sm} multiprocessors,"
        f" {hardware.clock_mhz:.0f} MHz and {hardware.bandwidth_gb_s:.0f} GB/s from the driver, and"
        " everything else from an Orin, so that its predictions are a guess until it has measured"
    )
