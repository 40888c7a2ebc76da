"""Jetson modules and their power modes; `data/boards.json` has a source for each number.

Clocks are upper limits that a mode sets; a board may run below them. Peaks are dense: 2:4 sparsity
would double them.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from envs.errors import OptionError

FACTS = Path(__file__).parent / "data" / "boards.json"

#: Rails whose sum is the power of the module.
RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")

#: Fields that are whole numbers.
WHOLE = frozenset({"sm", "cpu_cores", "dla_cores"})


@dataclass(frozen=True)
class PowerMode:
    """A power mode of a board.

    Attributes:
        name: name in `nvpmodel` without `MODE_`, or `mlperf_...` for the clocks of a submission.
        sm: streaming multiprocessors that are on.
        gpu_mhz: highest clock of the GPU.
        dla_mhz: highest clock of a DLA core; 0 if the DLA is off or absent.
        emc_mhz: highest clock of the memory controller.
        cpu_cores: processor cores that are on.
        cpu_mhz: highest clock of the processor cores.
        budget_w: module power that the mode is made for; None if it has no such limit.
    """

    name: str
    sm: int
    gpu_mhz: float
    dla_mhz: float
    emc_mhz: float
    cpu_cores: int
    cpu_mhz: float
    budget_w: float | None


@dataclass(frozen=True)
class Board:
    """A module with its power modes.

    Attributes:
        name: name in options.
        module: NVIDIA's name.
        gpu_architecture: `ampere` or `volta`.
        memory_mib: DRAM of the module; the model decides how much of it instances may fill.
        dram_gb_s: bandwidth of the DRAM at `emc_max_mhz`.
        emc_max_mhz: highest clock of the memory controller.
        l2_mib: L2 cache of the GPU.
        cuda_mac_per_sm_cycle: FP32 multiply-accumulates of an SM's CUDA cores in a cycle.
        tensor_fp16_mac_per_sm_cycle: the same of its Tensor Cores in FP16.
        tensor_int8_mac_per_sm_cycle: the same of its Tensor Cores in INT8.
        dla_cores: DLA cores; without any, all numbers of the DLA are 0.
        dla_int8_mac_per_cycle: INT8 multiply-accumulates of one DLA core in a cycle.
        dla_fp16_mac_per_cycle: the same in FP16.
        dla_sram_mib: SRAM that a DLA core can use.
        cpu_core: the processor's cores.
        cpu_fp32_mac_per_cycle: FP32 multiply-accumulates of ONNX Runtime on one core in a cycle.
        cpu_int8_gain: how much faster INT8 is than FP32, relative to the processor of a plain
            computer.
        max_power_w: highest power that the module is made for.
        idle_w: power of each of `RAILS` at rest.
        wall_overhead: power at the wall, divided by the sum of `RAILS`.
        power_modes: power modes by name.
    """

    name: str
    module: str
    gpu_architecture: str
    memory_mib: float
    dram_gb_s: float
    emc_max_mhz: float
    l2_mib: float
    cuda_mac_per_sm_cycle: float
    tensor_fp16_mac_per_sm_cycle: float
    tensor_int8_mac_per_sm_cycle: float
    dla_cores: int
    dla_int8_mac_per_cycle: float
    dla_fp16_mac_per_cycle: float
    dla_sram_mib: float
    cpu_core: str
    cpu_fp32_mac_per_cycle: float
    cpu_int8_gain: float
    max_power_w: float
    idle_w: dict[str, float]
    wall_overhead: float
    power_modes: dict[str, PowerMode]


def board_names() -> tuple[str, ...]:
    """Return the names of all boards."""
    return tuple(_boards())


def board(name: str) -> Board:
    """Return a board by name; raise OptionError if there is none."""
    boards = _boards()
    if name not in boards:
        raise OptionError(f"device.board={name} is unknown: choose from {', '.join(boards)}")
    return boards[name]


def power_mode(board: Board, name: str) -> PowerMode:
    """Return a power mode of a board by name; raise OptionError if it has none."""
    if name not in board.power_modes:
        raise OptionError(
            f"device.power_mode={name} is unknown on {board.name}: "
            f"choose from {', '.join(board.power_modes)}"
        )
    return board.power_modes[name]


@cache
def _boards() -> dict[str, Board]:
    document = json.loads(FACTS.read_text(encoding="utf-8"))
    return {name: _board(name, facts) for name, facts in document["boards"].items()}


def _board(name: str, facts: dict[str, Any]) -> Board:
    modes = {mode: PowerMode(mode, **_values(each)) for mode, each in facts["power_modes"].items()}
    groups = {"idle_w": _values(facts["idle_w"]), "power_modes": modes}
    return Board(name, **(_values(facts) | groups))


def _values(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `[value, source]` entries; texts stay, numbers become float or int."""
    values = {key: each[0] if isinstance(each, list) else each for key, each in facts.items()}
    return {
        key: float(value) if isinstance(value, int) and key not in WHOLE else value
        for key, value in values.items()
    }
