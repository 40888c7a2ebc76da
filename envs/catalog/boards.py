"""Jetson modules and their power modes, from `data/boards.json`, where a source stands beside each number.

Clocks are caps: what a mode allows, not what a board runs at every moment. Peaks are dense; 2:4 sparsity would double them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from envs.errors import OptionError

FACTS = Path(__file__).parent / "data" / "boards.json"

#: The rails that together are the power of the module.
RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


@dataclass(frozen=True)
class PowerMode:
    """What one power mode allows.

    Attributes:
        name: as `nvpmodel` calls it without `MODE_`, or `mlperf_...` for the clocks of a submission.
        sm: streaming multiprocessors that are on.
        gpu_mhz: highest clock of the GPU.
        dla_mhz: highest clock of a DLA core; 0 where the DLA is off or absent.
        emc_mhz: highest clock of the memory controller.
        cpu_cores: processor cores that are on.
        cpu_mhz: their highest clock.
        budget_w: module power it is made for; None where it has no such limit.
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
    """A module, and the peaks it has in one of its modes.

    Attributes:
        name: how options call it.
        module: NVIDIA's name.
        gpu_architecture: `ampere` or `volta`.
        memory_mib: DRAM of the module; how much of it instances may fill is up to the model.
        dram_gb_s: bandwidth of the DRAM at `emc_max_mhz`.
        emc_max_mhz: highest clock of the memory controller.
        l2_mib: L2 cache of the GPU.
        cuda_mac_per_sm_cycle: FP32 multiply-accumulates of an SM's CUDA cores in a cycle.
        tensor_fp16_mac_per_sm_cycle: the same of its Tensor cores in FP16.
        tensor_int8_mac_per_sm_cycle: the same in INT8.
        dla_cores: DLA cores; all numbers of the DLA are 0 where there are none.
        dla_int8_mac_per_cycle: INT8 multiply-accumulates of one DLA core in a cycle.
        dla_fp16_mac_per_cycle: the same in FP16.
        dla_sram_mib: SRAM that a DLA core can use.
        max_power_w: most that the module is made to draw.
        idle_w: power of each of `RAILS` with nothing to do.
        wall_overhead: power at the wall over the sum of `RAILS`.
        power_modes: by name.
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

    def cuda_fp32_tflops(self, mode: PowerMode) -> float:
        """Peak of the CUDA cores in FP32."""
        return _tera_ops(mode.sm * self.cuda_mac_per_sm_cycle, mode.gpu_mhz)

    def tensor_fp16_tflops(self, mode: PowerMode) -> float:
        """Peak of the Tensor cores in FP16."""
        return _tera_ops(mode.sm * self.tensor_fp16_mac_per_sm_cycle, mode.gpu_mhz)

    def tensor_int8_tops(self, mode: PowerMode) -> float:
        """Peak of the Tensor cores in INT8."""
        return _tera_ops(mode.sm * self.tensor_int8_mac_per_sm_cycle, mode.gpu_mhz)

    def dla_int8_tops(self, mode: PowerMode) -> float:
        """Peak of one DLA core in INT8; 0 where the DLA is off or absent."""
        return _tera_ops(self.dla_int8_mac_per_cycle, mode.dla_mhz)

    def dla_fp16_tflops(self, mode: PowerMode) -> float:
        """Peak of one DLA core in FP16; 0 where the DLA is off or absent."""
        return _tera_ops(self.dla_fp16_mac_per_cycle, mode.dla_mhz)

    def dram_gb_s_in(self, mode: PowerMode) -> float:
        """Bandwidth of the DRAM at the mode's EMC clock."""
        return self.dram_gb_s * mode.emc_mhz / self.emc_max_mhz


def board_names() -> tuple[str, ...]:
    """All boards of the catalogue."""
    return tuple(_catalogue()[0])


def board(name: str) -> Board:
    """The board called `name`; OptionError where there is none."""
    boards = _catalogue()[0]
    if name not in boards:
        raise OptionError(f"device.board={name} is unknown: choose from {', '.join(boards)}")
    return boards[name]


def power_mode(board: Board, name: str) -> PowerMode:
    """The mode called `name` of a board; OptionError where it has none of that name."""
    if name not in board.power_modes:
        raise OptionError(
            f"device.power_mode={name} is unknown on {board.name}: choose from {', '.join(board.power_modes)}"
        )
    return board.power_modes[name]


def board_like(label: str, memory_mib: float) -> Board:
    """The board that calls itself `label` (in its device tree); of several of a family the one with the nearest memory.

    Raises:
        OptionError: the catalogue has none of that family.
    """
    alike = [each for each in map(board, board_names()) if family(each) in label]
    if not alike:
        raise OptionError(
            f"{label!r} is no board of the catalogue: say which of {', '.join(board_names())} it is most like"
        )
    return min(alike, key=lambda each: (-len(family(each)), abs(each.memory_mib - memory_mib)))


def family(board: Board) -> str:
    """What the modules of a family have in common, such as `Orin NX`."""
    return board.module.removeprefix("Jetson ").split(" (")[0].rsplit(" ", 2)[0]


def mode_like(board: Board, name: str) -> PowerMode:
    """The power mode called `name`, or one of as many watts; the largest where nothing like it is known."""
    modes = board.power_modes
    watts = re.search(r"\d+W", name)
    alike = [each for each in modes.values() if each.name == name] or [
        each for each in modes.values() if watts and each.name.startswith(watts.group())
    ]
    return (alike or [next(iter(modes.values()))])[0]


def source_of(board: Board, *path: str) -> str:
    """Where a number comes from, with the note beside it: `source_of(board, "power_modes", "MAXN", "gpu_mhz")`.

    Raises:
        OptionError: there is no number at that path.
    """
    _, document = _catalogue()
    found: Any = document["boards"][board.name]
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, list):
        raise OptionError(
            f"{'.'.join(('boards', board.name, *path))} is not a number of the catalogue"
        )
    _, source, *note = found
    return "; ".join((document["sources"][source], *note))


def read_boards(document: Mapping[str, Any]) -> dict[str, Board]:
    """Boards by name from a document of the form of `data/boards.json`.

    Raises:
        OptionError: a number is missing, is impossible, or names no known source; the message has its path.
    """
    sources = set(_section(document, "sources", "sources"))
    return {
        name: _board(name, _Facts(facts, f"boards.{name}", sources))
        for name, facts in _section(document, "boards", "boards").items()
    }


@lru_cache(maxsize=1)
def _catalogue() -> tuple[dict[str, Board], dict[str, Any]]:
    document = json.loads(FACTS.read_text(encoding="utf-8"))
    return read_boards(document), document


def _tera_ops(macs_per_cycle: float, mhz: float) -> float:
    return 2.0 * macs_per_cycle * mhz * 1e6 / 1e12


class _Facts:
    """One object of the document, read key by key; every complaint names the path."""

    def __init__(self, facts: Any, path: str, sources: set[str]) -> None:
        if not isinstance(facts, dict):
            raise OptionError(f"{path} must be an object")
        self.facts, self.path, self.sources = facts, path, sources

    def expect(self, *keys: str) -> None:
        wrong = sorted(set(self.facts) ^ set(keys))
        if wrong:
            raise OptionError(
                f"{self.path}.{wrong[0]} is {'missing' if wrong[0] in keys else 'not known'}"
            )

    def inside(self, key: str) -> _Facts:
        return _Facts(self.facts[key], f"{self.path}.{key}", self.sources)

    def text(self, key: str) -> str:
        value = self.facts[key]
        if not isinstance(value, str) or not value:
            raise OptionError(f"{self.path}.{key} must be a text")
        return value

    def number(
        self, key: str, least: float = 0.0, most: float = math.inf, *, zero: bool = False
    ) -> float:
        """A finite number above zero (or zero, where that means `none`) within bounds."""
        value = self._value(key)
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not math.isfinite(value)
        ):
            raise OptionError(f"{self.path}.{key}={value} must be a number")
        if not (least <= value <= most and (value > 0 or (zero and value == 0))):
            raise OptionError(
                f"{self.path}.{key}={value} must be {'zero or above' if zero else 'above zero'} and lie in {least:g}..{most:g}"
            )
        return float(value)

    def whole(self, key: str, *, zero: bool = False) -> int:
        value = self.number(key, zero=zero)
        if value != int(value):
            raise OptionError(f"{self.path}.{key}={value} must be a whole number")
        return int(value)

    def optional(self, key: str) -> float | None:
        return None if self._value(key) is None else self.number(key)

    def _value(self, key: str) -> Any:
        entry = self.facts[key]
        if (
            not isinstance(entry, list)
            or len(entry) not in (2, 3)
            or not all(isinstance(word, str) and word for word in entry[1:])
        ):
            raise OptionError(f"{self.path}.{key} must be [value, source] or [value, source, note]")
        if entry[1] not in self.sources:
            raise OptionError(f"{self.path}.{key} names the unknown source {entry[1]!r}")
        return entry[0]


def _section(document: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
    section = document.get(key)
    if not isinstance(section, dict) or not section:
        raise OptionError(f"{path} is missing or empty")
    return section


def _board(name: str, facts: _Facts) -> Board:
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
        wall_overhead=facts.number("wall_overhead", least=1.0),
        power_modes={
            mode: _power_mode(mode, modes.inside(mode), emc_max_mhz, dla_cores)
            for mode in _section(facts.facts, "power_modes", modes.path)
        },
        **{key: facts.number(key) for key in above_zero},
        **{
            key: facts.number(key) if dla_cores else facts.number(key, most=0.0, zero=True)
            for key in of_the_dla
        },
    )


def _power_mode(name: str, facts: _Facts, emc_max_mhz: float, dla_cores: int) -> PowerMode:
    facts.expect(*(field.name for field in fields(PowerMode) if field.name != "name"))
    return PowerMode(
        name=name,
        sm=facts.whole("sm"),
        gpu_mhz=facts.number("gpu_mhz"),
        dla_mhz=facts.number("dla_mhz", most=math.inf if dla_cores else 0.0, zero=True),
        emc_mhz=facts.number("emc_mhz", most=emc_max_mhz),
        cpu_cores=facts.whole("cpu_cores"),
        cpu_mhz=facts.number("cpu_mhz"),
        budget_w=facts.optional("budget_w"),
    )
