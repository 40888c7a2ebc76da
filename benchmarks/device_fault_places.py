"""Prepare the folder of a service: board files, earlier lives, damaged files, and clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.device_service import Place, run_service
from tests.envs.telemetry.trees import agx_orin_jetpack6, orin_nx, write


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


def no_device_tree(place: Place) -> None:
    """Take the device tree away."""
    (place.root / "proc/device-tree/model").unlink()


def no_board_files(place: Place) -> None:
    """Take all files of the board away."""
    place.root.rename(place.root.with_name("gone"))
    place.root.mkdir()


def sensor_of_another_board(place: Place) -> None:
    """Let an AGX Orin have the power monitors of an Orin NX."""
    place.root.rename(place.root.with_name("gone"))
    orin_nx(place.root)
    write(place.root / "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    set_mode(place.root, 0)


def served_before(place: Place) -> None:
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


def filled(place: Place) -> None:
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


def plans_damaged(place: Place) -> None:
    """Cut the cached engines short."""
    for path in (place.folder / "cache").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:1000])


def mode_changes_twice(place: Place) -> None:
    """Change the power mode, and change it again at once."""
    set_mode(place.root, 2)
    set_mode(place.root, 3)


def client_that_dies(body: str) -> Callable[[Place], None]:
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
