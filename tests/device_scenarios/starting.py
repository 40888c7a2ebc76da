"""What is said before anything serves: checks, builds, and the files of a board."""

from __future__ import annotations

import errno
import sys
from typing import Any

from envs.telemetry.ina3221 import Ina3221Sensor
from tests.device_scenarios.here import DRY, Here
from tests.envs.telemetry.rights import closed_to_others
from tests.envs.telemetry.trees import agx_orin_jetpack6, monitor
from tests.standins.tensorrt import stand_ins
from tuner.control.lock import DeviceLock


def no_dla(here: Here) -> None:
    with stand_ins("10.16.1", 0):
        here.run("deploy", *DRY)


def plain_dry_run(here: Here) -> None:
    with stand_ins():
        here.run("deploy", *DRY)


def no_pycuda(here: Here) -> None:
    with stand_ins():
        sys.modules["pycuda.driver"] = None  # type: ignore[assignment]  # stand_ins takes it away
        here.run("deploy", *DRY)


def no_compiler_of_the_dla(here: Here) -> None:
    """TensorRT's module is there, and one of its libraries is not."""
    package = here.folder / "site" / "tensorrt"
    package.mkdir(parents=True)
    text = "libnvdla_compiler.so: cannot open shared object file: No such file or directory"
    (package / "__init__.py").write_text(f"raise ImportError({text!r})\n")
    here.patch.syspath_prepend(package.parent)
    with stand_ins():
        del sys.modules["tensorrt"]
        here.run("deploy", *DRY)
        sys.modules["tensorrt"] = None  # type: ignore[assignment]  # stand_ins takes it away


def no_gpu(here: Here) -> None:
    with stand_ins() as modules:

        def refuse() -> None:
            raise RuntimeError("cuInit failed: no CUDA-capable device is detected")

        here.patch.setattr(modules.driver, "init", refuse)
        here.run("deploy", *DRY)


def closed_sensor(here: Here) -> None:
    agx_orin_jetpack6(here.folder / "board")
    with closed_to_others(here.folder / "board" / "sys"):
        here.raised(lambda: Ina3221Sensor(here.folder / "board"))


def doubled_rails(here: Here) -> None:
    agx_orin_jetpack6(here.folder)
    monitor(here.folder, "7-0040", "hwmon9", {1: ("VIN_SYS_5V0", 5000, 2000)}, 5000)
    Ina3221Sensor(here.folder)


def mode_of_ones_own(here: Here) -> None:
    here.patch.setattr("envs.runtimes.tensorrt.device.read_power_mode", lambda root: "20W")
    with stand_ins():
        here.run("deploy", *DRY, "--board", "agx_orin_64")


def no_sensor(here: Here) -> None:
    with stand_ins():
        here.run("deploy", *DRY, "--power-w", 30, "--sensor", "none")


def two_controllers(here: Here) -> None:
    with stand_ins(), DeviceLock(here.folder / "lock"):
        here.run("deploy", *DRY)


def damaged_plans(here: Here) -> None:
    cache = here.folder / "cache" / "orin-tuner" / "tensorrt"
    with stand_ins():
        here.run("deploy", *DRY)
        for plan in cache.glob("*.plan"):
            plan.write_bytes(plan.read_bytes()[:-1] + b"?")
        here.run("deploy", *DRY)
    here.said += [path.name for path in cache.iterdir()]


def full_disk(here: Here) -> None:
    def full(*given: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    here.patch.setattr("envs.runtimes.tensorrt.cache.os.replace", full)
    with stand_ins():
        here.run("deploy", *DRY)
