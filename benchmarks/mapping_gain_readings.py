"""Readings of a published gain, on published times of layer groups and on the model's networks.

The formula of Dagli and Belviranli (RSDHA 2021) is not public, and neither is whose energy they
count. Each reading compares mappings with whole networks on one accelerator:

- `product`: of the time and the energy of both, our trade-off benefit (`envs.mappings.gain`);
- `time at a target`: of the time, within 80 % of the energy of the whole network on the GPU. That
  is the problem that AxoNN (DAC 2022), by the same authors, solves, with the target of trtutils'
  implementation of it.

Energies are those of the module, or without what it draws at rest, or those of the accelerators
alone: without what it draws once anything runs. No energy of a group is published: in place of it
each accelerator draws the mean power that the model has for the whole network there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.figures import Figure, figure
from benchmarks.mapping_gain_networks import (
    CLASSIFIERS,
    ENERGY_SHARE,
    PUBLISHED_GAIN,
    Setting,
    costs_of_network,
    saved_at_energy,
    wholes,
)
from benchmarks.published_groups import modelled, published_groups
from envs.arrays import FloatArray
from envs.mappings.costs import GroupCosts
from envs.mappings.gain import gain_of
from envs.mappings.search import MappingCost, pareto_front, single_accelerators
from envs.simulator.rail_energy import busy_watts
from tuner.console import table

#: Costs of a network under mappings, and whole on each accelerator.
Costs = tuple[GroupCosts, tuple[MappingCost, ...]]


def reading_figures(setting: Setting) -> list[Figure]:
    """Print the readings of a gain on one board and return them.

    Args:
        setting: with which the published groups were measured.
    """
    figures, rows = [], []
    for words, watts in _counted(setting):
        singles = [
            (f"{name}, published times of groups", [_above(each, watts)])
            for name, each in _published(setting)
        ]
        models = [
            _above((costs_of_network(name, setting), wholes(name, setting)), watts)
            for name in CLASSIFIERS
        ]
        for subject, costs in [*singles, ("best of the networks, model", models)]:
            found = [100 * _largest(each) for each in (map(_product, costs), map(_saved, costs))]
            rows.append([words, subject, *(f"{each:.1f}" for each in found)])
            label = f"{setting.words}, {subject}, {words}"
            target = f"{100 * ENERGY_SHARE:g} % of the GPU's energy"
            figures.append(figure(f"{label}: less of time x energy, as a mean", found[0], "%"))
            figures.append(figure(f"{label}: less time at {target}", found[1], "%"))
    print(f"{setting.words}: readings of the published gain of up to {PUBLISHED_GAIN} %, in %")
    table(["energy", "of", "product", "time at a target"], rows)
    return figures


def _counted(setting: Setting) -> Iterator[tuple[str, float]]:
    """Yield in words whose energy counts, with the power that does not [W]."""
    machine, parameters = setting.machine, setting.parameters
    rest_w = sum(machine.idle_w) * float(parameters.idle_scale[0])
    yield "energy of the module", 0.0
    yield "energy above rest", rest_w
    steps_w = sum(float(each[0]) for each in busy_watts(machine, parameters))
    yield "energy of the accelerators", rest_w + steps_w


def _published(setting: Setting) -> Iterator[tuple[str, Costs]]:
    for times in published_groups():
        model = modelled(times, setting.parameters)
        watts = np.sum(model.energy_j, axis=0) / np.sum(model.time_s, axis=0)
        time_s = times.time_ms * 1e-3
        costs = replace(model, time_s=time_s, energy_j=time_s * watts)
        yield times.network, (costs, single_accelerators(costs))


def _above(given: Costs, watts: float) -> Costs:
    """Return costs whose energies are without `watts` over their times."""
    costs, singles = given

    def above(energy_j: FloatArray, time_s: FloatArray) -> FloatArray:
        return energy_j - watts * np.where(np.isfinite(time_s), time_s, 0)

    changed = replace(
        costs,
        energy_j=above(costs.energy_j, costs.time_s),
        transition_j=above(costs.transition_j, costs.transition_s),
        start_j=above(costs.start_j, costs.start_s),
        end_j=above(costs.end_j, costs.end_s),
    )
    wholes_above = (replace(each, energy_j=each.energy_j - watts * each.time_s) for each in singles)
    return changed, tuple(wholes_above)


def _product(given: Costs) -> float:
    costs, singles = given
    return gain_of(pareto_front(costs), singles, 0.5).share


def _saved(given: Costs) -> float:
    return saved_at_energy(*given)


def _largest(shares: Iterator[float]) -> float:
    return max((each for each in shares if not math.isnan(each)), default=0.0)
