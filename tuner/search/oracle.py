"""The best recorded outcomes, which every tuner is compared with."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray, IntArray
from envs.problems.problem import Problem
from envs.spec import MeasurementBatch, Objectives, rank, verdict_of
from tuner.search.candidates import OrderedSearch

#: Numbers in the largest array that judging a chunk of objectives makes; such a chunk takes 25 MB
#: (measured).
CHUNK_NUMBERS = 800_000


class Oracle(OrderedSearch):
    """Tries the default, then the candidates from best to worst, whose outcomes it knows.

    Where no candidate is feasible, the least violating one is the best.

    Args:
        problem: with the candidates.
        batch: the outcomes of the candidates, row by row.
    """

    def __init__(self, problem: Problem, batch: MeasurementBatch) -> None:
        if len(batch) != len(problem.candidates):
            raise ValueError(f"{len(batch)} outcomes for {len(problem.candidates)} candidates")
        self._batch = batch
        super().__init__(problem)

    def _plan(self) -> Iterable[int]:
        weights = np.array(self.problem.space.workload.weights)
        found = verdict_of(self._batch, weights, self.problem.objective)
        order: Iterable[int] = np.argsort(-rank(found.score, found.violation), kind="stable")
        return order


def best_scores(
    batch: MeasurementBatch, weights: FloatArray, objectives: Objectives
) -> tuple[IntArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return the best of N recorded outcomes under each of B objectives.

    Args:
        batch: [N] outcomes.
        weights: [T].
        objectives: [B].

    Returns:
        best_index [B], the first one where several are equally good.
        best_score [B], of the least violating outcome where none is feasible.
        feasible_exists [B], True if an outcome keeps all limits.
    """
    best = np.zeros(len(objectives), dtype=np.int64)
    score = np.zeros(len(objectives))
    feasible = np.zeros(len(objectives), dtype=bool)
    size = max(1, CHUNK_NUMBERS // max(1, batch.logs.size))
    for start in range(0, len(objectives), size):
        chunk = slice(start, start + size)
        found = verdict_of(batch, weights, objectives.part(chunk))
        best[chunk] = rank(found.score[None], found.violation).argmax(axis=1)
        score[chunk] = found.score[best[chunk]]
        feasible[chunk] = found.feasible.any(axis=1)
    return best, score, feasible
