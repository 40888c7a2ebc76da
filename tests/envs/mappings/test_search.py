import math
from dataclasses import replace

import numpy as np
import pytest

from envs.errors import OptionError
from envs.mappings.search import (
    costs_of,
    fastest,
    least_energy,
    pareto_front,
    single_accelerators,
)
from tests.envs.mappings.random_costs import every_mapping, random_costs


def small_problem(seed):
    rng = np.random.default_rng(seed + 10_000)
    accelerators = int(rng.integers(1, 5))
    groups = int(rng.integers(1, {1: 7, 2: 8, 3: 7, 4: 6}[accelerators]))
    bound = rng.integers(-1, groups + 1)
    return random_costs(seed, groups, accelerators), None if bound < 0 else int(bound)


def enumerated(costs, transitions):
    points = np.stack(costs.totals(every_mapping(costs, transitions)), axis=1)
    return points[np.isfinite(points).all(axis=1)]


def front_of(points):
    best, front = math.inf, []
    for time_s, energy_j in sorted(map(tuple, points)):
        if energy_j < best:
            best = energy_j
            front.append((time_s, energy_j))
    return front


def test_the_search_equals_enumeration_on_200_random_problems():
    impossible = 0
    for seed in range(200):
        costs, transitions = small_problem(seed)
        points = enumerated(costs, transitions)
        front = pareto_front(costs, transitions)
        assert [(each.time_s, each.energy_j) for each in front] == front_of(points)
        assert all(
            each.transitions <= (costs.groups if transitions is None else transitions)
            for each in front
        )
        for each in front:
            assert (each.time_s, each.energy_j) == costs.of(each.chosen)
            named = each.mapping.by_group(costs.groups)
            assert named == tuple(costs.accelerators[at] for at in each.chosen)
        impossible += not front
    assert 0 < impossible < 60


def test_limits_are_kept_with_the_least_that_enumeration_finds_on_200_random_problems():
    for seed in range(200):
        costs, transitions = small_problem(seed)
        points = enumerated(costs, transitions)
        limits = {0.5, *(value for point in points for value in point)}
        for limit in sorted(limits)[:: max(1, len(limits) // 5)]:
            in_time = [tuple(p) for p in points[:, ::-1] if p[1] <= limit]
            found = least_energy(costs, transitions, latency_limit_s=limit)
            assert (found and (found.energy_j, found.time_s)) == min(in_time, default=None)
            in_energy = [tuple(p) for p in points if p[1] <= limit]
            found = fastest(costs, transitions, energy_limit_j=limit)
            assert (found and (found.time_s, found.energy_j)) == min(in_energy, default=None)


def test_the_front_of_real_numbers_equals_enumeration_up_to_rounding():
    rng = np.random.default_rng(5)
    for seed in range(20):
        costs = random_costs(seed, 6, 3)
        costs = replace(
            costs,
            time_s=costs.time_s * rng.uniform(0.5, 1.5, costs.time_s.shape) * 1e-4,
            energy_j=costs.energy_j * rng.uniform(0.5, 1.5, costs.energy_j.shape) * 1e-3,
            transition_s=costs.transition_s * 1e-4,
            transition_j=costs.transition_j * 1e-3,
        )
        found = [(each.time_s, each.energy_j) for each in pareto_front(costs)]
        expected = front_of(enumerated(costs, None))
        assert np.array(found) == pytest.approx(np.array(expected), rel=1e-12)


def test_a_network_of_60_groups_on_four_accelerators_has_an_exact_front():
    costs = random_costs(1, 60, 4)
    front = pareto_front(costs, 3)
    times = [each.time_s for each in front]
    assert times == sorted(set(times))
    for each in front[:: max(1, len(front) // 8)]:
        assert least_energy(costs, 3, latency_limit_s=each.time_s) == each
        assert fastest(costs, 3, energy_limit_j=each.energy_j) == each


def test_ties_are_given_to_the_mapping_with_fewer_transitions():
    costs = random_costs(3, 5, 2)
    same = np.ones((5, 2))
    free = np.zeros((5, 2, 2))
    costs = replace(costs, time_s=same, energy_j=same, transition_s=free, transition_j=free)
    nothing = np.zeros(2)
    costs = replace(costs, start_s=nothing, start_j=nothing, end_s=nothing, end_j=nothing)
    (only,) = pareto_front(costs, 2)
    assert only.transitions == 0


def test_single_accelerators_are_those_that_run_every_group():
    costs = random_costs(4, 4, 3)
    times, energies = np.ones((4, 3)), np.ones((4, 3))
    times[2, 1] = energies[2, 1] = np.inf
    found = single_accelerators(replace(costs, time_s=times, energy_j=energies))
    assert [each.mapping.name for each in found] == ["cuda", "dla0"]
    (only,) = costs_of(costs, np.array([[0, 0, 2, 2]]))
    assert only.mapping.name == "cuda_to_2_dla0"


def test_a_bound_below_zero_is_refused():
    with pytest.raises(OptionError, match="transitions=-1"):
        pareto_front(random_costs(0, 3, 2), -1)
