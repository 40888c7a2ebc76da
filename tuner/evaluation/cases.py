"""Cases to compare tuners on: problems with their outcomes and their best configurations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from envs.arrays import Placements
from envs.errors import OptionError
from envs.problems.problem import Problem
from envs.problems.trace_world import trace_model
from envs.problems.world import starting_row
from envs.simulator.device_model import DeviceModel
from envs.spec import Configuration, MeasurementBatch, Objectives, Outcome, verdict_of
from envs.traces.reader import Trace
from tuner.search.oracle import best_scores

#: One run: gives the outcome of a configuration. It remembers which one was applied before, and how
#: often each was measured.
Session = Callable[[Configuration], Outcome]


@dataclass(frozen=True)
class Best:
    """The best configuration of a case.

    Attributes:
        configuration: the best one; where none is feasible, the least violating one.
        score: its score.
        violation: how far it breaks a limit, 0 where `exists`.
        exists: True if some configuration keeps all limits.
        method: `exhaustive`, or `searched` where the space is too large to look at all of it.
    """

    configuration: Configuration
    score: float
    violation: float
    exists: bool
    method: str


@dataclass(frozen=True)
class Case:
    """One problem to compare tuners on.

    Attributes:
        name: the case in words.
        problem: all that the tuners know.
        session: begins a run with a seed; the same seed answers all tuners alike.
        best: the best configuration.
        truth: gives the outcomes of configurations [N, T, A, 2] without noise; None where only
            measurements are known.
        groups: the values of `board`, `network` and `tenants`, for breakdowns.
    """

    name: str
    problem: Problem
    session: Callable[[int], Session]
    best: Best
    truth: Callable[[Placements], MeasurementBatch] | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Cases(Protocol):
    """Cases in order, each built on demand: a large one takes a second and some 100 MB."""

    @property
    def trace(self) -> Trace | None:
        """Return the trace that is replayed; None where cases are simulated."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Case: ...


@dataclass(frozen=True)
class TraceCases:
    """The same trace under different objectives [B]; every outcome is the recorded one.

    Attributes:
        trace: the recording.
        objectives: one for each case.

    Raises:
        ObjectiveError: an objective cannot be judged on this trace.
    """

    trace: Trace
    objectives: Objectives

    def __post_init__(self) -> None:
        for index in range(len(self)):
            self.objectives.row(index).check_measurable(
                self.trace.has_power, f"{self.trace.path.name} was recorded without a power sensor"
            )

    def __len__(self) -> int:
        return len(self.objectives)

    def __getitem__(self, index: int) -> Case:
        space, weights = self.trace.space, np.array(self.trace.space.workload.weights)
        objective = self.objectives.row(index)
        start = starting_configuration(self.trace)
        problem = Problem(
            space,
            self.trace.placements,
            objective,
            start,
            model=self.model,
        )
        row, score, exists = best_scores(self.trace.batch, weights, objective.batch())
        violation = verdict_of(self.trace.batch.take(row), weights, objective).violation
        answer = Configuration.of(self.trace.placements[row[0]])
        best = Best(answer, float(score[0]), float(violation[0]), bool(exists[0]), "exhaustive")
        groups = {
            "board": (space.device.name,),
            "network": space.workload.names,
            "tenants": (str(space.shape[0]),),
        }
        return Case(
            objective.describe(space.workload.names),
            problem,
            lambda _: self.trace.outcome,
            best,
            groups=groups,
        )

    @cached_property
    def model(self) -> DeviceModel | None:
        """Return the device model; None for a device that is not in the catalogue."""
        try:
            return trace_model(self.trace)
        except OptionError:
            return None


def starting_configuration(trace: Trace) -> Configuration:
    """Return the default of every tuner, see `envs.problems.world.starting_row`."""
    return Configuration.of(
        trace.placements[starting_row(trace.space, trace.placements, trace.batch.failed)]
    )
