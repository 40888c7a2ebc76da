"""Schemes that place several networks, on boards where the answer is known on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.belief.score import score_and_violation
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.problems.problem import Problem, problem_of
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import Configuration, ConfigurationSpace, Measurement, Objective, workload_of
from envs.spec.validity import VALID, judge
from envs.testing.problems import measurement, run_search
from tuner.search.model_search import preference
from tuner.search.placing import (
    GreedyUtilisation,
    PlacingSearch,
    RoundRobin,
    StaticPartition,
    batch_sizes,
    partitions,
    utilisation_of_one,
)

NETWORKS = ("resnet50", "mobilenet_v2", "squeezenet1_1", "resnet18", "vgg11")


def board(tenants: int) -> DeviceModel:
    layers = tuple(reference_network(name) for name in NETWORKS[:tenants])
    workload = workload_of([described(each) for each in layers])
    space = ConfigurationSpace(device_of("agx_orin_64", "MAXN"), workload, 3, (1, 4, 16))
    return model_for(space, layers)


def answer(configuration: Configuration) -> Measurement:
    tenants = len(configuration.placements)
    return measurement([1.0] * tenants, [1.0] * tenants)


def problem(tenants: int, p99_ms: float = 100.0) -> Problem:
    return problem_of(board(tenants), Objective((p99_ms,) * tenants))


@pytest.mark.parametrize("tenants", [2, 3, 5])
@pytest.mark.parametrize("scheme", [StaticPartition, GreedyUtilisation, RoundRobin])
def test_a_scheme_has_valid_configurations_in_the_models_order(
    scheme: type[PlacingSearch], tenants: int
) -> None:
    given = problem(tenants)
    asked = run_search(scheme(given), answer, 6)
    assert asked[0] == given.default
    rows = np.stack([each.array() for each in asked])
    assert (judge(given.space, rows) == VALID).all()
    ordered, model = scheme(given)._ordered(), given.model
    assert model is not None
    logs = model.logarithms(model.nominal(), ordered)[0]
    worth = preference(*score_and_violation(model, logs, given.objective))
    assert (np.diff(worth) <= 0).all()
    first = [each for each in map(Configuration.of, ordered) if each != given.default]
    assert asked[1 : 1 + len(first)] == first[:5]


def test_a_partition_shares_no_accelerator_while_there_are_enough() -> None:
    asked = run_search(StaticPartition(problem(3)), answer, 8)[1:]
    for each in asked:
        assert ((each.array()[..., 0] > 0).sum(axis=0) <= 1).all()


def test_ways_to_share_out_accelerators() -> None:
    assert len(partitions(2, 3)) == 2**3 - 2, "neither tenant goes without"
    assert len(partitions(3, 2)) == 2**3
    assert (partitions(3, 2).sum(axis=2) == 1).all()
    assert (partitions(2, 4).sum(axis=1) == 1).all()


def test_instances_are_dealt_in_turn() -> None:
    model = board(2)
    sizes = np.ones((1, *model.space.shape), dtype=np.int64)
    dealt = RoundRobin(problem(2))._placements(model, sizes)[..., 0]
    names = model.space.device.accelerator_names
    where = [names[column] for column in np.flatnonzero(dealt[1].sum(axis=0))]
    assert (dealt.sum(axis=(1, 2)) == np.arange(2, 7)).all()
    assert where == list(names[:3]), "three instances lie on the first three accelerators"


def test_the_least_busy_accelerator_gets_the_next_instance() -> None:
    model = board(2)
    sizes = np.full(model.space.shape, 4)
    use = utilisation_of_one(model, sizes)
    assert ((use > 0) & (use <= 1)).all()
    filled = GreedyUtilisation(problem(2))._filled(model, sizes)[..., 0]
    heavier, other = np.argsort(-use.min(axis=1))
    assert filled[0][heavier].argmax() == use[heavier].argmin()
    assert (np.diff(filled.astype(int), axis=0).sum(axis=(1, 2)) == 1).all(), "one at a time"
    assert filled[0].sum(axis=1).tolist() == [1, 1]
    assert other != heavier


def test_batches_end_where_an_instance_alone_would_be_too_late() -> None:
    model = board(2)
    free = batch_sizes(model, Objective((np.inf, np.inf)))
    assert (free == np.array(model.space.batches)[:, None, None]).all()
    tight = batch_sizes(model, replace(Objective((np.inf, 1e-3))))
    assert (tight[:, 0] == free[:, 0]).all()
    assert (tight[:, 1] == 1).all()
