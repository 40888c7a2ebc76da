"""One protocol for all tuners: same space, cases, seeds, start and budgets.

Every measurement counts, the first one too.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from envs.arrays import FloatArray, Placements
from envs.errors import ConfigurationError, OptionError
from envs.problems.problem import Problem
from envs.spec import Configuration, MeasurementBatch, Outcome, verdict_of
from tuner.evaluation.cases import Case, Cases
from tuner.evaluation.comparison import ComparedCase, Comparison, Record, Run
from tuner.search.protocol import Tuner

#: Measurements after which tuners are compared.
BUDGETS = (1, 3, 5, 8, 15, 30, 50, 100)

#: A new tuner for a problem, by the tuner's name.
Factories = Mapping[str, Callable[[Problem], Tuner]]


def run_tuner(
    tuner: Tuner,
    problem: Problem,
    measure: Callable[[Configuration], Outcome],
    budget: int,
    truth: Callable[[Placements], MeasurementBatch] | None = None,
) -> Run:
    """Let a tuner propose `budget` configurations and tell it their outcomes.

    Args:
        tuner: a new one.
        problem: the problem it was made for.
        measure: gives the outcome of a configuration.
        budget: number of measurements.
        truth: outcomes without noise of [N, T, A, 2], where they are known.

    Raises:
        ConfigurationError: the tuner does not start from the default, as every tuner must.
    """
    tried: list[Configuration] = []
    outcomes: list[Outcome] = []
    decision_s = np.zeros(budget)
    learning_s = 0.0
    for step in range(budget):
        started = time.perf_counter()
        configuration = tuner.ask()
        decision_s[step] = time.perf_counter() - started + learning_s
        if step == 0 and configuration != problem.default:
            raise ConfigurationError(
                f"{type(tuner).__name__} starts from {problem.space.describe(configuration)}:"
                " every tuner must first ask for the default,"
                f" {problem.space.describe(problem.default)}"
            )
        tried.append(configuration)
        outcomes.append(measure(configuration))
        started = time.perf_counter()
        tuner.tell(configuration, outcomes[-1])
        learning_s = time.perf_counter() - started  # a tuner may fit its model here or in `ask`
    placements = np.array([configuration.placements for configuration in tried], dtype=np.int16)
    weights = np.array(problem.space.workload.weights)
    batch = MeasurementBatch.of(outcomes, problem.space.shape[0])
    judged = verdict_of(batch, weights, problem.objective)
    true = judged if truth is None else verdict_of(truth(placements), weights, problem.objective)
    return Run(
        placements=placements,
        score=judged.score,
        violation=judged.violation,
        cost_s=_cost_s(batch),
        energy_j=_energy_j(batch),
        throughput_ips=batch.throughput_ips,
        p99_ms=batch.p99_ms,
        decision_s=decision_s,
        true_score=true.score,
        true_violation=true.violation,
    )


def _cost_s(batch: MeasurementBatch) -> FloatArray:
    """Return the seconds of each try; NaN in all where none was recorded."""
    if np.isnan(batch.cost_s[~batch.failed]).all():
        return np.full(len(batch), np.nan)
    return np.nan_to_num(batch.cost_s, nan=0.0)


def _energy_j(batch: MeasurementBatch) -> FloatArray:
    """Return the energy of each try; a failed one counts with the mean power of the run."""
    read = np.isfinite(batch.power_w)
    if not read.any():
        return np.full(len(batch), np.nan)
    mean_w = batch.power_w[read].mean()
    return np.where(read, batch.energy_j, mean_w * np.nan_to_num(batch.cost_s, nan=0.0))


def usable_budgets(budgets: Sequence[int], candidates: int) -> tuple[int, ...]:
    """Return the budgets, ascending, without those above the number of candidates."""
    if not budgets or min(budgets) < 1:
        raise OptionError(f"budgets={list(budgets)} must be whole numbers from 1")
    kept = tuple(sorted({budget for budget in budgets if budget <= candidates}))
    return kept or (candidates,)


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
        factories: of the tuners.
        cases: to run them on.
        seeds: runs of each tuner on each case.
        budgets: measurements after which to compare.
        max_budget: fewer measurements for tuners that take long to decide, by name.
        progress: called with the name of each case that is done.
        jobs: processes; with more than one, `factories` and `cases` must be picklable.

    Raises:
        OptionError: there is nothing to compare.
    """
    if not factories or not len(cases) or not seeds:
        raise OptionError("a comparison needs at least one tuner, one objective and one seed")
    longest = {name: (max_budget or {}).get(name, max(budgets, default=0)) for name in factories}
    run = partial(_run_case, factories, cases, tuple(seeds), tuple(budgets), longest)
    compared, records = [], []
    for case, runs in _run_all(run, len(cases), jobs):
        compared.append(case)
        records += runs
        if progress is not None:
            progress(case.name)
    kept = usable_budgets(budgets, min(case.candidates for case in compared))
    order = list(factories)
    shortened = (replace(each, run=each.run.first(kept[-1])) for each in records)
    return Comparison(
        cases=tuple(compared),
        seeds=tuple(seeds),
        budgets=kept,
        requested_budget=max(budgets),
        records=tuple(sorted(shortened, key=lambda each: order.index(each.tuner))),
    )


CaseRuns = tuple[ComparedCase, list[Record]]


def _run_all(run: Callable[[int], CaseRuns], count: int, jobs: int) -> Iterator[CaseRuns]:
    if jobs < 2 or count < 2:
        yield from map(run, range(count))
        return
    # New processes: a fork would copy threads that draw the progress bar.
    with ProcessPoolExecutor(
        min(jobs, count), mp_context=multiprocessing.get_context("spawn")
    ) as executor:
        yield from executor.map(run, range(count))


def _run_case(
    factories: Factories,
    cases: Cases | Sequence[Case],
    seeds: tuple[int, ...],
    budgets: tuple[int, ...],
    longest: Mapping[str, int],
    index: int,
) -> CaseRuns:
    case = cases[index]
    compared = ComparedCase.of(case)
    most = usable_budgets(budgets, compared.candidates)[-1]
    records = []
    for name, factory in factories.items():
        for seed in seeds:
            # Cases get different seeds: one unlucky order of trials must not decide all of them.
            problem = replace(case.problem, seed=seed * len(cases) + index)
            budget = min(most, longest[name])
            run = run_tuner(factory(problem), problem, case.session(seed), budget, case.truth)
            records.append(Record(name, index, seed, run))
    return compared, records
