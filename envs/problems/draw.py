"""Draw problems: devices, networks, spaces, limits, and the true values of uncertain parameters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_network
from envs.errors import ConfigurationError
from envs.graph.layer_table import LayerTable
from envs.problems.draw_devices import draw_board, draw_plain
from envs.problems.draw_options import DrawOptions
from envs.problems.limits import draw_objectives, uniforms_per_draw
from envs.problems.misfits import Misfit, draw_misfit
from envs.problems.sampling import limit_range, sample_placements
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import (
    ConfigurationSpace,
    Goal,
    Network,
    Objective,
    Workload,
    keeping_up,
    log_score,
    workload_of,
    worst_margin,
)

#: Batch sizes of a board and of a plain computer.
BATCHES = (1, 2, 4, 8, 16, 32, 64)
PLAIN_BATCHES = (1, 2, 4, 8)

#: Share of the problems of other goals than throughput, and without arrivals, that have a least
#: rate.
RATE_SHARE = 0.75


@dataclass(frozen=True)
class DrawnProblem:
    """A device with its networks and limits, and the truth, which no tuner may look at.

    Attributes:
        name: board, power mode and networks in words.
        model: the model of the device and its networks.
        objective: the limits.
        truth: one context.
        misfit: how the truth departs from the model.
        normals: [1, D], the unknowns of the truth, and the factor on their spreads; None where the
            truth was not drawn with the problem.
    """

    name: str
    model: DeviceModel
    objective: Objective
    truth: Contexts = field(repr=False)
    misfit: Misfit = field(default_factory=Misfit)
    normals: tuple[FloatArray, float] | None = field(default=None, repr=False)

    def with_mappings(self, chosen: Sequence[Collection[str]]) -> DrawnProblem:
        """Return the same device and limits with mappings [T] of the networks as further places.

        Args:
            chosen: see `ConfigurationSpace.with_mappings`; the networks are reference networks.
        """
        assert self.normals is not None, "the truth was drawn with the problem"
        model = replace(self.model, space=self.model.space.with_mappings(chosen))
        truth = self.misfit.apply(model.contexts_from(*self.normals))
        return replace(self, model=model, truth=truth)


def draw_problem(options: DrawOptions, rng: np.random.Generator) -> DrawnProblem:
    """Draw a problem; networks that do not fit into the memory of a board are drawn again."""
    while True:
        try:
            return _drawn(options, rng)
        except ConfigurationError:
            continue


def _drawn(options: DrawOptions, rng: np.random.Generator) -> DrawnProblem:
    tenants = options.draw_tenants(rng)
    plain = rng.random() < options.plain
    tables = [_network(options, rng, plain) for _ in range(tenants)]
    machine, device, name = draw_plain(rng) if plain else draw_board(options, rng)
    batches: tuple[int, ...] = PLAIN_BATCHES if plain else BATCHES
    most = 4
    if rng.random() < options.small_spaces:
        keep = np.sort(
            rng.choice(len(batches), int(rng.integers(2, len(batches) + 1)), replace=False)
        )
        batches = tuple(batches[i] for i in keep)
        most = int(rng.integers(2, 5))
    total = None
    if tenants > 1 and plain:
        batches, most, total = batches[: 1 + 2 * (len(batches) > 2) : 2], 2, 2 * tenants
    workload = _workload(tables, rng)
    space = ConfigurationSpace(device, workload, most, batches, total)
    model = DeviceModel(machine, space, tuple(tables))
    misfit = draw_misfit(options, model, rng)
    normals = model.normals(rng, 1), options.width * misfit.width
    truth = misfit.apply(model.contexts_from(*normals))
    if rng.random() < options.open_loop:
        model, truth = _arriving(model, truth, rng)
    drawn = replace(
        with_limits(name, model, truth, options.split, rng), misfit=misfit, normals=normals
    )
    return _with_goal(drawn, options.draw_goal(rng), rng)


def with_limits(
    name: str, model: DeviceModel, truth: Contexts, split: str, rng: np.random.Generator
) -> DrawnProblem:
    """Return a problem of a device with limits that are drawn from those of the split."""
    workload = model.space.workload
    uniforms = rng.random((1, uniforms_per_draw(len(workload.tenants))))
    limits = limit_range(model, truth, rng)
    objective = draw_objectives(limits, uniforms, split).row(0)
    return DrawnProblem(f"{name}, {' + '.join(workload.names)}", model, objective, truth)


def _with_goal(drawn: DrawnProblem, goal: Goal, rng: np.random.Generator) -> DrawnProblem:
    """Return the problem with another goal than throughput, mostly with a least rate.

    The least rate is a share of what some configuration serves within the limits; of arrivals it is
    nearly all. A device without a power sensor keeps its goal where energy was drawn.
    """
    model, objective = drawn.model, drawn.objective
    if goal is Goal.THROUGHPUT or (goal is Goal.ENERGY and not model.has_power):
        return drawn
    objective, rates = replace(objective, goal=goal), _arrival_rates(model)
    if rates is None and rng.random() < RATE_SHARE:
        batch = model.batch(drawn.truth, sample_placements(model.space, rng, 200))
        kept = np.flatnonzero(worst_margin(batch.logs, objective.log_limits) <= 0)
        if len(kept):
            rates = batch.throughput_ips[rng.choice(kept)] * rng.uniform(0.3, 0.95)
    if rates is not None:
        objective = replace(objective, min_rate_ips=tuple(map(float, rates)))
    return replace(drawn, objective=objective)


def _arrival_rates(model: DeviceModel) -> FloatArray | None:
    """Return nearly all of the arrivals [T]; None for a closed loop."""
    rates = model.space.workload.rates_ips
    return np.array(keeping_up(rates)) if np.isfinite(rates).all() else None


def _arriving(
    model: DeviceModel, truth: Contexts, rng: np.random.Generator
) -> tuple[DeviceModel, Contexts]:
    """Return the same problem with arrivals, at a share of the rates of a good configuration."""
    batch = model.batch(truth, sample_placements(model.space, rng, 200))
    score = log_score(batch.logs, np.array(model.space.workload.weights))
    able = batch.throughput_ips[int(score.argmax())]
    rates = np.maximum(able, 1e-3) * rng.uniform(0.2, 0.9, len(able))
    tenants = tuple(
        replace(tenant, rate_ips=float(rate))
        for tenant, rate in zip(model.space.workload.tenants, rates, strict=True)
    )
    space = replace(model.space, workload=Workload(tenants))
    return DeviceModel(model.machine, space, model.networks), replace(truth, rate_ips=rates[None])


def _workload(tables: list[LayerTable], rng: np.random.Generator) -> Workload:
    networks = [described(table) for table in tables]
    if len(tables) == 1:
        return workload_of(networks)
    macs = np.array([table.total_macs for table in tables])
    weights = macs / macs.min() * np.exp(0.35 * rng.standard_normal(len(tables)))
    return workload_of(networks, weights=[float(weight) for weight in weights])


def described(table: LayerTable) -> Network:
    """Return a `Network` made of its layers alone: it has what validity needs."""
    alive = float((table.reads + table.writes).max())
    return Network(
        table.name,
        "0" * 64,
        int(table.total_macs),
        int(4 * table.weights.sum()),
        int(4 * alive),
        len(table),
        (),
        (),
        None,
    )


def _network(options: DrawOptions, rng: np.random.Generator, plain: bool) -> LayerTable:
    """Draw a network of the catalogue; half of those for training change width and resolution."""
    names = options.network_choices()
    if plain:  # one that a computer serves at a bearable rate
        names = [name for name in names if reference_network(name).total_macs < 2e10] or names
    table = reference_network(names[rng.integers(len(names))])
    if options.split != "train" or rng.random() < 0.5:
        return table
    width, area = np.exp(0.25 * rng.standard_normal()), np.exp(0.5 * rng.standard_normal())
    return replace(
        table,
        name=f"{table.name}_like",
        macs=table.macs * width**2 * area,
        weights=table.weights * width**2,
        reads=table.reads * width * area,
        writes=table.writes * width * area,
        inputs=table.inputs * area,
    )
