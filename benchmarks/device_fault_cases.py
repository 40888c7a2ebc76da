"""Faults of a Jetson, each with what has to become of the service."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.device_service import Place, run_service
from tests.envs.telemetry.trees import agx_orin_jetpack6, orin_nx, write

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
        code: the exit code of the last process where it could serve.
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
    code: int = 0
    refused: bool = False
    says: str = ""
    struck: str = ""


def board_files(root: Path) -> None:
    """Write the files of an AGX Orin of 32 GB in MAXN."""
    agx_orin_jetpack6(root)
    write(root / "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    modes = "\n".join(
        f"< POWER_MODEL ID={number} NAME={name} >"
        for number, name in enumerate(("MAXN", "MODE_15W", "MODE_30W", "MODE_40W"))
    )
    write(root / "etc/nvpmodel.conf", modes)
    set_mode(root, 0)


def set_mode(root: Path, number: int) -> None:
    """Write what nvpmodel writes when it changes the power mode."""
    write(root / "var/lib/nvpmodel/status", f"pmode:{number:04d}")


def _no_device_tree(place: Place) -> None:
    (place.root / "proc/device-tree/model").unlink()


def _no_board_files(place: Place) -> None:
    place.root.rename(place.root.with_name("gone"))
    place.root.mkdir()


def _sensor_of_another_board(place: Place) -> None:
    place.root.rename(place.root.with_name("gone"))
    orin_nx(place.root)
    write(place.root / "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    set_mode(place.root, 0)


def _served_before(place: Place) -> None:
    """Let a service of an earlier release build its engines."""
    options = (
        "--p99-ms",
        "60000",
        "--period-s",
        "0.5",
        "--periods",
        "4",
        "--batches",
        "1",
        "2",
        "4",
    )
    run_service(place, options)
    for path in (place.trigger, place.log, *place.folder.glob("journal*")):
        path.unlink()


#: Room for twenty instances: seven on the CUDA cores, seven on Tensor Cores, three on each DLA.
ROOM = ("--batches", "1", "--max-instances", "7", "--build-all", "--dla-precision", "fp16")


def _filled(place: Place) -> None:
    """Let a service have kept a configuration of twenty instances as the last good one."""
    run_service(
        place,
        ("--p99-ms", "60000", "--period-s", "0.5", "--periods", "2", *ROOM, "--allow-uncalibrated"),
    )
    kept = place.folder / "kept/last_good.json"
    data = json.loads(kept.read_text())
    # The processor, the last accelerator, stays the last resort.
    full = [[7, 1], [7, 1], [3, 1], [3, 1]]
    data["placements"] = [[*full, *row[len(full) :]] for row in data["placements"]]
    kept.write_text(json.dumps(data))
    for path in (place.trigger, place.log, *place.folder.glob("journal*")):
        path.unlink()


def _plans_damaged(place: Place) -> None:
    for path in (place.folder / "cache").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:1000])


def _mode_changes_twice(place: Place) -> None:
    set_mode(place.root, 2)
    set_mode(place.root, 3)


def _client(body: str) -> Callable[[Place], None]:
    """Return what writes a client that serves for two seconds and then dies."""

    def prepare(place: Place) -> None:
        text = f"""
            import os, pathlib, sys, time
            import numpy as np

            class Gone(BaseException):
                pass

            def main(submit):
                first, began_s = not pathlib.Path("died").exists(), time.monotonic()
                pathlib.Path("died").touch()
                while not first or time.monotonic() - began_s < 2.0:
                    submit("small", np.zeros((3, 64, 64), np.float32)).result(60)
                    time.sleep(0.02)
                {body}
        """
        unindented = "\n".join(line[12:] for line in text.splitlines())
        (place.folder / "app.py").write_text(unindented + "\n")

    return prepare


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
            prepare=_client(body),
            code=code,
            says="app:main ended",
            periods=40,
        )
        for how, (body, code) in dies.items()
    ]
    # The process is gone at once; systemd starts it again, and the second client goes on.
    once = _client("os._exit(7)")
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
            prepare=_filled,
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
            prepare=_served_before,
            struck="release",
        ),
        Case("plans on disk are damaged", after=4, act=_plans_damaged),
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
        Case("the sensor is of another board", prepare=_sensor_of_another_board),
        Case(
            "a power limit, and the sensor is gone",
            prepare=_no_board_files,
            options=("--power-w", "30"),
            refused=True,
            says="power",
        ),
        Case("no device tree", prepare=_no_device_tree),
        Case("no files of the board at all", prepare=_no_board_files),
        Case(
            "the power mode changes twice while engines are built",
            {"build_s": 0.5},
            after=1,
            act=_mode_changes_twice,
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
