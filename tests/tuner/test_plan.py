"""Plans of recordings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.errors import OptionError
from envs.simulator.machine import device_of
from envs.spec import Configuration, ConfigurationSpace, workload_of
from tests.worlds import network, space
from tuner.plan import PlanOptions, planned

WORLD = space(tenants=2, max_instances=2, batches=(1, 4), max_total_instances=4)


def test_a_grid_is_the_whole_catalogue() -> None:
    assert planned(WORLD, PlanOptions()) == [Configuration.of(row) for row in WORLD.catalogue]


@pytest.mark.parametrize("kind", ["lhs", "random"])
def test_samples_are_valid_different_repeatable_and_hold_the_default(kind: str) -> None:
    plan = planned(WORLD, PlanOptions(kind, 30, seed=3))
    assert len(plan) == len(set(plan)) == 30
    for configuration in plan:
        WORLD.check(configuration)
    assert plan[0] == WORLD.default()
    assert plan == planned(WORLD, PlanOptions(kind, 30, seed=3))
    assert plan != planned(WORLD, PlanOptions(kind, 30, seed=4))


def test_a_latin_hypercube_visits_every_option_of_every_knob() -> None:
    world = space()
    plan = planned(world, PlanOptions("lhs", 30))
    options = world.encode(np.stack([each.array() for each in plan]))
    for knob in range(world.knobs):
        assert len(set(options[:, knob].tolist())) >= 9, "ten options, thirty strata"


def test_more_samples_than_there_are_give_all() -> None:
    world = space()
    assert len(planned(world, PlanOptions("random", 1000))) == len(world.catalogue)
    assert len(planned(world, PlanOptions("lhs", 1000))) > 0.95 * len(world.catalogue)


def test_a_space_too_large_to_enumerate_can_be_sampled() -> None:
    three = space(tenants=3, max_instances=4, batches=(1, 2, 4, 8))
    for kind in ("lhs", "random"):
        plan = planned(three, PlanOptions(kind, 20))
        assert len(set(plan)) == 20
        for configuration in plan:
            three.check(configuration)


@pytest.mark.parametrize("kind", ["lhs", "random"])
def test_where_nearly_everything_at_once_is_too_much_fewer_places_are_used(kind: str) -> None:
    names = [f"net{n}" for n in range(6)]
    device = device_of("agx_orin_64", "MAXN")
    many = ConfigurationSpace(
        device.with_segments((4, 16)),
        workload_of([network(name) for name in names], criticality=["best_effort"] * 6),
        4,
        (1, 4, 16),
    )
    on_dla = [n for n, each in enumerate(many.device.accelerators) if each.dla_core is not None]
    unjudged = frozenset((tenant, column) for tenant in range(6) for column in on_dla)
    many = replace(many, unjudged=unjudged, blocks=frozenset((*pair, 3) for pair in unjudged))
    plan = planned(many, PlanOptions(kind, 20))
    assert len(set(plan)) == 20
    for configuration in plan:
        many.check(configuration)


def test_wrong_plans_are_named() -> None:
    with pytest.raises(OptionError, match="plan='all'"):
        planned(WORLD, PlanOptions("all"))
    with pytest.raises(OptionError, match="count=0"):
        planned(WORLD, PlanOptions("random", 0))
