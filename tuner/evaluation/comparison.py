"""The runs of tuners on cases, measurement by measurement.

Shapes name their axes where no letter of `envs.arrays` fits: [cases, seeds, measurements].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from envs.arrays import BoolArray, FloatArray, Placements
from envs.spec import Configuration, ConfigurationSpace, Goal, Objective
from tuner.evaluation.cases import Best, Case


@dataclass(frozen=True)
class Run:
    """One tuner on one case; every array has a row for each measurement.

    Attributes:
        placements: [measurements, T, A, 2], the configurations that were measured.
        score, violation: as `Problem.judge` gives them.
        cost_s: time of each try; NaN where no time was recorded.
        energy_j: energy of each try; NaN where no power was measured, or no time.
        throughput_ips, p99_ms: [measurements, T], NaN where the configuration failed.
        decision_s: time the tuner took for each proposal, and to learn from the outcome before.
        true_score, true_violation: score and violation without noise where the truth is known, else
            as measured.
    """

    placements: Placements
    score: FloatArray
    violation: FloatArray
    cost_s: FloatArray
    energy_j: FloatArray
    throughput_ips: FloatArray
    p99_ms: FloatArray
    decision_s: FloatArray
    true_score: FloatArray
    true_violation: FloatArray

    def __len__(self) -> int:
        return len(self.score)

    def first(self, count: int) -> Run:
        """Return the run up to `count` measurements."""
        return Run(**{name: values[:count] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Record:
    """A run with the name of its tuner, the position of its case, and its seed."""

    tuner: str
    case: int
    seed: int
    run: Run


@dataclass(frozen=True)
class ComparedCase:
    """The part of a case that a comparison keeps.

    Attributes:
        name: the case in words.
        space, objective, start: of its problem.
        best: the best configuration there is.
        candidates: number of configurations to choose from.
        groups: see `Case`.
    """

    name: str
    space: ConfigurationSpace
    objective: Objective
    start: Configuration
    best: Best
    candidates: int
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, case: Case) -> ComparedCase:
        """Return the part of a case that is kept."""
        problem = case.problem
        count = problem.space.combinations if problem.open else len(problem.candidates)
        # A copy of the space has no catalogue, which takes megabytes a case.
        space = replace(problem.space)
        return cls(
            case.name, space, problem.objective, problem.default, case.best, count, case.groups
        )


@dataclass(frozen=True)
class Comparison:
    """All runs of all tuners.

    Attributes:
        cases: the cases, in order.
        seeds: every tuner ran on every case with each of them.
        budgets: measurements after which tuners are compared, none above the number of candidates
            of any case.
        requested_budget: the largest budget before those above that number were dropped.
        records: all runs, tuner by tuner.
    """

    cases: tuple[ComparedCase, ...]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    requested_budget: int
    records: tuple[Record, ...]

    @property
    def tuners(self) -> tuple[str, ...]:
        """Return the names of the tuners in the order they were given."""
        return tuple(dict.fromkeys(record.tuner for record in self.records))

    @property
    def exists(self) -> BoolArray:
        """Return [cases], True where some configuration keeps the limits."""
        return np.array([case.best.exists for case in self.cases], dtype=bool)

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Return the goals of the cases, each once."""
        return tuple(dict.fromkeys(case.objective.goal for case in self.cases))

    @property
    def candidates(self) -> int:
        """Return the number of configurations to choose from in the median case."""
        return int(np.median([case.candidates for case in self.cases]))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the tenants' names [T]; numbers where cases serve different networks."""
        served = {case.space.workload.names for case in self.cases}
        if len(served) == 1:
            return served.pop()
        return tuple(f"tenant{number + 1}" for number in range(max(map(len, served))))

    def without(self, names: Collection[str]) -> Comparison:
        """Return the comparison without some tuners."""
        kept = tuple(record for record in self.records if record.tuner not in names)
        return replace(self, records=kept)

    def runs(self, tuner: str) -> list[list[Run]]:
        """Return the runs of one tuner, a list for each case with a run for each seed."""
        found = {
            (record.case, record.seed): record.run
            for record in self.records
            if record.tuner == tuner
        }
        return [[found[case, seed] for seed in self.seeds] for case in range(len(self.cases))]

    def budget(self, tuner: str) -> int:
        """Return the number of measurements in each run of a tuner."""
        return next(len(record.run) for record in self.records if record.tuner == tuner)
