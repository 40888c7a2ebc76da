"""Say which parameters of the device model a recording moved."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray
from envs.simulator.device_model import DeviceModel
from envs.simulator.parameter_table import TABLE
from envs.simulator.parameters import NAMES, drawn
from envs.simulator.positions import positions_of

#: Parameters that a report names, and by how much one has to move for that, in standard deviations
#: of what was believed before.
NAMED, LEAST_MOVE = 10, 0.25


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
    wholes = [each for each in twin.space.device.accelerators if each.mapping is None]
    places = positions_of(wholes, twin.machine)
    at = {place: each.name for place, each in zip(places, wholes, strict=True)}
    spreads: list[float] = []
    for number, (shape, spread) in enumerate(twin.departures):
        for rail, tenant, position, level in np.ndindex(*shape):
            engine = f", batch {twin.space.batches[level]}" if number == 0 else ""
            served = twin.space.workload.names[tenant]
            resource = ("DLA " if rail else "") + "time"
            names.append(f"{resource} of {served} on {at.get(position, 'nothing')}{engine}")
            units.append("of the model's")
            spreads.append(float(spread[position, 0]))
    after = np.concatenate([both[1], np.exp(np.array(spreads) * unknowns[count:])])
    return names, units, np.concatenate([both[0], np.ones(len(spreads))]), after


def _unit(meaning: str) -> str:
    found = re.search(r"\[([^\]]+)\]$", meaning)
    return found[1] if found else ""
