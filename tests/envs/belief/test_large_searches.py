"""Search among configurations that the device model rates, also where they are too many to list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.belief.local_search import LocalSearch, search, starts
from envs.belief.prior import prior_of
from envs.belief.score import score_and_violation
from envs.belief.shortlist import ENUMERATED, candidate_pool, unmirrored
from envs.problems.problem import WIDE
from envs.simulator.device_model import DeviceModel
from envs.spec import Objective, Workload
from envs.spec.validity import VALID, judge
from tests.envs.belief.boards import best_of, model_of


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


def test_a_shortlist_serves_devices_that_it_was_not_made_for() -> None:
    large = model_of(tenants=2, batches=(1, 2, 4, 8, 16), most=4)
    objective = Objective((40.0, 20.0), 20.0)
    listed = prior_of(large, objective, np.random.default_rng(0), size=WIDE).placements
    devices = large.drawn(np.random.default_rng(8), 6)
    behind = []
    for number in range(len(devices)):
        device = devices.take(np.array([number]))
        found = search(large, device, objective, np.random.default_rng(number))
        best, listed_best = (best_of(large, device, each, objective) for each in (found, listed))
        behind.append(best - listed_best)
    assert np.mean(behind) < np.log(1.01)


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
