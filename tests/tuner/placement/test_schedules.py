from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from envs.errors import DependencyError, OptionError
from envs.mappings.costs import GroupCosts
from tests.envs.mappings.random_costs import every_mapping
from tuner.placement.schedules import best_schedule, schedule_of
from tuner.placement.schedules_data import NO_CONTENTION, Contention, Together

#: Beyond 20 of 100 GB/s, groups slow each other by up to 30 %.
CONTENTION = Contention(100e9, 0.2, 0.6, 0.5)

#: The search ends by itself in a second, also on a computer that is a hundred times slower.
ENOUGH_S = 600.0


def costs_of_times(times_ms, transition_ms=0.0, gb_s=0.0, names=("tensor", "dla0")):
    time_s = np.array(times_ms, dtype=float) * 1e-3
    groups, accelerators = time_s.shape
    moves = np.full((groups, accelerators, accelerators), transition_ms * 1e-3)
    same = np.arange(accelerators)
    moves[:, same, same] = 0
    moves[0] = 0
    nothing = np.zeros(accelerators)
    traffic = np.broadcast_to(np.asarray(gb_s, dtype=float), time_s.shape) * 1e9
    return GroupCosts(
        "network",
        names,
        1,
        time_s,
        np.where(np.isfinite(time_s), 1.0, np.inf),
        np.where(np.isfinite(time_s), traffic, 0) * np.where(np.isfinite(time_s), time_s, 0),
        moves,
        moves,
        nothing,
        nothing,
        nothing,
        nothing,
        np.ones(groups, dtype=int),
        np.zeros(groups),
    )


def together(*networks, contention=NO_CONTENTION):
    return Together(tuple(networks), contention)


def random_networks(seed, groups=(3, 3), contention=CONTENTION):
    rng = np.random.default_rng(seed)
    return together(
        *(
            costs_of_times(
                rng.uniform(0.2, 1, (count, 1)) * [[1, rng.uniform(1.2, 2.5)]]
                + rng.uniform(0, 0.3, (count, 2)),
                transition_ms=0.05,
                gb_s=rng.uniform(5, 60, (count, 2)),
            )
            for count in groups
        ),
        contention=contention,
    )


def merges(counts):
    """Yield every order of the groups of some networks."""
    if not any(counts):
        yield ()
        return
    for network, left in enumerate(counts):
        if left:
            rest = [each - (n == network) for n, each in enumerate(counts)]
            for order in merges(rest):
                yield (*order, (network, left - 1))


def enumerated(problem, transitions):
    """Return the least makespan and the most batches per second of all mappings and orders."""
    counts = [costs.groups for costs in problem.networks]
    mappings = [every_mapping(costs, transitions).tolist() for costs in problem.networks]
    found = [
        schedule_of(problem, tuple(map(tuple, chosen)), order)
        for chosen in product(*mappings)
        for order in merges(counts)
    ]
    return min(each.makespan_s for each in found), max(each.batches_s for each in found)


def test_a_group_that_overlaps_with_another_takes_what_contention_adds_while_it_does():
    # 40 and 40 of 100 GB/s: 50 % counts (60 % are over the threshold), half of it is the others'.
    slower = 1 + 0.6 * 0.5 * 0.5
    problem = together(
        costs_of_times([[4, 9]], gb_s=40), costs_of_times([[9, 1]], gb_s=40), contention=CONTENTION
    )
    found = schedule_of(problem, ((0,), (1,)))
    first_s, second_s = found.finish_s
    assert second_s == pytest.approx(1e-3 * slower)
    assert first_s == pytest.approx(1e-3 * slower + 3e-3)
    assert CONTENTION.slowdown(40e9, 0) == 1
    assert CONTENTION.slowdown(5e9, 5e9) == 1


def test_groups_wait_for_their_network_and_for_their_resource():
    problem = together(costs_of_times([[1, 9], [9, 2]], 0.5), costs_of_times([[3, 9], [1, 9]]))
    found = schedule_of(problem, ((0, 1), (0, 0)))
    spans = {(run.network, run.group): (run.start_s, run.end_s) for run in found.runs}
    assert spans[0, 0] == pytest.approx((0, 1e-3))
    assert spans[0, 1] == pytest.approx((1e-3, 3.5e-3))  # with its transition
    assert spans[1, 0] == pytest.approx((1e-3, 4e-3))
    assert spans[1, 1] == pytest.approx((4e-3, 5e-3))
    assert [each.name for each in found.mappings] == ["tensor_to_1_dla0", "tensor"]
    assert found.makespan_s == pytest.approx(5e-3)
    assert found.batches_s == pytest.approx(1 / 3.5e-3 + 1 / 5e-3)


def test_two_precisions_of_the_gpu_run_one_after_the_other():
    names = ("tensor", "cuda")
    problem = together(costs_of_times([[1, 2]], names=names), costs_of_times([[1, 2]], names=names))
    assert schedule_of(problem, ((0,), (1,))).makespan_s == pytest.approx(3e-3)


def shortfalls(problem, transitions):
    """Return how far the answers for both goals are from the best of all mappings and orders."""
    makespan_s, batches_s = enumerated(problem, transitions)
    least = best_schedule(problem, "makespan", transitions, ENOUGH_S, workers=1)
    most = best_schedule(problem, "throughput", transitions, ENOUGH_S, workers=1)
    assert least.bound <= makespan_s
    assert most.bound >= batches_s
    return least.makespan_s / makespan_s - 1, batches_s / most.batches_s - 1


def test_without_contention_the_solver_equals_enumeration():
    pytest.importorskip("ortools")
    for seed in range(4):
        problem = random_networks(seed, contention=NO_CONTENTION)
        assert shortfalls(problem, 1 + seed % 2) == pytest.approx((0, 0), abs=1e-9)


def test_with_contention_the_answer_is_that_of_enumeration_or_close_to_it():
    pytest.importorskip("ortools")
    worse = [each for seed in range(6) for each in shortfalls(random_networks(seed), 1)]
    assert min(worse) >= -1e-9
    assert np.median(worse) < 1e-9
    assert max(worse) < 0.02


def test_three_networks_on_three_resources_keep_their_bound():
    pytest.importorskip("ortools")
    names = ("tensor", "dla0", "dla1")
    problem = together(
        *(costs_of_times([[1, 2, 2]] * 3, 0.05, gb_s=40, names=names) for _ in range(3)),
        contention=CONTENTION,
    )
    found = best_schedule(problem, workers=1)
    assert found.bound <= found.makespan_s < 9e-3
    assert len(found.runs) == 9


def test_groups_that_an_accelerator_does_not_run_go_elsewhere():
    pytest.importorskip("ortools")
    gap = np.inf
    first = costs_of_times([[1, gap], [5, 1], [1, gap]])
    found = best_schedule(together(first, first), transitions=2, seconds=ENOUGH_S, workers=1)
    assert {each.name for each in found.mappings} == {"tensor_to_1_dla0_to_2_tensor"}
    barred = replace(first, transition_s=np.where(first.transition_s > 0, gap, first.transition_s))
    barred.transition_s[1, 0, 1] = gap
    found = best_schedule(together(barred, barred), transitions=2, seconds=ENOUGH_S, workers=1)
    assert {each.name for each in found.mappings} == {"tensor"}
    closed = costs_of_times([[gap, gap]])
    assert best_schedule(together(closed, first), workers=1) is None


def test_wrong_options_and_a_missing_solver_are_said(monkeypatch):
    problem = random_networks(0)
    with pytest.raises(OptionError, match="goal='speed'"):
        best_schedule(problem, "speed")
    with pytest.raises(OptionError, match="transitions=-1"):
        best_schedule(problem, transitions=-1)
    monkeypatch.setitem(__import__("sys").modules, "ortools.sat.python.cp_model", None)
    with pytest.raises(DependencyError, match="orin-tuner\\[schedules\\]"):
        best_schedule(problem)
