"""Profiles of a kind of nodes that the learned policy measured a few times.

The policy (or any other tuner) is asked what is best on each kind of accelerator alone, then on all
of them together, and measures a few windows for each answer. The device model is moved to agree
with these windows, and says what was not measured: other batch sizes, and what accelerators lose
beside each other. What the model cannot follow is carried to the other batch sizes of the same kind
of accelerator. Times that stay uncertain are planned with more of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cluster.profiles.points import Point
from envs.arrays import FloatArray
from envs.belief.renewal import conditioned_draws
from envs.errors import OptionError
from envs.problems.problem import Problem, problem_of
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Kind,
    Measurement,
    MeasurementBatch,
    Objective,
    Origin,
    Outcome,
)
from envs.spec.memory import memory_mib
from tuner.search.protocol import Tuner
from tuner.tuning import FEWEST, tune

#: Windows of a network on a kind of nodes, where nothing else is said.
MEASUREMENTS = 8

#: Makes the tuner of a problem, and measures a configuration.
Make = Callable[[Problem], Tuner]
Measure = Callable[[Configuration], Outcome]

Tried = Sequence[tuple[Configuration, Outcome]]


def measured_by(
    make: Make,
    model: DeviceModel,
    objective: Objective,
    measure: Measure,
    measurements: int = MEASUREMENTS,
) -> Tried:
    """Return what a tuner measured of one network, each configuration once.

    Args:
        make: the tuner of a problem, such as the learned policy.
        model: of a node and the network.
        objective: what is best, within which limits.
        measure: a window of a configuration on the node.
        measurements: at most so many in all, shared by the questions; each question gets
            `tuner.tuning.FEWEST` at least.
    """
    seen: dict[Configuration, Outcome] = {}

    def window(configuration: Configuration) -> Outcome:
        if configuration not in seen:
            seen[configuration] = measure(configuration)
        return seen[configuration]

    spaces = [*_by_kind(model.space), model.space]
    for number, space in enumerate(spaces):
        left = (measurements - len(seen)) // (len(spaces) - number)
        problem = problem_of(replace(model, space=space), objective)
        tune(make(problem), problem, window, max(left, FEWEST), pairs=0)
    return tuple(seen.items())


def _by_kind(space: ConfigurationSpace) -> list[ConfigurationSpace]:
    """Return a space for each kind of accelerator that the network may use, one of each.

    Two cores of a DLA run the same engines. A device with one kind alone has no further spaces.
    """
    first: dict[Kind, int] = {}
    for column, each in enumerate(space.device.accelerators):
        if (0, column) not in space.unavailable:
            first.setdefault(each.kind, column)
    columns = range(len(space.device.accelerators))
    if len(first) < 2:
        return []
    return [
        replace(space, unavailable=frozenset((0, other) for other in columns if other != column))
        for column in first.values()
    ]


class Windows(NamedTuple):
    """Hold the means of what was measured: N configurations.

    Attributes:
        configurations: the configurations.
        logs: [Q, N] logarithms.
        noise: [Q, N] variances that windows of the device scatter by.
        origin: of the windows.
    """

    configurations: tuple[Configuration, ...]
    logs: FloatArray
    noise: FloatArray
    origin: Origin

    @classmethod
    def of(cls, model: DeviceModel, tried: Tried) -> Windows:
        """Return the means over the windows of each configuration; failures are left out.

        Raises:
            OptionError: nothing but failures.
        """
        found: dict[Configuration, list[Outcome]] = {}
        origin = Origin.SIMULATED
        for configuration, outcome in tried:
            if isinstance(outcome, Measurement):
                found.setdefault(configuration, []).append(outcome)
                origin = outcome.origin
        if not found:
            raise OptionError(
                f"{' and '.join(model.space.workload.names)} on {model.space.device.name}:"
                " no window could be measured, so that nothing is known of it"
            )
        batches = [MeasurementBatch.of(own, model.space.shape[0]) for own in found.values()]
        noise = [
            model.noise_spread(each.throughput_ips.mean(axis=0), each.p99_ms.mean(axis=0)) ** 2
            / len(each)
            for each in batches
        ]
        logs = np.stack([each.logs.mean(axis=1) for each in batches], axis=1)
        return cls(tuple(found), logs, np.stack(noise, axis=1), origin)


def contexts_after(model: DeviceModel, tried: Tried, seed: int = 0) -> Contexts:
    """Return draws of the device model that agree with what was measured.

    Args:
        model: of the device and its network.
        tried: configurations and outcomes.
        seed: of the draws.

    Raises:
        OptionError: nothing was measured but failures.
    """
    windows, rng = Windows.of(model, tried), np.random.default_rng(seed)
    return conditioned_draws(
        model, rng, windows.configurations, windows.logs, windows.noise
    )  # fmt: skip


def engine_points(
    model: DeviceModel, contexts: Contexts, sigmas: float = 0.0, tried: Tried = ()
) -> tuple[Point, ...]:
    """Return a point for every configuration with one instance on one accelerator.

    A point that was measured has its windows' numbers and their origin. The others are the model's.

    Args:
        model: of the device and one network.
        contexts: draws of what may be true of the device.
        sigmas: so many standard deviations of the draws are added to times that were not measured.
        tried: what was measured.

    Raises:
        OptionError: the model has several networks.
    """
    space = model.space
    if space.shape[0] != 1:
        raise OptionError(f"a profile is of one network, not of {', '.join(space.workload.names)}")
    slots = [
        (column, batch)
        for column in range(space.shape[1])
        if (0, column) not in space.unavailable
        for batch in space.batches_of(0, column)
    ]
    placements = np.zeros((len(slots), *space.shape, 2), dtype=np.int16)
    for row, (column, batch) in enumerate(slots):
        placements[row, 0, column] = (1, batch)
    draws = model.logarithms(contexts, placements)
    mean, spread = draws.mean(axis=0), draws.std(axis=0)
    late = mean + np.array([[-sigmas], [sigmas], [0.0]]) * spread
    origins = [Origin.SIMULATED] * len(slots)
    if tried:
        late = late + _missed(space, slots, placements, mean, Windows.of(model, tried))
        for row, log, origin in _measured(placements, Windows.of(model, tried)):
            late[:, row], origins[row] = log, origin
    rate, p99, power = np.exp(late)
    memory = memory_mib(space, placements)
    accelerators = space.device.accelerators
    return tuple(
        Point(
            space.workload.names[0], f"{accelerators[column].name} 1x{batch}",
            (accelerators[column].resource,), 1, batch, float(rate[row]), float(p99[row]),
            float(power[row]) if model.has_power else math.nan, float(memory[row]), math.nan,
            origins[row],
        )
        for row, (column, batch) in enumerate(slots)
    )  # fmt: skip


def _measured(
    placements: np.ndarray, windows: Windows
) -> list[tuple[int, FloatArray, Origin]]:  # fmt: skip
    """Return the rows of configurations [N, 1, A, 2] that were measured, with their logarithms."""
    row_of = {Configuration.of(each): row for row, each in enumerate(placements)}
    return [
        (row_of[configuration], windows.logs[:, at], windows.origin)
        for at, configuration in enumerate(windows.configurations)
        if configuration in row_of
    ]


def _missed(
    space: ConfigurationSpace,
    slots: Sequence[tuple[int, int]],
    placements: np.ndarray,
    mean: FloatArray,
    windows: Windows,
) -> FloatArray:
    """Return [Q, N] by how much measured rows are off on average, by kind of accelerator.

    Power, which was perhaps not read, is left as the model has it.
    """
    off: dict[Kind, list[FloatArray]] = {}
    kinds = [space.device.accelerators[column].kind for column, _ in slots]
    for row, log, _ in _measured(placements, windows):
        off.setdefault(kinds[row], []).append(log - mean[:, row])
    found = np.zeros_like(mean)
    for row, kind in enumerate(kinds):
        if kind in off:
            found[:2, row] = np.mean(off[kind], axis=0)[:2]
    return found
