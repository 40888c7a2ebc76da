"""Run several networks at once, group by group, and compare with one accelerator for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from envs.errors import OptionError, require_positive
from envs.optional import optional_import
from envs.simulator.parameters import nominal
from tuner.map_answer import LayerMap
from tuner.placement.schedules import GOALS, best_schedule, schedule_of
from tuner.placement.schedules_data import Contention, Schedule, Together


@dataclass(frozen=True)
class ScheduleRequest:
    """Say how a schedule is searched.

    Attributes:
        goal: makespan (least time until all networks are done) or throughput (most batches per
            second).
        seconds: for the search, at most.
    """

    goal: str = GOALS[0]
    seconds: float = 8.0

    def check(self) -> None:
        """Check the request before a network is read.

        Raises:
            OptionError: a value cannot be used.
            DependencyError: OR-Tools is not installed.
        """
        if self.goal not in GOALS:
            raise OptionError(f"goal={self.goal} is unknown: choose from {', '.join(GOALS)}")
        require_positive("schedule", self, "seconds")
        optional_import("ortools.sat.python.cp_model", "schedules")


@dataclass(frozen=True)
class Scheduled:
    """A schedule of several networks; all numbers are simulated, by the device model.

    Attributes:
        names: [N] of the networks.
        goal: see `ScheduleRequest`.
        schedule: the best one that was found.
        whole: the best one that runs each network on one accelerator; None where there is none.
    """

    names: tuple[str, ...]
    goal: str
    schedule: Schedule
    whole: Schedule | None

    @property
    def gain(self) -> float | None:
        """Return the share by which it beats `whole`: of the time, or more batches per second."""
        if self.whole is None:
            return None
        if self.goal == "makespan":
            return 1 - self.schedule.makespan_s / self.whole.makespan_s
        return self.schedule.batches_s / self.whole.batches_s - 1


def scheduled(maps: Sequence[LayerMap], request: ScheduleRequest) -> Scheduled:
    """Return the schedule of networks that were mapped on one board.

    Args:
        maps: at least two.
        request: how to search.

    Raises:
        OptionError: no schedule was found in time.
        DependencyError: OR-Tools is not installed.
    """
    machine = maps[0].request.machine
    contention = Contention.of(machine, nominal(machine.architecture))
    together = Together(tuple(each.costs for each in maps), contention)
    transitions = maps[0].request.max_transitions
    found = best_schedule(together, request.goal, transitions, request.seconds)
    if found is None:
        raise OptionError(
            f"no schedule of these networks was found in {request.seconds:g} s: give --seconds more"
        )
    wholes = [
        schedule_of(together, chosen)
        for chosen in product(*([each.chosen for each in one.singles] for one in maps))
    ]
    key = _seconds if request.goal == "makespan" else _rate
    whole = min(wholes, key=key, default=None)
    return Scheduled(tuple(each.costs.network for each in maps), request.goal, found, whole)


def _seconds(schedule: Schedule) -> float:
    return schedule.makespan_s


def _rate(schedule: Schedule) -> float:
    return -schedule.batches_s
