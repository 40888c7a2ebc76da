"""A GPU, and the DLAs beside it, as a device.

Everything is probed; nothing follows from the name of a board.
"""

import os
from pathlib import Path

from envs.runtimes.tensorrt.cuda import Cuda, GpuFacts
from envs.runtimes.tensorrt.versions import Bindings, load_bindings
from envs.spec import DeviceSpec, accelerator, available_cores
from envs.telemetry.power_mode import UNKNOWN, read_power_mode

#: The first compute capability with Tensor Cores (NVIDIA, Volta architecture).
TENSOR_CORES = (7, 0)


def jetson_device(
    bindings: Bindings | None = None, cuda: Cuda | None = None, root: Path = Path("/")
) -> DeviceSpec:
    """Return this computer's GPU as a device; instances may fill nine tenths of the memory.

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
        facts = cuda.facts()
        cores = (bindings or load_bindings()).dla_cores()
    mode = read_power_mode(root)
    memory_mib = _system_memory_mib() if facts.integrated else facts.memory_mib
    return DeviceSpec(
        board_name(root) or facts.name,
        tuple(accelerator(name) for name in accelerators_of(facts, cores)),
        available_cores(),
        round(0.9 * memory_mib),
        "default" if mode == UNKNOWN else mode,
    )


def accelerators_of(facts: GpuFacts, dla_cores: int) -> tuple[str, ...]:
    """Return the names of the accelerators; no board has more than two DLA cores."""
    tensor = ("tensor",) if facts.capability >= TENSOR_CORES else ()
    return ("cuda", *tensor, *(f"dla{core}" for core in range(min(dla_cores, 2))))


def board_name(root: Path = Path("/")) -> str:
    """Return the board's name in the device tree, as a label only; empty if there is none."""
    try:
        text = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rstrip("\0\n ").strip()


def _system_memory_mib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
