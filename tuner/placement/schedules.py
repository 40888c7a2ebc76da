"""Contention-aware schedules of two or more networks at once, group by group.

The problem of HaX-CoNN (PPoPP 2024, arXiv 2308.05869): the groups of each network run in their
order, each on one accelerator, one group at a time on an accelerator. Groups that run at the same
time slow each other by their DRAM traffic.

The solver knows no contention. It is asked first with the times of groups that run alone, which
gives a bound that no schedule can beat. Then groups take as long as they took in the schedule
before, by the exact evaluation of what overlaps (`schedules_overlap`); where they did not run they
take as long as beside the mean traffic of the other resources. That is repeated until mappings
come back. The best of them, and of whole networks on accelerators, are improved by moving single
groups, by letting a network go first and by exchanging two groups that follow each other on a
resource. What is returned has exact times and, with contention, need not be the optimum; the bound
says how far it can be away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, pairwise, product

from envs.errors import OptionError
from envs.spec.mapping import Mapping
from tuner.placement.schedules_data import Chosen, Run, Schedule, Task, Together
from tuner.placement.schedules_overlap import times_of
from tuner.placement.schedules_solver import Program

#: What a schedule is chosen for: least time until all are done, or most batches per second.
GOALS = ("makespan", "throughput")

#: How often the solver is asked at most, and what share of the time that is left it may take.
ROUNDS = 6
SOLVER_SHARE = 0.5

#: How many of the schedules that were found are improved at most.
STARTS = 4


def best_schedule(
    together: Together,
    goal: str = "makespan",
    transitions: int | None = 1,
    seconds: float = 8.0,
    workers: int = 2,
) -> Schedule | None:
    """Return the best schedule that is found in time; None where there is none.

    Args:
        together: the networks and their contention.
        goal: one of `GOALS`.
        transitions: how often each network may change the accelerator at most; None for no bound.
        seconds: for the search; it ends earlier where it finds nothing new.
        workers: threads of the solver.

    Raises:
        OptionError: the goal is unknown, or `transitions` is negative.
        DependencyError: OR-Tools is not installed.
    """
    if goal not in GOALS:
        raise OptionError(f"goal={goal!r} is unknown: choose from {', '.join(GOALS)}")
    if transitions is not None and transitions < 0:
        raise OptionError(f"transitions={transitions}: a mapping has 0 transitions or more")
    until = time.monotonic() + seconds
    tried = {chosen: schedule_of(together, chosen) for chosen in _whole(together)}
    bound, factors = math.nan, dict[tuple[Task, int], float]()
    for _ in range(ROUNDS):
        program = Program(together, transitions, factors)
        if tried:
            program.hint(min(tried.values(), key=lambda each: _value(each, goal)))
        found = program.solve(goal, (until - time.monotonic()) * SOLVER_SHARE, workers)
        if found is None:
            break
        bound = found.bound if math.isnan(bound) else bound
        known = tried.get(found.chosen)
        schedule = schedule_of(together, found.chosen, found.order)
        if known is None or _value(schedule, goal) < _value(known, goal):
            tried[found.chosen] = schedule
        if known is not None:
            break
        factors = _factors(together, schedule)
    starts = sorted(tried.values(), key=lambda each: _value(each, goal))[:STARTS]
    ends = [_polished(together, each, goal, transitions, until) for each in starts]
    best = min(ends, key=lambda each: _value(each, goal), default=None)
    return best and replace(best, bound=bound)


def schedule_of(
    together: Together,
    chosen: Chosen,
    order: Iterable[Task] | None = None,
) -> Schedule:
    """Return the schedule of given mappings.

    Args:
        together: the networks and their contention.
        chosen: [N, G] the position of the accelerator of each group.
        order: all groups; each resource runs its own in this order. The networks take turns where
            it is not given.
    """
    steps = together.steps(chosen)
    turns = sorted(steps, key=lambda task: task[::-1]) if order is None else order
    times = times_of(steps, turns, together.contention)
    names = [
        tuple(costs.accelerators[at] for at in where)
        for costs, where in zip(together.networks, chosen, strict=True)
    ]
    runs = [Run(*task, names[task[0]][task[1]], *times[task]) for task in times]
    return Schedule(
        mappings=tuple(Mapping.of_groups(each) for each in names),
        chosen=chosen,
        runs=tuple(sorted(runs, key=lambda run: (run.start_s, run.end_s, run.network))),
        finish_s=tuple(times[n, len(each) - 1][1] for n, each in enumerate(names)),
        bound=math.nan,
    )


def _value(schedule: Schedule, goal: str) -> float:
    """Return what a goal makes least: seconds, or the negative of batches per second."""
    return schedule.makespan_s if goal == "makespan" else -schedule.batches_s


def _factors(together: Together, schedule: Schedule) -> dict[tuple[Task, int], float]:
    """Return how much longer groups take than alone, where they ran and where they did not."""
    steps = together.steps(schedule.chosen)
    took_s = {(run.network, run.group): run.end_s - run.start_s for run in schedule.runs}
    byte_s = dict.fromkeys((step.resource for step in steps.values()), 0.0)
    for step in steps.values():
        byte_s[step.resource] += step.byte_s * step.alone_s / schedule.makespan_s
    factors = {}
    for (network, group), step in steps.items():
        for at, resource in enumerate(together.resources[network]):
            own = together.byte_s(network, group, at)
            others = sum(each for name, each in byte_s.items() if name != resource)
            factors[(network, group), at] = together.contention.slowdown(own, others)
        if step.alone_s > 0:
            at = schedule.chosen[network][group]
            factors[(network, group), at] = took_s[network, group] / step.alone_s
    return factors


def _whole(together: Together) -> Iterator[Chosen]:
    """Yield the assignments of whole networks to accelerators that run all of their groups."""
    wholes = [
        [
            (at,) * costs.groups
            for at in range(len(costs.accelerators))
            if math.isfinite(costs.of((at,) * costs.groups)[0])
        ]
        for costs in together.networks
    ]
    yield from product(*wholes)


def _polished(
    together: Together, schedule: Schedule, goal: str, transitions: int | None, until: float
) -> Schedule:
    """Return the end of the way of single improvements that begins at a schedule."""
    better: Schedule | None = schedule
    while better is not None and time.monotonic() < until:
        schedule = better
        better = next(_improved(together, schedule, goal, transitions), None)
    return schedule


def _ahead(order: list[tuple[int, int]], network: int) -> list[tuple[int, int]]:
    """Return the tasks (network, group) by group, those of one network before all others."""
    return sorted(order, key=lambda task: (task[0] != network, task[1]))


def _improved(
    together: Together, schedule: Schedule, goal: str, transitions: int | None
) -> Iterator[Schedule]:
    """Yield better schedules that differ by the place of one group, or by the order."""
    order = [(run.network, run.group) for run in schedule.runs]
    ahead = [_ahead(order, network) for network in range(len(together.networks))]
    least = _value(schedule, goal)
    for chosen, turns in chain(
        product(
            (schedule.chosen, *_moved(together, schedule.chosen, transitions)), (order, *ahead)
        ),
        ((schedule.chosen, swapped) for swapped in _swapped(together, schedule)),
    ):
        found = schedule_of(together, chosen, turns)
        if _value(found, goal) < least - 1e-9 * abs(least):
            yield found


def _moved(together: Together, chosen: Chosen, transitions: int | None) -> Iterator[Chosen]:
    """Yield the assignments that differ by one group, as far as they are possible."""
    for network, where in enumerate(chosen):
        costs = together.networks[network]
        for group, now in enumerate(where):
            for at in range(len(costs.accelerators)):
                moved = (*where[:group], at, *where[group + 1 :])
                changes = sum(a != b for a, b in pairwise(moved))
                if at == now or changes > (costs.groups if transitions is None else transitions):
                    continue
                if math.isfinite(costs.of(moved)[0]):
                    yield (*chosen[:network], moved, *chosen[network + 1 :])


def _swapped(together: Together, schedule: Schedule) -> Iterator[list[Task]]:
    """Yield the orders that differ by two groups of different networks on one resource."""
    order = [(run.network, run.group) for run in schedule.runs]
    steps = together.steps(schedule.chosen)
    for resource in {step.resource for step in steps.values()}:
        places = [at for at, task in enumerate(order) if steps[task].resource == resource]
        for first, second in pairwise(places):
            between = order[first + 1 : second]
            one, other = order[first], order[second]
            if one[0] != other[0] and all(task[0] != other[0] for task in between):
                yield [*order[:first], other, one, *between, *order[second + 1 :]]
