"""Test the twin of a device on rows of its recording that were held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray
from envs.simulator.conditioning import Recording, conditioned
from envs.simulator.device_model import DeviceModel

#: Parts of a recording that are held out in turn; one row each where there are fewer than ENOUGH.
FOLDS, ENOUGH = 5, 10

#: Draws of the twin that a prediction is the mean of.
DRAWS = 256

#: Normal quantile of an interval that holds 90 % of what is predicted.
NINETY = 1.645


@dataclass(frozen=True)
class HeldOut:
    """Errors of one quantity on rows of the recording that were held out.

    Attributes:
        quantity: its name.
        rows: how many.
        median, worst: relative error of the twin.
        covered: share of the rows within the twin's interval of 90 %.
        median_before: relative error of the device model without the recording.
    """

    quantity: str
    rows: int
    median: float
    worst: float
    covered: float
    median_before: float


def folds_of(rows: int) -> int:
    """Return how many parts are held out in turn; a single row cannot be."""
    return 0 if rows < 2 else FOLDS if rows >= ENOUGH else rows


def cross_validated(
    model: DeviceModel,
    recording: Recording,
    latency: str = "p99",
    progress: Callable[[], object] = lambda: None,
) -> tuple[tuple[HeldOut, ...], int]:
    """Hold out parts of a recording in turn, and predict them from the rest.

    Args:
        model: before the recording.
        recording: of its device.
        latency: name of the quantity that stands where the 99th percentile does.
        progress: called after each fit.

    Returns:
        The errors of each quantity that was read, and the number of parts.
    """
    rows, folds = len(recording), folds_of(len(recording))
    part = np.random.default_rng(0).permutation(rows) % max(folds, 1)
    errors, inside = np.full(recording.logs.shape, np.nan), np.zeros(recording.logs.shape, bool)
    for fold in range(folds):
        held = part == fold
        mean, spread = predicted(conditioned(model, recording.take(~held)), recording.take(held))
        errors[:, held] = recording.logs[:, held] - mean
        inside[:, held] = np.abs(errors[:, held]) <= NINETY * spread
        progress()
    before = recording.logs - model.logarithms(model.nominal(), recording.placements)[0]
    return errors_of(quantities(model, latency), errors, inside, before), folds


def predicted(twin: DeviceModel, recording: Recording) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation [Q, N] of windows of the configurations recorded."""
    contexts = twin.drawn(np.random.default_rng(0), DRAWS)
    logs = twin.logarithms(contexts, recording.placements)
    _, own = twin.own_departures(recording.placements)
    return logs.mean(axis=0), np.sqrt(logs.var(axis=0) + own + recording.noise)


def errors_of(
    names: list[str], errors: FloatArray, inside: BoolArray, before: FloatArray
) -> tuple[HeldOut, ...]:
    """Return a summary of each quantity that was read.

    Args:
        names: [Q] of the quantities.
        errors: [Q, N] of logarithms, NaN for what was not read.
        inside: [Q, N], True within the interval.
        before: [Q, N] errors without the recording.
    """
    found = []
    for name, error, within, other in zip(names, errors, inside, before, strict=True):
        read = np.isfinite(error)
        if read.any():
            relative = np.expm1(np.abs(error[read]))
            was = float(np.median(np.expm1(np.abs(other[read]))))
            covered = float(within[read].mean())
            worst, median = float(relative.max()), float(np.median(relative))
            found.append(HeldOut(name, int(read.sum()), median, worst, covered, was))
    return tuple(found)


def quantities(model: DeviceModel, latency: str = "p99") -> list[str]:
    """Return the names of the quantities [Q]."""
    names = model.space.workload.names
    of = [""] if len(names) == 1 else [f" of {name}" for name in names]
    return [*(f"throughput{each}" for each in of), *(f"{latency}{each}" for each in of), "power"]
