"""Scenarios that make the real code say what docs/on-device.md quotes.

A scenario gets a `Here` and leaves in it everything that was printed, logged, or written into a
journal. `...` in a message stands for anything on the same line.
"""

from __future__ import annotations

import errno
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults import FAULTS, NO_POLICY, one
from envs.errors import TunerError
from envs.simulator.machine import device_of
from envs.spec import Configuration, Failure, FailureKind, Place
from envs.telemetry.ina3221 import Ina3221Sensor
from tests.commands import CommandResult, call
from tests.envs.telemetry.rights import closed_to_others
from tests.envs.telemetry.trees import agx_orin_jetpack6, monitor
from tests.standins.tensorrt import StandIns, stand_ins
from tests.standins.tensorrt.engines import _Inspector
from tests.standins.tensorrt.faults import Faults
from tests.tuner.control.monitors.windows import SERVING, WINDOW
from tests.worlds import space
from tuner.control.lock import DeviceLock
from tuner.control.monitors.drift import DriftMonitor
from tuner.control.monitors.heat import HeatMonitor, PowerModeMonitor
from tuner.control.offer import Offer
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

#: One small network, and one instance of batch 1 an accelerator.
ON_GPU = ("--runtime", "tensorrt", "--network", "my.onnx", "--p99-ms", "60000")
SMALL = ("--max-instances", "1", "--batches", "1")
PLACES = ("--folder", "kept", "--lock", "lock")
DRY = (*ON_GPU, *SMALL, *PLACES, "--dry-run")


@dataclass
class Here:
    """A folder with a network `my.onnx`, and what was said in it.

    Attributes:
        folder: the current one.
        patch: changes that end with the test.
        said: lines that were printed, logged, or are events.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)

    def run(self, verb: str, *arguments: object) -> CommandResult:
        """Run a command, and keep what it says."""
        result = call(verb, *arguments)
        self.keep(result.stderr)
        self.keep(result.stdout)
        return result

    def keep(self, text: str) -> None:
        """Keep lines; of a line of the journal keep what it says to people."""
        for line in text.splitlines():
            self.said.append(line)
            if line.startswith("{"):
                period = json.loads(line)
                self.said += [f"{each['kind']}: {each['text']}" for each in period["events"]]
                self.said.append(f"{period.get('failure')}: {period.get('reason')}")

    def raised(self, task: Callable[[], Any]) -> None:
        """Keep the error of a task."""
        with pytest.raises(TunerError) as caught:
            task()
        self.said.append(str(caught.value))


def says(here: Here, message: str) -> bool:
    """Return True if a line that was said has this message in it."""
    pattern = re.escape(message).replace(r"\.\.\.", ".*")
    return any(re.search(pattern, line) for line in here.said)


def serve(here: Here, *more: object, periods: int = 6, change: Any = None, **made: Any) -> StandIns:
    """Serve on stand-ins for some periods; `change` gets the stand-ins before that."""
    with stand_ins(**made) as modules:
        if change:
            change(modules)
        given = (*ON_GPU, *SMALL, *PLACES, "--period-s", 0.5, "--periods", periods, *more)
        here.run("deploy", *given)
    return modules


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


def refused_builds(here: Here) -> None:
    """The builder takes no network for a DLA."""
    serve(here, "--allow-uncalibrated", faults=Faults(build="fail", build_on=("dla",)))


def long_builds(here: Here) -> None:
    """A build for a DLA does not end."""
    given = ("--allow-uncalibrated", "--build-limit-s", 1)
    serve(here, *given, faults=Faults(build="hang", build_on=("dla",)))


def refusing_dlas(here: Here) -> None:
    """Engines for the DLAs are built, and run no batch."""
    serve(here, "--allow-uncalibrated", faults=Faults(submit=("dla",)))


def nothing_runs(here: Here) -> None:
    """Neither the GPU nor a DLA runs a batch."""
    serve(here, "--allow-uncalibrated", periods=2, faults=Faults(submit=("gpu", "dla")))


def dropped(here: Here) -> None:
    """A DLA fails again and again while it serves."""
    board = replace(space(), device=device_of("agx_orin_64", "MAXN"))
    offer = Offer(board, DEFAULT_THRESHOLDS, None, {})
    [name] = board.workload.names
    column = board.device.accelerator_names.index("dla0")
    placements = np.zeros((*board.shape, 2), dtype=np.int16)
    placements[0, column] = (1, 1)
    failed = Failure(
        FailureKind.INSTANCE_LOST, f"{name} on dla0 at batch 1: ...", place=Place(0, column, 1)
    )
    for _ in range(DEFAULT_THRESHOLDS.drop_after_failures):
        events = offer.record(Configuration.of(placements), failed)
    events.append(offer.restore())
    here.said += [event.text.replace(name, "my") for event in events]


def hot(here: Here) -> None:
    heat = HeatMonitor(DEFAULT_THRESHOLDS)
    for temperature_c in (50.0, 66.0):
        event = heat.update(replace(WINDOW, temperature_c=temperature_c))
    assert event is not None
    here.said.append(event.text)


def other_mode(here: Here) -> None:
    modes = iter(["30W", "50W"])
    event = PowerModeMonitor(lambda: next(modes)).update()
    assert event is not None
    here.said.append(event.text)


def drifted(here: Here) -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    for _ in range(9):
        event = drift.update(SERVING, WINDOW, kept=False, was_good=True, surprising=True)
    assert event is not None
    here.said.append(event.text)


def fault(name: str) -> Callable[[Here], None]:
    """Return the scenario of a fault in the model of a board."""
    found = next(each for each in (*FAULTS, NO_POLICY) if each.name == name)

    def scenario(here: Here) -> None:
        one("simulated", found, here.folder, 1.0)
        here.keep((here.folder / "journal.jsonl").read_text())

    scenario.__name__ = name
    return scenario


def fallen_back(here: Here) -> None:
    """Two blocks run on a DLA, and a softmax between them on the GPU."""

    def information(inspector: Any, form: Any) -> str:
        told = json.loads(real(inspector, form))
        if inspector._engine._header["dla"]:
            softmax = {"Name": "Softmax_9", "LayerType": "CaskSoftMaxV2"}
            told["Layers"] += [softmax, "{ForeignNode[Conv_10...Conv_20]}"]
        return json.dumps(told)

    real = _Inspector.get_engine_information
    here.patch.setattr(_Inspector, "get_engine_information", information)
    serve(here, "--allow-uncalibrated")


#: What the page quotes, by the scenario in which the code says it.
SCENARIOS: dict[Callable[[Here], None], tuple[str, ...]] = {
    no_dla: ("without DLAs: the builder of this TensorRT counts none",),
    plain_dry_run: (
        "without dla0, dla1 for my: INT8 needs samples to calibrate on: give --samples FILE, or"
        " --allow-uncalibrated if the answers do not matter",
        "guessed the board and its power mode, which nothing names here: ...",
    ),
    no_pycuda: ("pycuda.driver is not installed: ...",),
    no_compiler_of_the_dla: (
        "TensorRT is installed but cannot be loaded (libnvdla_compiler.so: ...): ...",
    ),
    no_gpu: (
        "no GPU can be used (...): look at `nvidia-smi`, or on a Jetson at the group `video`",
    ),
    closed_sensor: ("ina3221: ... may not be read by this user: ...",),
    doubled_rails: ("ina3221: the monitors ... have rails of the same name (VIN_SYS_5V0)",),
    mode_of_ones_own: ("no power mode '20W'",),
    no_sensor: ("no power is measured here (a sensor is missing or unreadable)",),
    two_controllers: (
        "another controller (process ...) runs on this device: stop it first, or wait for it (...)",
    ),
    damaged_plans: ("...plan.damaged",),
    full_disk: ("cannot keep an engine in ... (No space left on device): give a folder with room",),
    refused_builds: ("no int8 engine of my for dla0 at batch 1: ...",),
    long_builds: ("the build took ... s (...), more than build_limit_s=...: ...",),
    refusing_dlas: ("my on dla0 at batch 1: it cannot run one batch: ...",),
    nothing_runs: ("my cannot be served here: ...: the processor's cores serve instead",),
    dropped: (
        "my on dla0: no choice after ... failures, the last one ...",
        "after a long while my on dla0 may serve again",
    ),
    fallen_back: ("my on dla0, batch 1: 2 blocks on the DLA and 1 layers on the GPU: Softmax_9",),
    hot: ("temperature changed from 50 to 66 C",),
    other_mode: ("power mode changed from 30W to 50W",),
    drifted: ("what kept the limits before does so no more: measuring anew",),
    fault("an instance dies"): ("instance_lost: ...",),
    fault("the sensor is gone"): (
        "the power sensor (...) gives nothing...: serving the safe default until it does",
    ),
    fault("a file of limits that cannot be read"): (
        "... cannot be read as JSON (...): the limits stay as they are",
    ),
    fault("the bundle is cut short"): ("serving without a policy: ...",),
}
