"""A GPU, and the DLAs beside it, as a device.

Everything is probed; nothing follows from the name of a board.
"""

import math
from pathlib import Path

from envs.runtimes.tensorrt.cuda import Cuda, GpuFacts
from envs.runtimes.tensorrt.versions import Bindings, load_bindings
from envs.spec import DeviceSpec, Hardware, accelerator, available_cores
from envs.telemetry.clock_limits import cores_on, cpu_limit_mhz, gpu_limit_mhz
from envs.telemetry.power_mode import UNKNOWN, read_power_mode
from envs.telemetry.system_memory import available_mib, total_mib

#: The first compute capability with Tensor Cores (NVIDIA, Volta architecture).
TENSOR_CORES = (7, 0)

#: The share of all memory that instances may fill at most.
SHARE = 0.9

#: What is left alone of the memory that is free at the start [MiB]. Other programs grow, and the
#: kernel ends one of them, or this service, before the last page is gone. It is an assumption: the
#: headroom that `RESERVED_MIB` of the simulator holds too.
RESERVE_MIB = 1024.0


def jetson_device(
    bindings: Bindings | None = None, cuda: Cuda | None = None, root: Path = Path("/")
) -> DeviceSpec:
    """Return this computer's GPU as a device, with what is free of its memory.

    A desktop GPU is a device too: it has no DLA and no power mode.

    Args:
        bindings: TensorRT; that of this computer if not given.
        cuda: the GPU; the first one if not given.
        root: the root of the file system.

    Raises:
        DependencyError: TensorRT, pycuda or the driver is missing.
    """
    cuda = cuda or Cuda()
    with cuda.current():
        facts, free_mib = cuda.facts(), cuda.free_mib()
        cores = (bindings or load_bindings()).dla_cores()
    mode = read_power_mode(root)
    return DeviceSpec(
        board_name(root) or facts.name,
        tuple(accelerator(name) for name in accelerators_of(facts, cores)),
        available_cores(),
        memory_for_instances(facts, free_mib, root),
        "default" if mode == UNKNOWN else mode,
        hardware_of(facts, cores, root),
    )


def accelerators_of(facts: GpuFacts, dla_cores: int) -> tuple[str, ...]:
    """Return the names of the accelerators; no board has more than two DLA cores."""
    tensor = ("tensor",) if facts.capability >= TENSOR_CORES else ()
    return ("cuda", *tensor, *(f"dla{core}" for core in range(min(dla_cores, 2))))


def memory_for_instances(facts: GpuFacts, free_mib: float, root: Path = Path("/")) -> float:
    """Return how much memory instances may fill, in whole MiB.

    It is what is free now, less a reserve, and at most nine tenths of all. On a Jetson the kernel
    knows what is free: the driver's number leaves out the page cache, which would make room.

    Args:
        facts: of the GPU.
        free_mib: what its driver could still give.
        root: the root of the file system.
    """
    total = facts.memory_mib
    if facts.integrated:
        told = total_mib(root)
        total, free_mib = (told if told > 0 else total), available_mib(root)
    left = free_mib - RESERVE_MIB
    return float(round(SHARE * total if math.isnan(left) else max(0.0, min(SHARE * total, left))))


def hardware_of(facts: GpuFacts, dla_cores: int, root: Path = Path("/")) -> Hardware:
    """Return the GPU and the processor in numbers.

    On an Orin, `deviceQuery` prints as the clock of the memory what the power mode allows the GPU
    (612 MHz on an AGX Orin with 8 multiprocessors on, whose GPU reaches 1300 MHz; 612 of 918 MHz
    on an Orin NX with 4), and three widths of the same bus. So these two tell no bandwidth there.

    Args:
        facts: of the GPU.
        dla_cores: that TensorRT can use.
        root: the root of the file system.
    """
    clock_mhz, bandwidth_gb_s = facts.clock_mhz, math.nan
    if facts.integrated:
        clock_mhz = gpu_limit_mhz(root)
        if math.isnan(clock_mhz) and facts.memory_clock_mhz <= facts.clock_mhz:
            clock_mhz = facts.memory_clock_mhz
    else:  # two transfers a cycle
        bandwidth_gb_s = 2 * facts.memory_clock_mhz * facts.bus_width_bits / 8 / 1e3
    return Hardware(
        facts.name,
        "{}.{}".format(*facts.capability),
        facts.sm,
        facts.integrated,
        facts.memory_mib,
        clock_mhz,
        facts.clock_mhz,
        bandwidth_gb_s,
        facts.l2_mib,
        cores_on(root),
        cpu_limit_mhz(root),
        dla_cores,
    )


def board_name(root: Path = Path("/")) -> str:
    """Return the board's name in the device tree, as a label only; empty if there is none."""
    try:
        text = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rstrip("\0\n ").strip()
