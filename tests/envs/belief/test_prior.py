"""Shortlists, and what is believed of them before the first measurement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.arrays import Placements
from envs.belief.local_search import LocalSearch, search, starts
from envs.belief.prior import SHORTLIST, next_to_cover, prior_of, starting_configuration
from envs.belief.score import score_and_violation
from envs.belief.shortlist import ENUMERATED, candidate_pool, unmirrored
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of, machine_of
from envs.simulator.parameters import nominal
from envs.simulator.tables import Contexts
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Objective,
    Workload,
    local_computer,
    workload_of,
)
from envs.spec.validity import VALID, judge

NETWORKS = ("resnet50", "mobilenet_v2", "squeezenet1_1")

OBJECTIVES = (
    Objective((20.0,), 20.0),
    Objective((60.0,)),
    Objective((np.inf,), 12.0),
    Objective((8.0,), 15.0),
)


def model_of(
    tenants: int = 1,
    batches: tuple[int, ...] = (1, 4, 16),
    most: int = 3,
    name: str = "orin_nx_16",
    mode: str = "MAXN",
) -> DeviceModel:
    tables = tuple(reference_network(network) for network in NETWORKS[:tenants])
    workload = workload_of(
        [described(table) for table in tables],
        weights=[float(tenant + 1) for tenant in range(tenants)],
    )
    return DeviceModel(
        machine_of(name, mode),
        ConfigurationSpace(device_of(name, mode), workload, most, batches),
        tables,
    )


def best_of(
    model: DeviceModel, context: Contexts, placements: Placements, objective: Objective
) -> float:
    """Log of the most weighted throughput that keeps the limits."""
    score, violation = score_and_violation(
        model, model.logarithms(context, placements)[0], objective
    )
    return float(score[violation <= 0].max(initial=-np.inf))


@pytest.fixture(scope="session")
def model() -> DeviceModel:
    return model_of()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_shortlist_is_valid_and_holds_the_start_and_the_best_of_the_fitted_model(
    model: DeviceModel, objective: Objective
) -> None:
    assert model.space.combinations <= ENUMERATED
    prior = prior_of(model, objective, np.random.default_rng(0))
    assert len(prior.placements) == SHORTLIST
    assert (judge(model.space, prior.placements) == VALID).all()
    assert len(np.unique(model.space.codes(prior.placements))) == SHORTLIST
    assert Configuration.of(prior.placements[0]) == starting_configuration(model, objective)
    optimum = best_of(model, model.nominal(), model.space.catalogue, objective)
    assert np.isfinite(optimum)
    assert best_of(model, model.nominal(), prior.placements, objective) > optimum + np.log(0.98), (
        "or what is next to it: it serves all draws, not one"
    )


def test_a_shortlist_serves_devices_that_depart_from_the_nominal_one(model: DeviceModel) -> None:
    """Under every draw, the best of eighty is within a few percent of the best of thousands."""
    objective = OBJECTIVES[0]
    prior = prior_of(model, objective, np.random.default_rng(0))
    truths = model.drawn(np.random.default_rng(99), 40)
    every = unmirrored(model.space)
    shares = []
    for number in range(40):
        context = truths.take(np.array([number]))
        optimum = best_of(model, context, every, objective)
        if np.isfinite(optimum):
            shares.append(np.exp(best_of(model, context, prior.placements, objective) - optimum))
    assert len(shares) > 30
    assert np.mean(shares) > 0.98
    assert min(shares) > 0.9


def test_a_prior_depends_on_its_generator_alone(model: DeviceModel) -> None:
    one, same, other = (
        prior_of(model, OBJECTIVES[0], np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    for name in ("placements", "mean", "loadings", "residual_variance", "throughput_ips"):
        assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert not np.array_equal(one.mean, other.mean)


def test_what_is_believed_is_about_what_the_model_says(model: DeviceModel) -> None:
    prior = prior_of(model, OBJECTIVES[0], np.random.default_rng(3))
    quantities = 2 * model.space.shape[0] + 1
    spread = np.sqrt(
        (prior.loadings**2).sum(axis=0).reshape(quantities, -1) + prior.residual_variance
    )
    assert prior.mean.shape == prior.residual_variance.shape == (quantities, SHORTLIST)
    fitted = model.logarithms(model.nominal(), prior.placements)[0]
    assert (np.abs(prior.mean - fitted) < 1.5 * spread).all()
    assert prior.throughput_ips == pytest.approx(np.exp(np.median(fitted[:1], axis=1)))
    assert (spread > 0.03).all()
    assert (spread < 1.0).all()
    samples = model.logarithms(model.drawn(np.random.default_rng(8), 400), prior.placements)
    assert np.median(spread / samples.std(axis=0)) == pytest.approx(1.0, abs=0.15)


def test_a_space_smaller_than_a_shortlist_is_on_it_entirely() -> None:
    small = model_of(batches=(1, 4), most=2, name="orin_nano_8", mode="15W")
    prior = prior_of(small, OBJECTIVES[1], np.random.default_rng(0))
    assert len(prior.placements) == len(small.space.catalogue) == 24
    assert set(small.space.codes(prior.placements)) == set(small.space.codes(small.space.catalogue))


@pytest.mark.parametrize("count", [30, 300])
def test_candidates_and_start_may_be_given(model: DeviceModel, count: int) -> None:
    rng = np.random.default_rng(4)
    given = model.space.catalogue[rng.choice(len(model.space.catalogue), count, replace=False)]
    start = Configuration.of(given[7])
    prior = prior_of(model, OBJECTIVES[1], rng, given, start=start)
    assert Configuration.of(prior.placements[0]) == start
    codes = model.space.codes(prior.placements)
    assert set(codes) <= set(model.space.codes(given))
    assert len(codes) == len(set(codes)) == min(count, SHORTLIST)


def test_the_start_keeps_the_limits_under_every_draw_and_is_fast_where_there_are_none() -> None:
    one = model_of(batches=(1, 4), most=2)
    alone = {
        name: one.logarithms(one.nominal(), alone_on(one, name))[0, :, 0]
        for name in one.space.device.accelerator_names
    }
    limit = float(np.exp(alone["tensor"][-1] + 0.1))
    frugal, fast = (
        starting_configuration(one, Objective((np.inf,), limit)),
        starting_configuration(one, Objective((np.inf,))),
    )
    fresh = one.drawn(np.random.default_rng(5), 400)
    watts = one.logarithms(fresh, np.stack([frugal.array(), fast.array()]))[:, -1]
    assert (watts[:, 0] <= np.log(limit)).mean() > 0.98
    assert (watts[:, 1] > np.log(limit)).mean() > 0.5
    everything = one.logarithms(one.nominal(), one.space.catalogue)[0, 0]
    assert one.logarithms(one.nominal(), fast.array()[None])[0, 0, 0] > everything.max() - 0.05


def alone_on(model: DeviceModel, name: str) -> Placements:
    placements = np.zeros((1, *model.space.shape, 2), dtype=np.int16)
    placements[0, 0, model.space.device.accelerator_names.index(name)] = (1, 1)
    return placements


@pytest.fixture(scope="session")
def two_tenants() -> DeviceModel:
    return model_of(tenants=2, batches=(1, 2, 8), most=1)


@pytest.mark.parametrize(
    "objective",
    [Objective((20.0, 10.0), 18.0), Objective((60.0, 60.0)), Objective((np.inf, 5.0), 14.0)],
)
def test_local_search_finds_what_looking_at_everything_finds(
    two_tenants: DeviceModel, objective: Objective
) -> None:
    contexts = two_tenants.drawn(np.random.default_rng(6), 2)
    for number in range(2):
        context = contexts.take(np.array([number]))
        found = search(two_tenants, context, objective, np.random.default_rng(number))
        assert (judge(two_tenants.space, found) == VALID).all()
        optimum = best_of(two_tenants, context, two_tenants.space.catalogue, objective)
        assert np.isfinite(optimum)
        assert best_of(two_tenants, context, found, objective) > optimum + np.log(0.99)
        assert len(found) < 0.5 * len(two_tenants.space.catalogue), "without looking at everything"


def test_search_lists_the_best_first(two_tenants: DeviceModel) -> None:
    objective, context = Objective((20.0, 10.0), 18.0), two_tenants.nominal()
    found = search(two_tenants, context, objective, np.random.default_rng(0))
    score, violation = score_and_violation(
        two_tenants, two_tenants.logarithms(context, found)[0], objective
    )
    assert violation[0] <= 0
    assert score[0] == score[violation <= 0].max()


def test_spaces_too_large_to_list_are_searched() -> None:
    large = model_of(tenants=2, batches=(1, 2, 4, 8, 16), most=4)
    assert large.space.combinations > ENUMERATED
    objective = Objective((40.0, 20.0), 20.0)
    pool = candidate_pool(
        large, large.drawn(np.random.default_rng(0), 1), objective, np.random.default_rng(1), None
    )
    assert (judge(large.space, pool) == VALID).all()
    assert len(np.unique(large.space.codes(pool))) == len(pool)
    assert np.isfinite(best_of(large, large.nominal(), pool, objective))


def test_a_mirrored_dla_core_is_no_other_configuration(model: DeviceModel) -> None:
    names = model.space.device.accelerator_names
    every = unmirrored(model.space)
    zero, one = names.index("dla0"), names.index("dla1")
    mirrored = every.copy()
    mirrored[:, :, [zero, one]] = every[:, :, [one, zero]]
    codes, others = model.space.codes(every), model.space.codes(mirrored)
    twins = codes != others
    assert not set(codes[twins]) & set(others[twins])
    assert set(codes) | set(others) == set(model.space.codes(model.space.catalogue))


def test_that_threads_speed_up_little_is_learned_from_two_measurements() -> None:
    """A second thread hardly helps a small network; a second instance doubles its throughput."""
    table = reference_network("mobilenet_v2")
    space = ConfigurationSpace(
        local_computer(cores=2), workload_of([described(table)]), 2, (1, 2, 4)
    )
    model = model_for(space, (table,))
    true = model.logarithms(
        model.contexts(nominal("cpu").with_values(threads_exponent=0.3)), space.catalogue
    )[0]
    prior = prior_of(
        model, Objective((np.inf,)), np.random.default_rng(0), space.catalogue, len(space.catalogue)
    )
    rows = {tuple(row.ravel()): place for place, row in enumerate(prior.placements)}
    truth = {
        tuple(row.ravel()): values for row, values in zip(space.catalogue, true.T, strict=True)
    }
    belief = prior.belief()
    for measured in ((0, 0, 1, 2), (0, 0, 2, 1)):
        belief.update(np.array([rows[measured]]), truth[measured][None], np.full((1, 3), 1e-4))
    both = (0, 0, 2, 2)
    assert belief.mean[0, 0, rows[both]] == pytest.approx(truth[both][0], abs=0.15)


def test_a_search_of_several_contexts_finds_what_each_search_alone_finds() -> None:
    model = model_of(tenants=3, batches=(1, 2, 4, 8, 16), most=4)
    objective, contexts = Objective((60.0, 40.0, 30.0)), model.drawn(np.random.default_rng(3), 3)
    first = starts(model.space, np.random.default_rng(0))
    together = LocalSearch(model, contexts, objective, (0.0, 0.1))
    together.add(first)
    together.run()
    for number in range(3):
        alone = LocalSearch(model, contexts.take(np.array([number])), objective, (0.0, 0.1))
        alone.add(first)
        alone.run()
        for margin in (0.0, 0.1):
            assert together.worth(number, margin) == pytest.approx(alone.worth(0, margin))
    assert len(np.unique(model.space.codes(first))) < len(together)


def test_of_equals_a_search_looks_around_those_farthest_inside_the_limits() -> None:
    """Under arrivals at a rate all that keep up are equal: it must not look around all of them."""
    closed = model_of(tenants=3, batches=(1, 2, 4, 8, 16), most=4)
    slow = Workload(tuple(replace(each, rate_ips=1.0) for each in closed.space.workload.tenants))
    space = replace(closed.space, workload=slow)
    model = replace(closed, space=space)
    search = LocalSearch(model, model.nominal(), Objective((900.0, 900.0, 900.0)))
    search.add(starts(space, np.random.default_rng(0)))
    begun = len(search)
    search.run(beam=12, width=12, patience=2)
    best = search.best(0, 0.0)
    score, violation = search._score[best], search._violation[best]
    equal = score > score[0] - 1e-9
    assert equal.sum() > 500, "many keep up"
    assert (np.diff(violation[equal]) >= 0).all()
    assert len(search) < begun + 60 * 12 * 100, "it ends long before it has looked at all of them"
    assert violation[0] == search._violation.min()


def test_a_shortlist_is_the_one_that_looking_at_all_gains_draws_up() -> None:
    rng = np.random.default_rng(0)
    shares = rng.random((40, 300)).astype(np.float32)
    usual = 1e-3 * shares.mean(axis=0)
    covered, gain = np.zeros(40, dtype=np.float32), shares.sum(axis=0) + usual
    for _ in range(60):
        every = np.maximum(shares - covered[:, None], 0.0).sum(axis=0) + usual
        every[gain < 0] = -1.0
        row = next_to_cover(shares, covered, usual, gain)
        assert row == every.argmax()
        covered, gain[row] = np.maximum(covered, shares[:, row]), -1.0
