"""Every search works in a space that is too large to list."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest

from envs.belief.features import MOST_WINDOWS
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.problems.problem import Problem, problem_of
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Measurement,
    Objective,
    accelerator,
    workload_of,
)
from envs.testing.problems import measurement, run_search
from tuner.search.registry import SEARCHES, make_search

PLAIN = DeviceSpec("computer", (accelerator("cpu_fp32"), accelerator("cpu_int8")), 8, 32_000.0)


@lru_cache(maxsize=2)
def large_problem(tenants: int) -> Problem:
    """Three tenants on a board with four accelerators, or five on a plain computer."""
    device = device_of("agx_orin_64", "MAXN") if tenants == 3 else PLAIN
    names = ("resnet18", "mobilenet_v2", "resnet50", "squeezenet1_1", "efficientnet_b0")[:tenants]
    layers = tuple(reference_network(name) for name in names)
    space = ConfigurationSpace(
        device, workload_of([described(each) for each in layers]), 4, (1, 2, 4, 8)
    )
    assert not space.enumerable
    assert space.shape == (tenants, len(device.accelerators))
    return problem_of(model_for(space, layers), Objective((60.0,) * tenants))


def crowded(configuration: Configuration) -> Measurement:
    """Answer with a latency that grows with the instances of all tenants."""
    flight = configuration.array().astype(float).prod(axis=-1)  # [T, A]
    busy = flight.sum()
    return measurement((100 * flight.sum(axis=1) / busy).tolist(), [busy] * len(flight))


@pytest.mark.parametrize("tenants", [3, 5])
@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_asks_for_valid_configurations_without_repetition(
    name: str, tenants: int
) -> None:
    problem = large_problem(tenants)
    asks = 5 if name == "gp" else 7  # two suggestions of a sampler
    found = run_search(make_search(name, problem), crowded, asks)
    assert found[0] == problem.default
    often = max(found.count(each) for each in found)
    repeats = name.startswith("expected_gain")  # where a limit is too close to call
    assert often <= (MOST_WINDOWS if repeats else 1)
    for configuration in found:
        problem.space.check(configuration)


def test_random_search_finds_the_few_that_fit_where_instances_are_short() -> None:
    full = large_problem(3)
    space = replace(full.space, max_total_instances=3)
    default = space.default()
    problem = Problem(space, default.array()[None], full.objective, default, open=True)
    found = run_search(make_search("random", problem), crowded, 20)
    assert len(set(found)) == 20
    assert all(each.total_instances == 3 for each in found)
