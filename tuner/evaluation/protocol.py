"""One protocol for all tuners: same space, contexts, seeds, start and budget; every measurement is counted, the first one too.

Letters: B contexts (objectives), S seeds, M measurements of one run, N candidates, T tenants.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.configuration import Configuration
from envs.errors import ConfigurationError, OptionError
from envs.measurement import FloatArray, MeasurementBatch, Outcome
from envs.objective import Objectives, verdict_of
from envs.traces.reader import Trace
from envs.world import starting_row
from tuner.search.oracle import best_scores
from tuner.search.protocol import Problem, Tuner

#: Measurements after which tuners are compared.
BUDGETS = (1, 3, 5, 8, 15, 30, 50, 100)


@dataclass(frozen=True)
class Run:
    """One tuner on one problem, measurement by measurement.

    Attributes:
        rows: [M], positions in the candidates; -1 for a configuration that is none of them.
        score_ips, violation: [M], as `Problem.judge` gives them.
        cost_s, energy_j: [M], what each try took; energy is NaN where no power was measured.
        throughput_ips, p99_ms: [M, T], NaN where the configuration failed.
        decision_s: [M], what the tuner itself took for each proposal, with what it made of the answer before.
    """

    rows: npt.NDArray[np.int64]
    score_ips: FloatArray
    violation: FloatArray
    cost_s: FloatArray
    energy_j: FloatArray
    throughput_ips: FloatArray
    p99_ms: FloatArray
    decision_s: FloatArray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Record:
    """A run and whose it is; `objective` is the context's position in the objectives."""

    tuner: str
    objective: int
    seed: int
    run: Run


@dataclass(frozen=True)
class Reference:
    """What there was to find, [B] each.

    Attributes:
        row: the best candidate; where none is feasible, the least violating one.
        score_ips: what it gives.
        violation: by how much it breaks a limit, 0 where `exists`.
        exists: whether any candidate keeps all limits.
    """

    row: npt.NDArray[np.int64]
    score_ips: FloatArray
    violation: FloatArray
    exists: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """All runs of all tuners.

    Attributes:
        budgets: measurements after which to compare, none above the number of candidates.
        asked_budget: the largest budget that was asked for, before those above the number of candidates were dropped.
        start: position of the configuration that everybody starts from.
    """

    objectives: Objectives
    reference: Reference
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    asked_budget: int
    candidates: int
    start: int
    records: tuple[Record, ...]

    @property
    def tuners(self) -> tuple[str, ...]:
        """Names in the order they were given."""
        return tuple(dict.fromkeys(record.tuner for record in self.records))

    def runs(self, tuner: str) -> list[list[Run]]:
        """The runs of one tuner, [B][S]."""
        found = {(record.objective, record.seed): record.run for record in self.records if record.tuner == tuner}
        return [[found[objective, seed] for seed in self.seeds] for objective in range(len(self.objectives))]


def run_tuner(tuner: Tuner, problem: Problem, outcomes: Callable[[Configuration], Outcome], budget: int) -> Run:
    """Let a tuner propose `budget` times. ConfigurationError unless it starts from `problem.default`, as everybody does."""
    tried: list[Configuration] = []
    results: list[Outcome] = []
    decision_s = np.zeros(budget)
    telling_s = 0.0
    for step in range(budget):
        started = time.perf_counter()
        configuration = tuner.ask()
        decision_s[step] = time.perf_counter() - started + telling_s
        if step == 0 and configuration != problem.default:
            asked, default = problem.space.describe(configuration), problem.space.describe(problem.default)
            raise ConfigurationError(f"{type(tuner).__name__} starts from {asked}: every tuner must first ask for the default, {default}")
        outcome = outcomes(configuration)
        started = time.perf_counter()
        tuner.tell(configuration, outcome)  # where a tuner fits its model is its own choice, so telling counts as deciding
        telling_s = time.perf_counter() - started
        tried.append(configuration)
        results.append(outcome)
    batch = MeasurementBatch.of(results, problem.space.shape[0])
    judged = np.array([problem.judge(outcome) for outcome in results]).reshape(budget, 2)
    return Run(
        rows=_positions(problem, tried),
        score_ips=judged[:, 0],
        violation=judged[:, 1],
        cost_s=np.nan_to_num(batch.cost_s, nan=0.0),
        energy_j=_energy_j(batch),
        throughput_ips=batch.throughput_ips,
        p99_ms=batch.p99_ms,
        decision_s=decision_s,
    )


def _positions(problem: Problem, tried: list[Configuration]) -> npt.NDArray[np.int64]:
    codes = problem.space.codes(problem.candidates)
    order = np.argsort(codes)
    wanted = problem.space.codes(np.array([configuration.placements for configuration in tried], dtype=np.int16))
    at = np.minimum(np.searchsorted(codes[order], wanted), len(codes) - 1)
    return np.where(codes[order][at] == wanted, order[at], -1)


def _energy_j(batch: MeasurementBatch) -> FloatArray:
    """A failed try drew power too: it counts with the mean power of the run, or failing would look cheap."""
    known = np.isfinite(batch.power_w)
    if not known.any():
        return np.full(len(batch), np.nan)
    return np.where(known, batch.energy_j, batch.power_w[known].mean() * np.nan_to_num(batch.cost_s, nan=0.0))


def starting_configuration(trace: Trace) -> Configuration:
    """Where every tuner starts: see `envs.world.starting_row`."""
    return Configuration.of(trace.placements[starting_row(trace.space, trace.placements, trace.batch.failed)])


def usable_budgets(budgets: Sequence[int], candidates: int) -> tuple[int, ...]:
    """Budgets in ascending order without those above the number of candidates."""
    if not budgets or min(budgets) < 1:
        raise OptionError(f"budgets={list(budgets)} must be whole numbers from 1")
    kept = tuple(sorted({budget for budget in budgets if budget <= candidates}))
    return kept or (candidates,)


def reference_of(batch: MeasurementBatch, weights: Sequence[float], objectives: Objectives) -> Reference:
    """What the oracle finds among candidates [N] for objectives [B]."""
    row, score_ips, exists = best_scores(batch, np.asarray(weights, dtype=np.float64), objectives)
    violation = verdict_of(batch.take(row), np.asarray(weights, dtype=np.float64), objectives).violation
    return Reference(np.asarray(row, dtype=np.int64), np.asarray(score_ips), violation, np.asarray(exists, dtype=bool))


def compare(
    factories: Mapping[str, Callable[[Problem], Tuner]],
    trace: Trace,
    objectives: Objectives,
    seeds: Sequence[int],
    budgets: Sequence[int] = BUDGETS,
    max_budget: Mapping[str, int] | None = None,
    progress: Callable[[str], object] | None = None,
) -> Comparison:
    """Run every tuner on every objective with every seed, on what a trace recorded.

    Args:
        max_budget: fewer measurements for tuners that would take too long to think about more.
        progress: told the name of the tuner after each run.

    Raises:
        OptionError: there is nothing to compare. ObjectiveError: an objective cannot be judged on this trace.
    """
    if not factories or not len(objectives) or not seeds:
        raise OptionError("a comparison needs at least one tuner, one objective and one seed")
    space = trace.space
    has_power = bool(np.isfinite(trace.batch.power_w).any())
    for index in range(len(objectives)):
        objectives.row(index).check_measurable(has_power, f"{trace.path.name} was recorded without a power sensor")
    start = starting_configuration(trace)
    recorded = {Configuration.of(placements): trace.outcome(Configuration.of(placements)) for placements in trace.placements}

    def outcomes(configuration: Configuration) -> Outcome:
        return recorded[configuration] if configuration in recorded else trace.outcome(configuration)

    kept = usable_budgets(budgets, len(trace.rows))
    records = []
    for name, factory in factories.items():
        steps = min(kept[-1], (max_budget or {}).get(name, kept[-1]))
        for seed in seeds:
            for index in range(len(objectives)):
                # Seeds differ between contexts too: one unlucky order of trials must not decide all of them.
                problem = Problem(space, trace.placements, objectives.row(index), start, seed * len(objectives) + index)
                records.append(Record(name, index, seed, run_tuner(factory(problem), problem, outcomes, steps)))
                if progress is not None:
                    progress(name)
    return Comparison(
        objectives=objectives,
        reference=reference_of(trace.batch, space.workload.weights, objectives),
        seeds=tuple(seeds),
        budgets=kept,
        asked_budget=max(budgets),
        candidates=len(trace.rows),
        start=int(trace.find(start.array()[None])[0]),
        records=tuple(records),
    )
