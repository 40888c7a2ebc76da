"""Faults of a Jetson, each with what has to become of the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.device_fault_places import (
    ROOM,
    client_that_dies,
    filled,
    mode_changes_twice,
    no_board_files,
    no_device_tree,
    plans_damaged,
    sensor_of_another_board,
    served_before,
)
from benchmarks.device_service import Place

#: Stand-ins of a lane of a network with one input and one output hold so many pieces of memory.
PIECES_OF_LANE = 3
#: What the loader of shared libraries says.
NO_COMPILER = "libnvdla_compiler.so: cannot open shared object file: No such file or directory"
#: Memory ends at each of these lanes, counted from 1.
LANES = range(1, 21)


@dataclass(frozen=True)
class Case:
    """One thing that fails.

    Attributes:
        faults: fields of `tests.standins.tensorrt.faults.Faults`.
        standins: other arguments of `tests.standins.tensorrt.child.environment`.
        options: more options of the command.
        after: the fault begins when the journal has so many lines; 0 for the start.
        act: is called when the fault begins.
        prepare: changes the place before the service starts.
        heals: True if the fault is gone in the second process.
        periods: that a process serves.
        code: the exit code of the first process; None for any.
        refused: True if the service must not start; one sentence says why.
        says: a text that standard error or the journal must have.
        struck: what the log of the stand-ins must name, if the fault struck; empty for nothing.
    """

    name: str
    faults: dict[str, Any] = field(default_factory=dict)
    standins: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    after: int = 0
    act: Callable[[Place], object] = lambda place: None
    prepare: Callable[[Place], object] = lambda place: None
    heals: bool = False
    periods: int = 10
    code: int | None = None
    refused: bool = False
    says: str = ""
    struck: str = ""


CLIENT = ("--client", "app:main", "--rate-ips", "50")


def _clients() -> list[Case]:
    dies = {
        "returns": ("return", 4),
        "raises": ('raise ValueError("no camera")', 4),
        "calls sys.exit": ("sys.exit(1)", 4),
        "raises a BaseException": ("raise Gone", 4),
    }
    cases = [
        Case(
            f"the client {how}",
            options=CLIENT,
            prepare=client_that_dies(body),
            code=code,
            says="app:main ended",
            periods=40,
        )
        for how, (body, code) in dies.items()
    ]
    # The process is gone at once; systemd starts it again, and the second client goes on.
    once = client_that_dies("os._exit(7)")
    return [*cases, Case("the client calls os._exit", options=CLIENT, prepare=once)]


def _refusals() -> list[Case]:
    """Return DLAs that say no: at creation and submission; once, always; both, or one of two."""
    cases = []
    for step, words in (("context", "a context"), ("submit", "a batch")):
        cases += [
            Case(f"the DLAs refuse {words}, always", {step: ["dla"]}, struck=step),
            Case(f"the DLAs refuse {words}, once", {step: ["dla"], "times": 1}, struck=step),
            Case(f"dla1 alone refuses {words}", {step: ["dla1"]}, struck=step),
            Case(
                f"the DLAs refuse {words} from the eighth period on",
                {step: ["dla"]},
                after=8,
                periods=24,
            ),
        ]
    cases += [
        Case("the GPU refuses every context", {"context": ["gpu"]}, struck="context"),
        Case("the GPU refuses every batch", {"submit": ["gpu"]}, struck="submit"),
        Case(
            "the GPU refuses every batch from the third period on",
            {"submit": ["gpu"]},
            after=3,
            periods=20,
            struck="submit",
        ),
        Case("GPU and DLAs refuse every batch", {"submit": ["gpu", "dla"]}, struck="submit"),
    ]
    return cases


def _memory() -> list[Case]:
    ends = [
        Case(
            f"memory ends at lane {lane} of twenty",
            {"memory_pieces": PIECES_OF_LANE * (lane - 1)},
            options=ROOM,
            prepare=filled,
            periods=6,
            struck="memory",
        )
        for lane in LANES
    ]
    others = [
        Case(
            f"memory for {words} ends at lane 3",
            {"memory_pieces": PIECES_OF_LANE * 2, "memory_ends": call},
        )
        for call, words in (("context", "contexts"), ("pagelocked", "pinned buffers"))
    ]
    return [*ends, *others]


def _builds() -> list[Case]:
    dla, gpu = {"build_on": ["dla"]}, {"build_on": ["gpu"]}
    limit = ("--build-limit-s", "1")
    return [
        Case("every build fails", {"build": "fail"}, struck="build"),
        Case("builds for the DLA fail", {"build": "fail", **dla}, struck="build"),
        Case("builds for the GPU fail", {"build": "fail", **gpu}, struck="build"),
        Case("builds raise", {"build": "raise"}, struck="build"),
        Case("builds for the DLA hang", {"build": "hang", **dla}, options=limit, struck="build"),
        Case("builds for the GPU hang", {"build": "hang", **gpu}, options=limit, struck="build"),
        Case(
            "a build hangs in TensorRT 8.6, which cannot be cancelled",
            {"build": "hang", **dla},
            {"version": "8.6.1"},
            options=limit,
            struck="build",
        ),
        Case("the first build kills the process", {"build": "kill", **gpu}, heals=True),
        Case("builds for the DLA kill the process", {"build": "kill", **dla}),
        Case("builds for the GPU kill the process", {"build": "kill", **gpu}),
        Case("builds take a second each", {"build_s": 1.0}, struck="build"),
    ]


def _others() -> list[Case]:
    return [
        Case(
            "plans are of another release",
            {"release": "another"},
            prepare=served_before,
            struck="release",
        ),
        Case("plans on disk are damaged", after=4, act=plans_damaged),
        Case(
            "a CUDA error sticks, and is gone after a restart",
            {"sticky": True},
            after=3,
            heals=True,
            periods=16,
            struck="sticky",
        ),
        Case(
            "a CUDA error sticks, in every process",
            {"sticky": True},
            after=3,
            periods=16,
            struck="sticky",
        ),
        Case(
            "a CUDA error sticks from the first batch on",
            {"sticky": True},
            periods=16,
            struck="sticky",
        ),
        Case("the sensor is of another board", prepare=sensor_of_another_board),
        Case(
            "a power limit, and the sensor is gone",
            prepare=no_board_files,
            options=("--power-w", "30"),
            refused=True,
            says="power",
        ),
        Case("no device tree", prepare=no_device_tree),
        Case("no files of the board at all", prepare=no_board_files),
        Case(
            "the power mode changes twice while engines are built",
            {"build_s": 0.5},
            after=1,
            act=mode_changes_twice,
            periods=14,
            struck="build",
        ),
        Case("TensorRT counts no DLA", standins={"dla_cores": 0}, says="without DLAs"),
        Case(
            "libnvdla_compiler.so is missing",
            {"import_error": NO_COMPILER},
            refused=True,
            says="libnvdla_compiler.so",
        ),
        Case("no GPU", {"no_gpu": True}, refused=True, says="no CUDA-capable device"),
    ]


CASES: tuple[Case, ...] = (*_refusals(), *_memory(), *_builds(), *_others(), *_clients())
