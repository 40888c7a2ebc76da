"""Make the inputs that several benchmarks share: networks, a policy bundle, problems."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import ROOT
from envs.accuracy.samples import invented
from envs.catalog.architectures import write
from envs.graph.reading import read_network
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import SimulatedWorld
from tuner.console import progress_bar

#: The policy bundle that comes with the project.
REFERENCE_BUNDLE = ROOT / "checkpoints" / "reference.bundle"

#: Where `python -m tuner.networks` writes, too. Git ignores it.
NETWORKS = ROOT / "networks"


def network_file(name: str) -> Path:
    """Return the ONNX file of a published architecture; write it first where it is missing."""
    path = NETWORKS / f"{name}.onnx"
    return path if path.exists() else write(name, NETWORKS)


def network_files(names: list[str]) -> list[Path]:
    """Return an ONNX file for each name: a path of the user's own, or an architecture's name."""
    return [Path(name) if Path(name).suffix else network_file(name) for name in names]


def invented_samples(path: Path, folder: Path) -> dict[str, Any]:
    """Return options of `open_device` for a network without training, whose answers do not matter.

    INT8 is calibrated on invented samples, which are written into `folder`. No agreement is asked
    for, so that INT8 may serve beside FP32, as it does where its answers agree.
    """
    file = folder / f"{path.stem}.npz"
    np.savez(file, **invented(read_network(path), 4).arrays)
    return {"samples": [str(file)], "min_agreement": 0.0}


def add_bundle_option(arguments: argparse.ArgumentParser) -> None:
    """Add `--bundle`, the policy that is measured."""
    arguments.add_argument(
        "--bundle",
        type=Path,
        default=REFERENCE_BUNDLE,
        help="the policy bundle (default: the one that comes with the project)",
    )


def draw_world(
    options: DrawOptions, problems: int, seed: int = 0, title: str = "drawing problems"
) -> SimulatedWorld:
    """Draw problems in the device model on two cores, with a progress bar."""
    with progress_bar(title, problems) as advance:
        return SimulatedWorld(options, problems, seed, 2, lambda new: advance("", new))


def one_core_each() -> None:
    """Let worker processes compute on one core each, unless the environment says otherwise."""
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(library, "1")
