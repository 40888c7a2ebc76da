from __future__ import annotations

import math
from dataclasses import replace

import pytest

from envs.catalog.boards import Board, PowerMode, board, board_names
from envs.catalog.identify import SUBMISSION, identify, is_jetson
from envs.errors import OptionError
from envs.spec import DeviceSpec, Hardware, accelerator

STOCK = [
    (name, mode)
    for name in board_names()
    for mode in board(name).power_modes
    if not mode.startswith(SUBMISSION)
]


def device(hardware: Hardware | None, name: str = "Orin", mode: str = "default") -> DeviceSpec:
    total = hardware.memory_mib if hardware else 30_000.0
    return DeviceSpec(name, (accelerator("cuda"),), 4, 0.9 * total, mode, hardware)


def shown(each: Board, mode: PowerMode) -> Hardware:
    """Return what a container sees of a board in a mode: CUDA's attributes, devfreq and cpufreq."""
    return Hardware(
        gpu="Orin",
        capability="8.7" if each.gpu_architecture == "ampere" else "7.2",
        sm=mode.sm,
        integrated=True,
        memory_mib=0.94 * each.memory_mib,
        clock_mhz=mode.gpu_mhz,
        max_clock_mhz=max(other.gpu_mhz for other in each.power_modes.values()),
        l2_mib=each.l2_mib,
        cpu_cores=mode.cpu_cores,
        cpu_mhz=mode.cpu_mhz,
        dla_cores=each.dla_cores,
    )


#: Modes that show nothing to tell them from another: GPU, cores and clock of the cores are equal.
SAME = {("xavier_nx", "20W"): ("xavier_nx", "15W")}


@pytest.mark.parametrize(("name", "mode"), STOCK)
def test_every_board_and_mode_is_found_by_what_a_container_shows(name: str, mode: str) -> None:
    each = board(name)
    found = identify(device(shown(each, each.power_modes[mode])))
    assert (found.board.name, found.mode.name) == SAME.get((name, mode), (name, mode))
    assert "guessed the board and its power mode" in found.remark
    assert f"{found.board.name} in {found.mode.name}" in found.remark
    assert found.remark.endswith("give --board and --mode if that is wrong")


@pytest.mark.parametrize(("name", "mode"), STOCK)
def test_without_a_clock_the_mode_that_computes_least_of_those_that_fit_is_taken(
    name: str, mode: str
) -> None:
    each = board(name)
    hardware = replace(
        shown(each, each.power_modes[mode]),
        clock_mhz=math.nan,
        max_clock_mhz=math.nan,
        cpu_mhz=math.nan,
    )
    found = identify(device(hardware))
    assert found.board == each
    same = [
        other
        for other in each.power_modes.values()
        if other.sm == hardware.sm
        and other.cpu_cores == hardware.cpu_cores
        and not other.name.startswith(SUBMISSION)
    ]
    assert found.mode.gpu_mhz == min(other.gpu_mhz for other in same)


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        # Printed by deviceQuery on boards: the clock of the memory there is that of the mode.
        (Hardware("Orin", "8.7", 8, True, 62_841, 612, 1300, l2_mib=4), ("agx_orin_64", "30W")),
        (Hardware("Orin", "8.7", 16, True, 62_841, 1300, 1300, l2_mib=4), ("agx_orin_64", "MAXN")),
        (Hardware("Orin", "8.7", 16, True, 30_623, 1300, 1300, l2_mib=4), ("agx_orin_64", "MAXN")),
        (Hardware("Orin", "8.7", 8, True, 15_656, 918, 918, l2_mib=2), ("orin_nx_16", "MAXN")),
        (Hardware("Orin", "8.7", 4, True, 15_657, 612, 918, l2_mib=2), ("orin_nx_16", "10W")),
        (Hardware("Orin", "8.7", 8, True, 7_336, 624, 624, l2_mib=2), ("orin_nano_8", "15W")),
    ],
)
def test_boards_of_others_are_found(hardware: Hardware, expected: tuple[str, str]) -> None:
    found = identify(device(replace(hardware, cpu_cores=0)))
    assert (found.board.name, found.mode.name) == expected


@pytest.mark.parametrize(
    ("label", "memory_mib", "mode", "expected"),
    [
        ("NVIDIA Jetson AGX Orin Developer Kit", 62_800, "30W", ("agx_orin_64", "30W")),
        ("NVIDIA Jetson AGX Orin Developer Kit", 30_600, "MAXN", ("agx_orin_32", "MAXN")),
        (
            "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
            15_500,
            "MAXN_SUPER",
            ("orin_nx_16", "MAXN_SUPER"),
        ),
        ("NVIDIA Orin Nano Developer Kit", 7_600, "15W", ("orin_nano_8", "15W")),
    ],
)
def test_a_board_is_found_by_what_it_calls_itself(
    label: str, memory_mib: float, mode: str, expected: tuple[str, str]
) -> None:
    named = DeviceSpec(label, (accelerator("cuda"),), 4, 0.9 * memory_mib, mode)
    found = identify(named)
    assert (found.board.name, found.mode.name, found.remark) == (*expected, "")


def test_the_first_developer_kit_has_the_memory_of_one_board_and_the_gpu_of_another() -> None:
    kit = Hardware("Orin", "8.7", 16, True, 30_623.0, 1300.5, 1300.5)
    found = identify(device(kit, "NVIDIA Jetson AGX Orin Developer Kit", "MAXN"))
    assert found.board.name == "agx_orin_64"
    assert found.remark == (
        "the catalogue has no such board with 30,623 MiB: the model takes agx_orin_64;"
        " give --board if another one is more like it"
    )


def test_a_smaller_board_of_a_family_is_not_taken_for_a_larger_one_without_a_word() -> None:
    nx_8 = Hardware("Orin", "8.7", 8, True, 7_620.0, 765.0, 765.0)
    found = identify(device(nx_8, "NVIDIA Jetson Orin NX Engineering Reference", "20W"))
    assert (found.board.name, found.mode.name) == ("orin_nx_16", "15W")
    assert "whose watts are nearest" in found.remark
    assert "no such board with 7,620 MiB: the model takes orin_nx_16" in found.remark
    assert identify(device(nx_8), "orin_nx_16", "15W").remark == ""


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("NVIDIA Jetson Xavier NX Developer Kit", "15W_6CORE", "15W"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "20W", "15W"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "CUSTOM_45W", "40W"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "60W", "40W"),
    ],
)
def test_an_unknown_mode_takes_the_nearest_watts_and_says_so(
    name: str, mode: str, expected: str
) -> None:
    found = identify(device(None, name, mode))
    assert found.mode.name == expected
    assert f"no power mode {mode!r} of {found.board.name}" in found.remark
    assert f"takes {expected}, whose watts are nearest; give --mode" in found.remark


def test_a_clock_in_place_of_a_mode_decides() -> None:
    hardware = shown(board("agx_orin_64"), board("agx_orin_64").power_modes["MAXN"])
    container = device(hardware, "NVIDIA Jetson AGX Orin Developer Kit", "816 MHz")
    found = identify(container)
    assert found.mode.name == "50W"
    assert "guessed the power mode, which" in found.remark
    assert found.remark.endswith("give --mode if that is wrong")
    assert identify(container, present="1300.5 MHz").mode.name == "MAXN"


def test_a_mode_that_nothing_names_is_never_the_largest_one_without_a_reason() -> None:
    found = identify(device(None, "NVIDIA Jetson AGX Orin Developer Kit", "unknown"))
    assert found.mode.name == "15W"
    assert "15W, which computes least; give --mode" in found.remark


def test_what_the_user_names_is_no_guess() -> None:
    hardware = shown(board("agx_orin_64"), board("agx_orin_64").power_modes["MAXN"])
    found = identify(device(hardware), "orin_nx_16", "25W")
    assert (found.board.name, found.mode.name, found.remark) == ("orin_nx_16", "25W", "")
    only_mode = identify(device(hardware), mode="50W")
    assert (only_mode.board.name, only_mode.mode.name) == ("agx_orin_64", "50W")
    assert only_mode.remark.endswith("give --board if that is wrong")
    with pytest.raises(OptionError, match=r"nonsense is unknown.*agx_orin_64"):
        identify(device(hardware), "nonsense")
    with pytest.raises(OptionError, match=r"17W is unknown on agx_orin_64.*MAXN, 50W"):
        identify(device(hardware), "agx_orin_64", "17W")


@pytest.mark.parametrize(
    "hardware",
    [
        None,
        Hardware("NVIDIA H100", "9.0", 132, False, 80_000.0),
        Hardware("NVIDIA Thor", "11.0", 20, True, 125_000.0),
    ],
)
def test_a_device_that_is_like_no_board_is_refused(hardware: Hardware | None) -> None:
    with pytest.raises(OptionError, match=r"'H100' is not a board .*--board which of agx_orin_64"):
        identify(device(hardware, "H100"))


def test_a_desktop_gpu_is_no_jetson() -> None:
    assert is_jetson(device(None, "Orin"))
    assert is_jetson(device(Hardware("Orin", "8.7", 16, True, 30_000.0)))
    assert not is_jetson(device(Hardware("NVIDIA H100", "9.0", 132, False, 80_000.0), "H100"))
