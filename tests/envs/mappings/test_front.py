from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from envs.mappings.front import worth_it
from envs.mappings.gain import gain_of
from envs.mappings.loads import by_resource, without_twins
from envs.mappings.search import costs_of, pareto_front, single_accelerators
from tests.envs.mappings.random_costs import random_costs


def network(times, energies, names=("tensor", "dla0"), transition=0.0):
    time_s = np.array(times, dtype=float)
    groups, accelerators = time_s.shape
    moves = np.full((groups, accelerators, accelerators), transition)
    same = np.arange(accelerators)
    moves[:, same, same] = 0
    nothing = np.zeros(accelerators)
    return replace(
        random_costs(0, groups, accelerators),
        accelerators=names,
        time_s=time_s,
        energy_j=np.array(energies, dtype=float),
        bytes=np.zeros_like(time_s),
        transition_s=moves,
        transition_j=moves,
        start_s=nothing,
        start_j=nothing,
        end_s=nothing,
        end_j=nothing,
    )


def test_a_mapping_that_divides_the_work_is_worth_it_though_alone_it_gains_nothing():
    # Alone `tensor` is fastest and needs the least energy; whole networks on both give
    # 1 / 4 + 1 / 16 batches a second, half of the groups on each gives 1 / 2.
    costs = network([[2, 14], [2, 2]], [[1, 9], [1, 9]])
    front, singles = pareto_front(costs), single_accelerators(costs)
    assert all(gain_of(front, singles, weight).share == 0 for weight in (0, 0.5, 1))
    assert [each.mapping.name for each in worth_it(costs)] == ["tensor_to_1_dla0"]


def test_nothing_is_worth_it_where_every_group_is_equally_slower_on_the_other_accelerator():
    costs = network([[1, 3]] * 5, [[2, 4]] * 5, transition=0.1)
    assert worth_it(costs) == ()


def test_members_are_few_differ_and_contain_the_best_by_each_weight():
    rng = np.random.default_rng(2)
    size = rng.lognormal(0, 1, (20, 1))
    times = size * rng.uniform(0.5, 2, (20, 3)) * [2, 1, 2]
    energies = size * rng.uniform(0.5, 2, (20, 3)) * [4, 2, 1.8]
    costs = network(times, energies, ("cuda", "tensor", "dla0"), transition=0.05)
    members = worth_it(costs, transitions=3)
    assert 2 <= len(members) <= 8
    assert len({each.mapping for each in members}) == len(members)
    assert all(1 <= each.transitions <= 3 for each in members)
    front, singles = pareto_front(costs, 3), single_accelerators(costs)
    for weight in (0.0, 0.5, 1.0):
        best = gain_of(front, singles, weight).share
        kept = gain_of(members, singles, weight).share
        assert kept >= best - 0.02
    assert worth_it(costs, transitions=3, members=2) == members[:2]
    assert len(worth_it(costs, transitions=3, margin=0.3)) < len(members)


def test_no_mapping_uses_both_cores_of_a_dla():
    costs = network(
        [[1, 3, 2, 3], [5, 3, 2, 1]], [[1] * 4, [1] * 4], ("cuda", "dla1", "tensor", "dla0")
    )
    few, kept = without_twins(costs)
    assert few.accelerators == ("cuda", "dla1", "tensor")
    assert kept == [0, 1, 2]
    members = worth_it(costs)
    assert members
    for each in members:
        assert "dla0" not in each.mapping.accelerators
        assert costs_of(costs, np.array([each.chosen])) == (each,)


def test_a_network_that_no_accelerator_runs_whole_gets_its_fastest_mapping():
    gap = np.inf
    costs = network([[1, gap], [gap, 1], [1, 1]], [[1, gap], [gap, 1], [1, 2]])
    assert [each.mapping.name for each in worth_it(costs)][:1] == ["tensor_to_1_dla0_to_2_tensor"]
    assert worth_it(costs, transitions=0) == ()


def test_loads_of_resources_share_the_time_and_both_count_transitions():
    costs = network([[1, 30], [2, 4], [100, 7]], [[1, 1]] * 3, transition=0.5)
    chosen = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1]])
    gpu_s, dla_s = by_resource(costs, "gpu", "dla0").totals(chosen)
    assert gpu_s == pytest.approx([3.5, 103, 0])
    assert dla_s == pytest.approx([7.5, 0, 41])
    front = pareto_front(by_resource(costs, "gpu", "dla0"))
    assert all(a.energy_j > b.energy_j for a, b in pairwise(front))


def test_what_a_dla_leaves_to_the_gpu_by_itself_is_no_member():
    gap = np.inf
    costs = network([[4, 1]] * 3 + [[1, gap]], [[4, 1]] * 3 + [[1, gap]])
    assert worth_it(costs) == ()
    dearer = network([[4, 1], [1, 9], [4, 1], [1, gap]], [[4, 1], [1, 9], [4, 1], [1, gap]])
    assert "tensor_to_2_dla0_to_3_tensor" in [each.mapping.name for each in worth_it(dearer)]
