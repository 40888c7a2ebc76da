"""The schedule of several networks as a constraint program, for OR-Tools' CP-SAT solver.

Times are whole ticks. A Boolean for each group and accelerator says where it runs. Groups of a
network follow each other; those on one resource exclude each other in time. Contention is not a
part of the program: the times of groups are given to it, see `schedules`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from envs.optional import optional_import
from tuner.placement.schedules_data import Schedule, Task, Together

#: Ticks of all networks one after the other, each group where it is slowest.
TICKS = 20_000

#: Numerator of the rates that throughput adds up, in ticks.
RATE = TICKS * 1000

#: The extra that installs the solver.
EXTRA = "schedules"

#: How much longer than alone a group takes beside others, by accelerator; 1 where it is not given.
Factors = Mapping[tuple[Task, int], float]


class Solution(NamedTuple):
    """A schedule that the solver found.

    Attributes:
        chosen: [N, G] positions of accelerators.
        order: the groups by their start.
        bound: no schedule with these times of groups has a lower makespan [s], or a higher rate
            [batches/s].
    """

    chosen: tuple[tuple[int, ...], ...]
    order: tuple[Task, ...]
    bound: float


class Program:
    """The constraint program of some networks, whose groups take given times.

    Args:
        together: the networks.
        transitions: how often each may change the accelerator at most; None for no bound.
        factors: on the times of groups that run alone.
    """

    def __init__(
        self, together: Together, transitions: int | None, factors: Factors | None = None
    ) -> None:
        self._cp = optional_import("ortools.sat.python.cp_model", EXTRA)
        self._model = self._cp.CpModel()
        self._together, self._factors = together, factors or {}
        self._tick_s = _longest_s(together) / TICKS
        #: For each group: the Booleans of its accelerators by position, its start and its end.
        self._at: dict[Task, dict[int, Any]] = {}
        self._start: dict[Task, Any] = {}
        self._end: dict[Task, Any] = {}
        self._on: dict[str, list[Any]] = {}
        for network in range(len(together.networks)):
            self._add_network(network, transitions)
        for intervals in self._on.values():
            self._model.add_no_overlap(intervals)

    def hint(self, schedule: Schedule) -> None:
        """Let the search begin near a known schedule, whose times may be other ones."""
        for run in schedule.runs:
            task = run.network, run.group
            self._model.add_hint(self._start[task], int(run.start_s / self._tick_s))
            for at, here in self._at[task].items():
                self._model.add_hint(here, at == schedule.chosen[run.network][run.group])

    def solve(self, goal: str, seconds: float, workers: int) -> Solution | None:
        """Return the best schedule that is found in time; None where there is none."""
        networks = self._together.networks
        finish = [self._end[n, costs.groups - 1] for n, costs in enumerate(networks)]
        if goal == "makespan":
            makespan = self._time("makespan")
            for each in finish:
                self._model.add(makespan >= each)
            self._model.minimize(makespan)
        else:
            self._model.maximize(sum(self._rate(each) for each in finish))
        solver = self._cp.CpSolver()
        solver.parameters.max_time_in_seconds = seconds
        solver.parameters.num_workers = workers
        solver.parameters.random_seed = 0
        status = solver.solve(self._model)
        if status not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return None
        chosen = tuple(
            tuple(
                next(at for at, here in self._at[n, group].items() if solver.value(here))
                for group in range(costs.groups)
            )
            for n, costs in enumerate(networks)
        )
        times = {
            task: (solver.value(start), solver.value(self._end[task]), task)
            for task, start in self._start.items()
        }
        bound = solver.best_objective_bound
        if goal == "makespan":
            bound *= self._tick_s
        else:  # each rate was rounded down
            bound = (bound + len(networks)) / RATE / self._tick_s
        return Solution(chosen, tuple(sorted(times, key=times.__getitem__)), bound)

    def _time(self, name: str) -> Any:
        return self._model.new_int_var(0, 2 * TICKS, name)

    def _rate(self, finish: Any) -> Any:
        rate = self._model.new_int_var(0, RATE, "rate")
        positive = self._model.new_int_var(1, 2 * TICKS, "finish")
        self._model.add(positive >= finish)
        self._model.add_division_equality(rate, RATE, positive)
        return rate

    def _ticks(self, task: Task, before: int | None, at: int) -> int | None:
        """Return the length of a group; None where nothing goes from one place to the other.

        It is rounded down, so that the bound holds.
        """
        seconds = self._together.alone_s(*task, before, at)
        if not math.isfinite(seconds):
            return None
        return int(seconds * self._factors.get((task, at), 1.0) / self._tick_s)

    def _add_network(self, network: int, transitions: int | None) -> None:
        """Add the groups of a network, where each may run, and the transitions between them."""
        model, costs = self._model, self._together.networks[network]
        changes: list[Any] = []
        for group in range(costs.groups):
            task = network, group
            here = {
                at: model.new_bool_var(f"{task} at {at}")
                for at in range(len(costs.accelerators))
                if math.isfinite(costs.time_s[group, at] + (costs.start_s[at] if not group else 0))
            }
            model.add_exactly_one(here.values())
            self._at[task], self._start[task] = here, self._time(f"start {task}")
            self._end[task] = self._time(f"end {task}")
            if group:
                model.add(self._start[task] >= self._end[network, group - 1])
            for at, there in here.items():
                length = self._length(task, at, changes)
                interval = model.new_optional_interval_var(
                    self._start[task], length, self._end[task], there, f"{task} on {at}"
                )
                resource = self._together.resources[network][at]
                self._on.setdefault(resource, []).append(interval)
        if transitions is not None:
            model.add(sum(changes) <= transitions)

    def _length(self, task: Task, at: int, changes: list[Any]) -> Any:
        """Return the length of a group at one place, and add the transitions that lead there."""
        model, (network, group) = self._model, task
        if not group:
            return self._ticks(task, None, at)
        stay = self._ticks(task, at, at) or 0
        length: Any = stay
        for before, there in self._at[network, group - 1].items():
            if before == at:
                continue
            ticks = self._ticks(task, before, at)
            if ticks is None:
                model.add_bool_or(~there, ~self._at[task][at])
                continue
            change = model.new_bool_var(f"{task} from {before} to {at}")
            model.add_implication(change, there)
            model.add_implication(change, self._at[task][at])
            model.add_bool_or(~there, ~self._at[task][at], change)
            length = length + (ticks - stay) * change
            changes.append(change)
        variable = self._time(f"length {task} at {at}")
        model.add(variable == length)
        return variable


def _longest_s(together: Together) -> float:
    """Return the time of all networks one after the other, each group where it is slowest."""
    total = 0.0
    for costs in together.networks:
        for part in (costs.time_s, costs.transition_s, costs.start_s[None], costs.end_s[None]):
            finite = np.where(np.isfinite(part), part, 0.0)
            total += float(finite.reshape(len(part), -1).max(axis=1).sum())
    return total
