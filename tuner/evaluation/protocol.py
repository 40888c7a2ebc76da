"""One protocol for all tuners: same space, contexts, seeds, start and budget; every measurement is counted, the first one too.

Letters: B contexts (what one case was about), S seeds, M measurements of one run, T tenants, A accelerators.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from envs.arrays import FloatArray, Placements
from envs.errors import ConfigurationError, OptionError
from envs.problems.problem import Problem
from envs.spec.measurement import MeasurementBatch, Outcome
from envs.spec.objective import Objective, verdict_of
from envs.spec.space import Configuration, ConfigurationSpace
from tuner.evaluation.cases import Best, Case, Cases
from tuner.search.protocol import Tuner

#: Measurements after which tuners are compared.
BUDGETS = (1, 3, 5, 8, 15, 30, 50, 100)


@dataclass(frozen=True)
class Run:
    """One tuner on one problem, measurement by measurement.

    Attributes:
        placements: [M, T, A, 2], what was measured.
        score_ips, violation: [M], as `Problem.judge` gives them.
        cost_s, energy_j: [M], what each try took; energy is NaN where no power was measured.
        throughput_ips, p99_ms: [M, T], NaN where the configuration failed.
        decision_s: [M], what the tuner itself took for each proposal, with what it made of the answer before.
        true_ips, true_violation: [M], score and violation without noise; what was measured, where nobody knows better.
    """

    placements: Placements
    score_ips: FloatArray
    violation: FloatArray
    cost_s: FloatArray
    energy_j: FloatArray
    throughput_ips: FloatArray
    p99_ms: FloatArray
    decision_s: FloatArray
    true_ips: FloatArray
    true_violation: FloatArray

    def __len__(self) -> int:
        return len(self.score_ips)

    def first(self, count: int) -> Run:
        """Its first measurements alone."""
        return (
            self
            if len(self) <= count
            else Run(**{name: values[:count] for name, values in vars(self).items()})
        )


@dataclass(frozen=True)
class Record:
    """A run and whose it is; `context` is the case's position."""

    tuner: str
    context: int
    seed: int
    run: Run


@dataclass(frozen=True)
class Context:
    """What a comparison keeps of a case.

    Attributes:
        candidates: how many configurations there are to choose from.
    """

    name: str
    space: ConfigurationSpace
    objective: Objective
    start: Configuration
    best: Best
    candidates: int
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, case: Case) -> Context:
        problem = case.problem
        count = problem.space.combinations if problem.open else len(problem.candidates)
        # A copy of the space, which keeps no catalogue: one has megabytes, and a comparison remembers all contexts.
        return cls(
            case.name,
            replace(problem.space),
            problem.objective,
            problem.default,
            case.best,
            count,
            case.groups,
        )


@dataclass(frozen=True)
class Comparison:
    """All runs of all tuners.

    Attributes:
        contexts: [B].
        budgets: measurements after which to compare, none above the number of candidates of any context.
        asked_budget: the largest budget that was asked for, before those above the number of candidates were dropped.
    """

    contexts: tuple[Context, ...]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    asked_budget: int
    records: tuple[Record, ...]

    @property
    def tuners(self) -> tuple[str, ...]:
        """Names in the order they were given."""
        return tuple(dict.fromkeys(record.tuner for record in self.records))

    @property
    def exists(self) -> np.ndarray:
        """[B], whether anything keeps the limits."""
        return np.array([context.best.exists for context in self.contexts], dtype=bool)

    @property
    def candidates(self) -> int:
        """Of the median context, so many configurations there are to choose from."""
        return int(np.median([context.candidates for context in self.contexts]))

    @property
    def names(self) -> tuple[str, ...]:
        """[T] of the tenants, where all contexts have the same ones; else numbers."""
        served = {context.space.workload.names for context in self.contexts}
        return (
            served.pop()
            if len(served) == 1
            else tuple(f"tenant{number + 1}" for number in range(max(map(len, served))))
        )

    def runs(self, tuner: str) -> list[list[Run]]:
        """The runs of one tuner, [B][S]."""
        found = {
            (record.context, record.seed): record.run
            for record in self.records
            if record.tuner == tuner
        }
        return [
            [found[context, seed] for seed in self.seeds] for context in range(len(self.contexts))
        ]


def run_tuner(
    tuner: Tuner,
    problem: Problem,
    outcomes: Callable[[Configuration], Outcome],
    budget: int,
    truth: Callable[[Placements], MeasurementBatch] | None = None,
) -> Run:
    """Let a tuner propose `budget` times. ConfigurationError unless it starts from `problem.default`, as everybody does.

    Args:
        truth: what configurations give without noise, where anybody knows.
    """
    tried: list[Configuration] = []
    results: list[Outcome] = []
    decision_s = np.zeros(budget)
    telling_s = 0.0
    for step in range(budget):
        started = time.perf_counter()
        configuration = tuner.ask()
        decision_s[step] = time.perf_counter() - started + telling_s
        if step == 0 and configuration != problem.default:
            asked, default = (
                problem.space.describe(configuration),
                problem.space.describe(problem.default),
            )
            raise ConfigurationError(
                f"{type(tuner).__name__} starts from {asked}: every tuner must first ask for the default, {default}"
            )
        outcome = outcomes(configuration)
        started = time.perf_counter()
        tuner.tell(
            configuration, outcome
        )  # where a tuner fits its model is its own choice, so telling counts as deciding
        telling_s = time.perf_counter() - started
        tried.append(configuration)
        results.append(outcome)
    placements = np.array([configuration.placements for configuration in tried], dtype=np.int16)
    weights, limits = np.array(problem.space.workload.weights), problem.objective
    batch = MeasurementBatch.of(results, problem.space.shape[0])
    judged = verdict_of(batch, weights, limits)
    true = judged if truth is None else verdict_of(truth(placements), weights, limits)
    return Run(
        placements=placements,
        score_ips=judged.score_ips,
        violation=judged.violation,
        cost_s=np.nan_to_num(batch.cost_s, nan=0.0),
        energy_j=_energy_j(batch),
        throughput_ips=batch.throughput_ips,
        p99_ms=batch.p99_ms,
        decision_s=decision_s,
        true_ips=true.score_ips,
        true_violation=true.violation,
    )


def _energy_j(batch: MeasurementBatch) -> FloatArray:
    """A failed try drew power too: it counts with the mean power of the run, or failing would look cheap."""
    known = np.isfinite(batch.power_w)
    if not known.any():
        return np.full(len(batch), np.nan)
    return np.where(
        known, batch.energy_j, batch.power_w[known].mean() * np.nan_to_num(batch.cost_s, nan=0.0)
    )


def usable_budgets(budgets: Sequence[int], candidates: int) -> tuple[int, ...]:
    """Budgets in ascending order without those above the number of candidates."""
    if not budgets or min(budgets) < 1:
        raise OptionError(f"budgets={list(budgets)} must be whole numbers from 1")
    kept = tuple(sorted({budget for budget in budgets if budget <= candidates}))
    return kept or (candidates,)


Factories = Mapping[str, Callable[[Problem], Tuner]]


def compare(
    factories: Factories,
    cases: Cases | Sequence[Case],
    seeds: Sequence[int],
    budgets: Sequence[int] = BUDGETS,
    max_budget: Mapping[str, int] | None = None,
    progress: Callable[[str], object] | None = None,
    jobs: int = 1,
) -> Comparison:
    """Run every tuner on every case with every seed.

    Args:
        max_budget: fewer measurements for tuners that would take too long to think about more.
        progress: told the name of the case after each.
        jobs: processes; with more than one, `factories` and `cases` travel there, and cases are built there.

    Raises:
        OptionError: there is nothing to compare.
    """
    if not factories or not len(cases) or not seeds:
        raise OptionError("a comparison needs at least one tuner, one objective and one seed")
    most = {name: (max_budget or {}).get(name, max(budgets, default=0)) for name in factories}
    contexts, records = [], []
    for index, (context, runs) in enumerate(
        _every(factories, cases, tuple(seeds), tuple(budgets), most, jobs)
    ):
        contexts.append(context)
        records += [replace(each, context=index) for each in runs]
        if progress is not None:
            progress(context.name)
    kept = usable_budgets(budgets, min(context.candidates for context in contexts))
    return Comparison(
        contexts=tuple(contexts),
        seeds=tuple(seeds),
        budgets=kept,
        asked_budget=max(budgets),
        records=tuple(
            sorted(
                (replace(each, run=each.run.first(kept[-1])) for each in records),
                key=lambda each: list(factories).index(each.tuner),
            )
        ),
    )


def _every(
    factories: Factories,
    cases: Cases | Sequence[Case],
    seeds: tuple[int, ...],
    budgets: tuple[int, ...],
    most: Mapping[str, int],
    jobs: int,
) -> Iterator[tuple[Context, list[Record]]]:
    """What `_one` gives of each case, in order."""
    count = len(cases)
    if jobs < 2 or count < 2:
        yield from map(
            _one,
            *(itertools.repeat(each, count) for each in (factories, cases, seeds, budgets, most)),
            range(count),
        )
        return
    # Processes that are begun afresh: a fork would copy threads that draw the progress bar.
    with ProcessPoolExecutor(
        min(jobs, count), mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        yield from pool.map(
            _one,
            *(itertools.repeat(each, count) for each in (factories, cases, seeds, budgets, most)),
            range(count),
        )


def _one(
    factories: Factories,
    cases: Cases | Sequence[Case],
    seeds: tuple[int, ...],
    budgets: tuple[int, ...],
    most: Mapping[str, int],
    index: int,
) -> tuple[Context, list[Record]]:
    """All runs on one case."""
    case = cases[index]
    context = Context.of(case)
    longest = usable_budgets(budgets, context.candidates)[-1]
    records = []
    for name, factory in factories.items():
        for seed in seeds:
            # Seeds differ between cases too: one unlucky order of trials must not decide all of them.
            problem = replace(case.problem, seed=seed * len(cases) + index)
            run = run_tuner(
                factory(problem), problem, case.session(seed), min(longest, most[name]), case.truth
            )
            records.append(Record(name, index, seed, run))
    return context, records
