"""A twin of a recorded device: the device model, conditioned on a recording, and tested on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from envs.arrays import BoolArray, FloatArray
from envs.errors import TraceError
from envs.graph.layer_table import LayerTable
from envs.problems.draw import with_limits
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import Made, SimulatedWorld, draw_together, simulated
from envs.problems.trace_world import trace_model
from envs.simulator.conditioning import Recording, conditioned
from envs.simulator.device_model import WINDOW_S, DeviceModel, noise_spread
from envs.simulator.parameter_table import TABLE
from envs.simulator.parameters import NAMES, drawn
from envs.simulator.tables import position_of
from envs.traces.reader import Trace
from envs.traces.schema import STAND_INS

#: Parts of a recording that are held out in turn; one row each where there are fewer than ENOUGH.
FOLDS, ENOUGH = 5, 10

#: A longer recording is thinned out at random: further rows tell little about the unknowns.
MAX_ROWS = 400

#: Draws of the twin that a prediction is the mean of.
DRAWS = 256

#: Normal quantile of an interval that holds 90 % of what is predicted.
NINETY = 1.645

#: Parameters that a report names, and by how much one has to move for that, in standard deviations
#: of what was believed before.
NAMED, LEAST_MOVE = 10, 0.25

#: Share of the problems that start from the default configuration, as a tuning of a device does.
DEFAULT_START_SHARE = 0.5


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


@dataclass(frozen=True)
class Moved:
    """A parameter of the device model that the recording moved.

    Attributes:
        name, unit: as in `envs.simulator.parameter_table`.
        before, after: its value in the device model, and the mean of what the twin believes.
        sigmas: the move, in standard deviations of what was believed before.
        certainty: share of the variance that the recording removed.
    """

    name: str
    unit: str
    before: float
    after: float
    sigmas: float
    certainty: float


@dataclass(frozen=True)
class Twin:
    """The model of a recorded device, conditioned on the recording.

    Attributes:
        model: the conditioned model over the whole space, recorded or not.
        rows: configurations it was conditioned on.
        recorded: configurations that the recording holds.
        space: configurations of the whole space, from which problems are drawn.
        folds: how many times a part of them was held out.
        held_out: the errors on those parts.
        moved: parameters that moved most, the farthest first.
    """

    model: DeviceModel
    rows: int
    recorded: int
    space: int
    folds: int
    held_out: tuple[HeldOut, ...]
    moved: tuple[Moved, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as data for JSON."""
        facts = asdict(self)
        del facts["model"]
        return facts


def twin_of(
    trace: Trace,
    layers: tuple[LayerTable, ...] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Twin:
    """Condition the model of a trace's device on its rows, and test it on held-out rows.

    Args:
        trace: the recording, however partial.
        layers: [T], of the recorded networks; None where only their totals are known.
        progress: called after each of `fits_of` fits.

    Raises:
        OptionError: there is no model of such a device.
        TraceError: no row can be used.
    """
    model = trace_model(trace, layers)
    recording = recording_of(trace)
    twin = conditioned(model, recording)
    progress()
    latency = STAND_INS.get(trace.latency, "p99")
    held_out, folds = cross_validated(model, recording, latency, progress)
    size = len(trace.space.catalogue) if trace.space.enumerable else trace.space.combinations
    return Twin(twin, len(recording), len(trace.rows), size, folds, held_out, moved(twin))


def fits_of(trace: Trace) -> int:
    """Return how many fits `twin_of` takes."""
    return 1 + _folds(len(recording_of(trace)))


def recording_of(trace: Trace) -> Recording:
    """Return the rows of a trace that worked and were not disturbed.

    Raises:
        TraceError: there are none.
    """
    disturbed = np.array([bool(row["disturbed"]) for row in trace.rows])
    rows = np.flatnonzero(~trace.batch.failed & ~disturbed)
    if not len(rows):
        raise TraceError(
            f"{trace.path.name} holds no undisturbed measurement: there is nothing to condition"
            " the model on"
        )
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAX_ROWS, replace=False))
    windows = np.array([trace.rows[row]["window_s"] for row in rows], dtype=np.float64)
    windows = np.where(windows > 0, windows, WINDOW_S)[:, None]
    throughput = trace.batch.throughput_ips[rows]
    noise = noise_spread(np.nan_to_num(throughput) * windows / WINDOW_S) ** 2
    return Recording(trace.placements[rows], trace.batch.take(rows).logs, noise.T)


def _folds(rows: int) -> int:
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
    rows, folds = len(recording), _folds(len(recording))
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


def moved(twin: DeviceModel) -> tuple[Moved, ...]:
    """Return the parameters that the recording moved most, and the engines that depart most."""
    assert twin.unknowns is not None, "it was conditioned"
    mean, variance = twin.unknowns.mean, twin.unknowns.variance()
    names, units, before, after = _described(twin, mean)
    order = np.argsort(-np.abs(mean))[:NAMED]
    return tuple(
        Moved(
            names[row],
            units[row],
            float(before[row]),
            float(after[row]),
            float(mean[row]),
            float(1 - variance[row]),
        )
        for row in order
        if abs(mean[row]) >= LEAST_MOVE
    )


def _described(
    twin: DeviceModel, unknowns: FloatArray
) -> tuple[list[str], list[str], FloatArray, FloatArray]:
    """Return names, units, and values before and after of the unknowns [D]."""
    count = len(NAMES)
    both = drawn(twin.machine.architecture, np.stack([0 * unknowns, unknowns])[:, :count]).values
    names, units = list(NAMES), [_unit(each.meaning) for each in TABLE]
    at = {position_of(each): each.name for each in twin.space.device.accelerators}
    spreads: list[float] = []
    for number, (shape, spread) in enumerate(twin.departures):
        for rail, tenant, position, level in np.ndindex(*shape):
            engine = f", batch {twin.space.batches[level]}" if number == 0 else ""
            served = twin.space.workload.names[tenant]
            resource = ("DLA " if rail else "") + "time"
            names.append(f"{resource} of {served} on {at.get(position, 'nothing')}{engine}")
            units.append("of the model's")
            spreads.append(spread)
    after = np.concatenate([both[1], np.exp(np.array(spreads) * unknowns[count:])])
    return names, units, np.concatenate([both[0], np.ones(len(spreads))]), after


def _unit(meaning: str) -> str:
    found = re.search(r"\[([^\]]+)\]$", meaning)
    return found[1] if found else ""


def twin_world(
    model: DeviceModel,
    count: int,
    seed: int,
    jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> SimulatedWorld:
    """Return problems over the whole space of a conditioned model, with limits to train on.

    Each has a device of its own, drawn from what the recording leaves open.

    Args:
        model: of a `Twin`.
        count: problems.
        seed: of the draws.
        jobs: processes.
        progress: called with the number of new problems, now and then.
    """
    return SimulatedWorld.of(*draw_together(partial(_drawn, model), count, seed, jobs, progress))


def _drawn(model: DeviceModel, rng: np.random.Generator) -> Made | None:
    tenants = model.space.shape[0]
    options = DrawOptions(tenants=[0.0] * (tenants - 1) + [1.0])
    problem = with_limits("twin", model, model.drawn(rng, 1), options.split, rng)
    start = model.space.default() if rng.random() < DEFAULT_START_SHARE else None
    return simulated(problem, options, rng, start)
