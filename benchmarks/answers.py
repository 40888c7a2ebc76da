"""Are the answers right that are served?

Trains small networks on data with known labels, serves every test sample through the configuration
that tuning chose, without and with samples given, and counts right answers. That may lose one point
at most against FP32. Beside it stand INT8 calibrated on samples, also where its agreement makes it
no choice, and INT8 calibrated on invented inputs, which serves only where the user allows it. The
agreement of a simulated AGX Orin's Tensor Cores (FP16) and DLAs (INT8) is that of emulated copies.

python -m benchmarks.answers
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.answers_networks import MAKERS, Trained, trained
from benchmarks.figures import Figure, figure, parser, report
from envs.arrays import NamedArrays
from envs.spec import Agreement, Configuration
from tuner.api import optimize
from tuner.console import progress_bar, table
from tuner.device import Device, open_device

#: Points of accuracy that what is served by default may lose.
GOAL = "<= 1"

#: What tuning takes here: the answers count, not the speed.
TUNING: dict[str, Any] = {"measurements": 3, "window_s": 0.2, "p99_ms": 1000.0}

#: The space that is tuned.
SPACE: dict[str, Any] = {"max_instances": 2, "batches": [1, 4]}

BOARD, BOARD_ACCELERATORS = "agx_orin_64", ("tensor", "dla0")

#: Requests that wait at once.
TOGETHER = 256


@dataclass
class Served:
    """Record what one configuration answered.

    Attributes:
        accuracy: share of right answers.
        configuration: in words.
        agreements: of the device's accelerators with FP32, by name.
    """

    accuracy: float
    configuration: str
    agreements: dict[str, Agreement]


@dataclass
class Found:
    """Record what was found for a network.

    Attributes:
        fp32: share of right answers of the file itself.
        default: what tuning chose without samples.
        sampled: what tuning chose with samples.
        int8: calibrated on samples, also where its agreement makes it no choice.
        uncalibrated: INT8 with ranges of invented inputs.
        board: agreement of a simulated board's accelerators, by name.
    """

    trained: Trained
    fp32: float
    default: Served
    sampled: Served
    int8: Served
    uncalibrated: Served
    board: dict[str, Agreement]

    @property
    def agreements(self) -> dict[str, Agreement]:
        """Return the agreement of this computer's INT8 and of the board's accelerators."""
        emulated = {f"{BOARD} {name} (emulated)": each for name, each in self.board.items()}
        return self.int8.agreements | emulated


def plain_accuracy(network: Trained) -> float:
    """Return the share of right answers of ONNX Runtime alone, without this project."""
    session = onnxruntime.InferenceSession(str(network.path), providers=["CPUExecutionProvider"])
    inputs, labels = network.test
    outputs = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    return float(network.right(outputs, labels).mean())


def served(device: Device, configuration: Configuration, network: Trained) -> Served:
    """Apply a configuration, submit every test sample, and count the right answers."""
    device.runtime.apply(configuration)
    inputs, labels = network.test
    output = device.space.workload.tenants[0].network.outputs[0].name
    answers = [each[output] for each in _answers(device, inputs)]
    accuracy = float(network.right(np.stack(answers), labels).mean())
    described = device.space.describe(configuration).partition(": ")[2]
    return Served(accuracy, described, agreements_of(device))


def agreements_of(device: Device) -> dict[str, Agreement]:
    """Return the agreements of a device with one network, by accelerator."""
    names = device.space.device.accelerator_names
    return {names[column]: each for (_, column), each in device.agreements.items()}


def _answers(device: Device, inputs: Iterable[Any]) -> Iterator[NamedArrays]:
    waiting: list[Future[NamedArrays]] = []
    for each in inputs:
        waiting.append(device.runtime.submit(0, each))
        if len(waiting) == TOGETHER:
            yield from (future.result() for future in waiting)
            waiting = []
    yield from (future.result() for future in waiting)


def tuned(network: Trained, folder: Path, **options: Any) -> Served:
    """Return what the configuration answers that tuning chose."""
    with open_device(network.path, cache=str(folder / "cache"), **SPACE, **options) as device:
        answer = optimize(device, **TUNING)
        return served(device, answer.configuration, network)


def in_int8(network: Trained, folder: Path, **options: Any) -> Served:
    """Return what one instance of `cpu_int8` answers, whatever its agreement."""
    with open_device(
        network.path,
        cache=str(folder / "cache"),
        accelerators=["cpu_int8"],
        min_agreement=0.0,
        **SPACE,
        **options,
    ) as device:
        return served(device, device.configuration({"cpu_int8": (1, 4)}), network)


def on_board(network: Trained, folder: Path, samples: Path) -> dict[str, Agreement]:
    """Return the agreement of emulated accelerators of a simulated board."""
    with open_device(
        network.path,
        runtime="simulated",
        board=BOARD,
        cache=str(folder / "cache"),
        accelerators=list(BOARD_ACCELERATORS),
        min_agreement=0.0,
        samples=[str(samples)],
    ) as device:
        return agreements_of(device)


def found_of(network: Trained, folder: Path) -> Found:
    """Serve a network in every way that is compared."""
    samples = folder / f"{network.path.stem}.npz"
    np.savez(samples, x=network.samples)
    given = {"samples": [str(samples)]}
    return Found(
        network,
        plain_accuracy(network),
        tuned(network, folder),
        tuned(network, folder, **given),
        in_int8(network, folder, **given),
        in_int8(network, folder, allow_uncalibrated=True),
        on_board(network, folder, samples),
    )


def figures_of(found: Found) -> Iterator[Figure]:
    """Yield the figures of a network."""
    name, tests = found.trained.name, len(found.trained.test[1])
    yield figure(f"{name}: right answers of FP32, {tests} test samples", 100 * found.fp32, "%")
    for what, each, goal in (
        ("what is served by default", found.default, GOAL),
        ("what is served by default, given samples", found.sampled, GOAL),
        ("INT8 calibrated on samples", found.int8, ""),
        ("INT8 by --allow-uncalibrated", found.uncalibrated, ""),
    ):
        yield figure(f"{name}: lost by {what}", lost(found, each), "points", goal)
    for accelerator, agreement in found.agreements.items():
        yield figure(
            f"{name}: agreement of {accelerator}, {agreement.samples} samples",
            100 * agreement.value,
            "%",
        )


def lost(found: Found, served: Served) -> float:
    """Return the points of accuracy that are lost against FP32."""
    return 100 * (found.fp32 - served.accuracy)


def show(every: list[Found]) -> None:
    """Print a table of accuracies, and for each network what was served and how far it agrees."""
    print("Right answers [%]:")
    table(
        ["network", "FP32", "default", "given samples", "INT8, samples", "INT8, uncalibrated"],
        [
            [
                each.trained.name,
                f"{100 * each.fp32:.1f}",
                *(
                    f"{100 * served.accuracy:.1f}"
                    for served in (each.default, each.sampled, each.int8, each.uncalibrated)
                ),
            ]
            for each in every
        ],
    )
    for found in every:
        print(
            f"{found.trained.name} ({found.trained.convention}): {found.default.configuration} by"
            f" default, {found.sampled.configuration} with samples"
        )
        for accelerator, agreement in found.agreements.items():
            print(f"  {accelerator}: {agreement.describe()}")


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", nargs="+", default=list(MAKERS), choices=list(MAKERS))
    given = arguments.parse_args()
    # The exporter warns about packages that are not needed, the tuner of what is measured here.
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    every: list[Found] = []
    with (
        tempfile.TemporaryDirectory() as name,
        progress_bar("networks", len(given.networks)) as advance,
    ):
        for each in given.networks:
            every.append(found_of(trained(each, Path(name)), Path(name)))
            advance(each)
    show(every)
    figures = [each for found in every for each in figures_of(found)]
    most = max(lost(each, by) for each in every for by in (each.default, each.sampled))
    most_lost = figure("all: most lost by what is served by default", most, "points", GOAL)
    return report([most_lost, *figures], given.json)


if __name__ == "__main__":
    sys.exit(main())
