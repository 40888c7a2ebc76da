"""Jetson modules and their power modes; `data/boards.json` has a source for each number.

Clocks are upper limits that a mode sets; a board may run below them. Peaks are dense: 2:4 sparsity
would double them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from envs.catalog.sourced import SourcedObject, section
from envs.errors import OptionError

FACTS = Path(__file__).parent / "data" / "boards.json"

#: Rails whose sum is the power of the module.
RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


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


def board_like(label: str, memory_mib: float) -> Board:
    """Return the board that matches a name from a device tree.

    Args:
        label: the name in the device tree.
        memory_mib: memory, which decides between boards of one family.

    Raises:
        OptionError: the catalog has no board of that family.
    """
    matches = [each for each in map(board, board_names()) if _family(each) in label]
    if not matches:
        raise OptionError(
            f"{label!r} is not a board of the catalog: "
            f"say which of {', '.join(board_names())} it is most like"
        )
    return min(matches, key=lambda each: (-len(_family(each)), abs(each.memory_mib - memory_mib)))


def _family(board: Board) -> str:
    """Return the common part of the names of a family's modules, such as `Orin NX`."""
    return board.module.removeprefix("Jetson ").split(" (")[0].rsplit(" ", 2)[0]


def mode_like(board: Board, name: str) -> PowerMode:
    """Return the power mode by name, else one with the same watts, else the largest."""
    modes = board.power_modes
    if name in modes:
        return modes[name]
    watts = re.search(r"\d+W", name)
    matches = [each for each in modes.values() if watts and each.name.startswith(watts.group())]
    return matches[0] if matches else next(iter(modes.values()))


def read_boards(document: Mapping[str, Any]) -> dict[str, Board]:
    """Return boards by name from a document like `data/boards.json`.

    Raises:
        OptionError: a number is missing or impossible, or its source is unknown; the message has
            its path.
    """
    sources = set(section(document, "sources", "sources"))
    return {
        name: _board(name, SourcedObject(facts, f"boards.{name}", sources))
        for name, facts in section(document, "boards", "boards").items()
    }


@cache
def _boards() -> dict[str, Board]:
    return read_boards(json.loads(FACTS.read_text(encoding="utf-8")))


def _board(name: str, facts: SourcedObject) -> Board:
    facts.expect(*(field.name for field in fields(Board) if field.name != "name"))
    idle, modes = facts.inside("idle_w"), facts.inside("power_modes")
    idle.expect(*RAILS)
    dla_cores, emc_max_mhz = facts.whole("dla_cores", zero=True), facts.number("emc_max_mhz")
    above_zero = (
        "memory_mib",
        "dram_gb_s",
        "l2_mib",
        "cuda_mac_per_sm_cycle",
        "tensor_fp16_mac_per_sm_cycle",
        "tensor_int8_mac_per_sm_cycle",
        "max_power_w",
    )
    of_the_dla = ("dla_int8_mac_per_cycle", "dla_fp16_mac_per_cycle", "dla_sram_mib")
    return Board(
        name=name,
        module=facts.text("module"),
        gpu_architecture=facts.text("gpu_architecture"),
        emc_max_mhz=emc_max_mhz,
        dla_cores=dla_cores,
        idle_w={rail: idle.number(rail, zero=True) for rail in RAILS},
        wall_overhead=facts.number("wall_overhead", minimum=1.0),
        power_modes={
            mode: _power_mode(mode, modes.inside(mode), emc_max_mhz, dla_cores)
            for mode in section(facts.facts, "power_modes", modes.path)
        },
        **{key: facts.number(key) for key in above_zero},
        **{
            key: facts.number(key) if dla_cores else facts.number(key, maximum=0.0, zero=True)
            for key in of_the_dla
        },
    )


def _power_mode(name: str, facts: SourcedObject, emc_max_mhz: float, dla_cores: int) -> PowerMode:
    facts.expect(*(field.name for field in fields(PowerMode) if field.name != "name"))
    return PowerMode(
        name=name,
        sm=facts.whole("sm"),
        gpu_mhz=facts.number("gpu_mhz"),
        dla_mhz=facts.number("dla_mhz", maximum=math.inf if dla_cores else 0.0, zero=True),
        emc_mhz=facts.number("emc_mhz", maximum=emc_max_mhz),
        cpu_cores=facts.whole("cpu_cores"),
        cpu_mhz=facts.number("cpu_mhz"),
        budget_w=facts.optional("budget_w"),
    )
