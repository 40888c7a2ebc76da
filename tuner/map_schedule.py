"""Run several networks at once, group by group, and compare with one accelerator for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from envs.errors import OptionError, require_positive
from envs.mappings.costs import GroupCosts
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

    Where the board has two DLA cores and nobody named the accelerators, each network has one of the
    cores, in every way that uses both; the seconds are shared out among these ways.

    Args:
        maps: at least two.
        request: how to search.

    Raises:
        OptionError: no schedule was found in time.
        DependencyError: OR-Tools is not installed.
    """
    mapped = maps[0].request
    contention = Contention.of(mapped.machine, nominal(mapped.machine.architecture))
    ways = [Together(costs, contention) for costs in on_cores(maps, mapped.dla_cores())]
    seconds = request.seconds / len(ways)
    searched = [best_schedule(each, request.goal, mapped.max_transitions, seconds) for each in ways]
    key = _seconds if request.goal == "makespan" else _rate
    known = [each for each in searched if each is not None]
    if not known:
        raise OptionError(
            f"no schedule of these networks was found in {request.seconds:g} s: give --seconds more"
        )
    wholes = [
        schedule_of(together, chosen)
        for together in ways
        for chosen in product(*([each.chosen for each in one.singles] for one in maps))
    ]
    loosest = np.min if request.goal == "makespan" else np.max
    bound = float(loosest([math.nan if each is None else each.bound for each in searched]))
    found = replace(min(known, key=key), bound=bound)
    whole = min(wholes, key=key, default=None)
    return Scheduled(tuple(each.costs.network for each in maps), request.goal, found, whole)


def on_cores(maps: Sequence[LayerMap], cores: Sequence[str]) -> list[tuple[GroupCosts, ...]]:
    """Return the costs of N networks for each way of giving them DLA cores that are alike.

    The first network has the first core. Ways that leave a core idle are no better than others and
    are left out.

    Args:
        maps: [N], on the first of the cores, or without a DLA.
        cores: their names; one or none leaves the costs as they are.
    """
    given = tuple(each.costs for each in maps)
    if len(cores) < 2 or len(given) < 2:
        return [given]
    return [
        tuple(
            replace(
                costs,
                accelerators=tuple(
                    core if name == cores[0] else name for name in costs.accelerators
                ),
            )
            for costs, core in zip(given, (cores[0], *others), strict=True)
        )
        for others in product(cores, repeat=len(given) - 1)
        if len({cores[0], *others}) == min(len(cores), len(given))
    ]


def _seconds(schedule: Schedule) -> float:
    return schedule.makespan_s


def _rate(schedule: Schedule) -> float:
    return -schedule.batches_s
