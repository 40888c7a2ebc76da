"""Find the board of the catalogue, and its power mode, that a device is.

A device tree names the board and `nvpmodel` the mode. A container often shows neither, and then the
hardware itself tells: how many multiprocessors are on, the clocks, the memory, the DLAs, and the
cores of the processor. What follows from hardware alone is a guess, and is called one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from envs.catalog.boards import Board, PowerMode, board, board_names, power_mode
from envs.errors import OptionError
from envs.spec import DeviceSpec, Hardware

#: Architectures by compute capability (NVIDIA, CUDA C++ Programming Guide): Xavier, Orin.
ARCHITECTURES = {(7, 2): "volta", (8, 7): "ampere"}

#: Names of clocks of a submission: no `nvpmodel` has them.
SUBMISSION = "mlperf"

#: Memory that a board tells, as a share of what is soldered on it: the firmware keeps the rest.
MEMORY_SHARE = 0.95


#: Doublings of the memory by which a device is another one than the board that it is taken for.
OTHER_MEMORY = 0.5


class Identified(NamedTuple):
    """A board in a power mode.

    Attributes:
        board: the board.
        mode: its power mode.
        remark: one sentence on what was guessed, and what to give instead; empty if nothing was.
    """

    board: Board
    mode: PowerMode
    remark: str


def is_jetson(device: DeviceSpec) -> bool:
    """Return True if a device may be a Jetson: its GPU shares the processor's memory."""
    hardware = device.hardware
    return hardware is None or hardware.integrated or bool(named_boards(device.name))


def identify(
    device: DeviceSpec, like: str | None = None, mode: str | None = None, present: str | None = None
) -> Identified:
    """Return the board and the power mode that a device is, or is most like.

    Args:
        device: as it describes itself.
        like: the board that the user names.
        mode: the power mode that the user names.
        present: the power mode as the device names it now; that of its description if not given.

    Raises:
        OptionError: the board or the mode that the user names is unknown, or no board of the
            catalogue is like the device.
    """
    boards, guessed = _boards(device, like)
    found = _identify(device, boards, guessed, mode, present)
    if like is None and _memory_distance(found.board, device) > OTHER_MEMORY:
        other = (
            f"the catalogue has no such board with {_total_mib(device):,.0f} MiB: the model takes"
            f" {found.board.name}; give --board if another one is more like it"
        )
        return found._replace(remark="; ".join(filter(None, (found.remark, other))))
    return found


def _identify(
    device: DeviceSpec, boards: list[Board], guessed: bool, mode: str | None, present: str | None
) -> Identified:
    if mode is not None:
        having = [each for each in boards if mode in each.power_modes]
        boards = having or boards[:1]
        modes = [(each, power_mode(each, mode)) for each in boards]
        return _best(modes, device, "the board" if guessed else "")
    name = device.power_mode if present is None else present
    modes = [(each, found) for each in boards if (found := each.power_modes.get(name))]
    if modes:
        return _best(modes, device, "the board" if guessed else "")
    every = [
        (each, found)
        for each in boards
        for found in each.power_modes.values()
        if not found.name.startswith(SUBMISSION)
    ]
    if watts := re.search(r"(\d+)W", name):
        return _nearest_watts(every, device, name, float(watts[1]), guessed)
    if clock := re.fullmatch(r"([\d.]+) MHz", name):
        device = _with_clock(device, float(clock[1]))
    return _best(every, device, "the board and its power mode" if guessed else "the power mode")


def named_boards(label: str) -> list[Board]:
    """Return the boards of the family that a device tree names; none if it names no such family."""
    found = [each for each in map(board, board_names()) if _family(each) in label]
    longest = max((len(_family(each)) for each in found), default=0)
    return [each for each in found if len(_family(each)) == longest]


def _family(board: Board) -> str:
    return board.module.removeprefix("Jetson ").split(" (")[0].rsplit(" ", 2)[0]


def _boards(device: DeviceSpec, like: str | None) -> tuple[list[Board], bool]:
    """Return the boards that a device may be, and whether that is a guess."""
    if like is not None:
        return [board(like)], False
    hardware = device.hardware
    if named := named_boards(device.name):
        large = [each for each in named if hardware is None or _has_sm(each, hardware)]
        return [min(large or named, key=lambda each: _memory_distance(each, device))], False
    possible = [
        each
        for each in map(board, board_names())
        if hardware is not None
        and hardware.integrated
        and each.gpu_architecture == ARCHITECTURES.get(hardware.generation)
        and each.dla_cores >= hardware.dla_cores
        and _has_sm(each, hardware)
    ]
    if not possible:
        raise OptionError(
            f"{device.name!r} is not a board of the catalogue: "
            f"say with --board which of {', '.join(board_names())} it is most like"
        )
    return possible, True


def _has_sm(each: Board, hardware: Hardware) -> bool:
    return any(mode.sm >= hardware.sm for mode in each.power_modes.values())


def _memory_distance(each: Board, device: DeviceSpec) -> float:
    return _distance(_total_mib(device), MEMORY_SHARE * each.memory_mib)


def _total_mib(device: DeviceSpec) -> float:
    """Return all memory of a device; earlier recordings hold nine tenths of it."""
    return device.hardware.memory_mib if device.hardware else device.memory_mib / 0.9


def _distance(told: float, expected: float) -> float:
    """Return how far two numbers are apart, in doublings; 0 where one is not known."""
    known = told > 0 and expected > 0
    return abs(math.log2(told / expected)) if known else 0.0


def _best(
    choices: Iterable[tuple[Board, PowerMode]], device: DeviceSpec, guessed: str
) -> Identified:
    """Return the board and mode that fit the hardware best; of equals the one that computes least.

    A model that promises too little starts with small configurations; one that promises too much
    starts with large ones.
    """
    found, mode = min(
        choices,
        key=lambda each: (round(_misfit(each[0], each[1], device), 6), _rates(each[1])),
    )
    if not guessed:
        return Identified(found, mode, "")
    if device.hardware is None:
        told = f"of {found.name} the model takes {mode.name}, which computes least"
    else:
        told = f"{_signs(device)} fits {found.name} in {mode.name} best"
    return Identified(
        found,
        mode,
        f"guessed {guessed}, which nothing names here: {told};"
        f" give {_options(guessed)} if that is wrong",
    )


def _rates(mode: PowerMode) -> tuple[float, ...]:
    return mode.sm * mode.gpu_mhz, mode.dla_mhz, mode.emc_mhz, mode.cpu_mhz


def _nearest_watts(
    choices: Iterable[tuple[Board, PowerMode]],
    device: DeviceSpec,
    name: str,
    watts: float,
    guessed: bool,
) -> Identified:
    """Return the mode whose budget is nearest to the watts in the name of one it does not know."""
    found, mode = min(
        (each for each in choices if each[1].budget_w is not None),
        key=lambda each: (
            _misfit_of_board(each[0], device),
            abs((each[1].budget_w or 0.0) - watts),
            each[1].budget_w,
        ),
    )
    board_too = f" (a guess: {_signs(device)} fits it best)" if guessed else ""
    return Identified(
        found,
        mode,
        f"the catalogue has no power mode {name!r} of {found.name}{board_too}: the model takes"
        f" {mode.name}, whose watts are nearest; give"
        f" {'--board and --mode' if guessed else '--mode'} if another one is more like it",
    )


def _misfit(each: Board, mode: PowerMode, device: DeviceSpec) -> float:
    """Return how badly a board in a mode fits the hardware: distances in doublings, weighted.

    Multiprocessors count most, since they are known for certain and are few; cores may be taken
    away from a container.
    """
    hardware = device.hardware
    if hardware is None:
        return _misfit_of_board(each, device)
    return (
        _misfit_of_board(each, device)
        + 4 * _distance(hardware.sm, mode.sm)
        + 2 * _distance(hardware.clock_mhz, mode.gpu_mhz)
        + 0.5 * _distance(hardware.cpu_cores, mode.cpu_cores)
        + 0.5 * _distance(hardware.cpu_mhz, mode.cpu_mhz)
    )


def _misfit_of_board(each: Board, device: DeviceSpec) -> float:
    hardware = device.hardware
    if hardware is None:
        return _memory_distance(each, device)
    clocks = [mode.gpu_mhz for mode in each.power_modes.values()]
    return (
        2 * _memory_distance(each, device)
        + _distance(hardware.l2_mib, each.l2_mib)
        + min(_distance(hardware.max_clock_mhz, mhz) for mhz in clocks)
    )


def _with_clock(device: DeviceSpec, mhz: float) -> DeviceSpec:
    hardware = device.hardware or Hardware(device.name, "0.0", 0, True, device.memory_mib / 0.9)
    return replace(device, hardware=replace(hardware, clock_mhz=mhz))


def _signs(device: DeviceSpec) -> str:
    """Return the numbers that a guess follows from, as text."""
    hardware = device.hardware
    assert hardware is not None, "without hardware no board is guessed"
    parts = [f"{hardware.sm} multiprocessors"]
    if hardware.clock_mhz == hardware.clock_mhz:
        parts.append(f"a clock of {hardware.clock_mhz:.0f} MHz")
    parts += [f"{hardware.memory_mib:,.0f} MiB", f"{hardware.cpu_cores} processor cores"]
    return f"a GPU with {', '.join(parts[:-1])} and {parts[-1]}"


def _options(guessed: str) -> str:
    flags = [f"--{word}" for word in ("board", "mode") if word in guessed.split()]
    return " and ".join(flags)
