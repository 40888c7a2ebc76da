"""A twin of a recorded device: the device model, conditioned on a recording, and tested on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from envs.errors import TraceError
from envs.graph.layer_table import LayerTable
from envs.problems.draw import with_limits
from envs.problems.draw_options import DrawOptions
from envs.problems.held_out import HeldOut, cross_validated, folds_of
from envs.problems.moved import Moved, moved
from envs.problems.simulated_world import Made, SimulatedWorld, draw_together, simulated
from envs.problems.trace_world import trace_model
from envs.simulator.conditioning import Recording, conditioned
from envs.simulator.device_model import DeviceModel
from envs.simulator.window_noise import WINDOW_S, noise_spread
from envs.traces.reader import Trace
from envs.traces.schema import STAND_INS

#: A longer recording is thinned out at random: further rows tell little about the unknowns.
MAX_ROWS = 400

#: Share of the problems that start from the default configuration, as a tuning of a device does.
DEFAULT_START_SHARE = 0.5


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
        facts = {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        lists = {name: [asdict(each) for each in facts[name]] for name in ("held_out", "moved")}
        return facts | lists


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
    return 1 + folds_of(len(recording_of(trace)))


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
    throughput = np.nan_to_num(trace.batch.throughput_ips[rows])
    plain = trace.space.device.plain
    noise = noise_spread(throughput, windows, trace.batch.p99_ms[rows] if plain else None) ** 2
    return Recording(trace.placements[rows], trace.batch.take(rows).logs, noise.T)


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
