"""The base of all searches: which candidates were tried, and how good they were."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from envs.arrays import IntArray, Placements, Rows
from envs.errors import ConfigurationError
from envs.problems.problem import Problem
from envs.spec import Configuration, Outcome, rank
from envs.spec.validity import VALID, judge
from tuner.search.candidate_index import CandidateIndex, knob_values, listed_candidates


class CandidateSearch(ABC):
    """Asks for the default first, for no candidate twice, and for the best one when all are spent.

    A subclass chooses the next candidate (`_propose`) and may keep something of an outcome
    (`_learn`). In an open problem the list of candidates grows: a valid configuration that a search
    comes across is added at its end.

    Attributes:
        candidates: [N, T, A, 2].
        spent: [N], True for a candidate that was proposed or measured.
        worth: [N], the outcome as one number to maximise, see `envs.spec.judging.rank`; -inf
            for a candidate without an outcome.
        instances, levels: [N, K], as in `CandidateIndex`.

    Raises:
        ConfigurationError: the default is not a candidate.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rng = np.random.default_rng(problem.seed)
        self.candidates = problem.once("candidates", lambda: listed_candidates(problem))
        self._index = problem.once(
            "index", lambda: CandidateIndex.of(problem.space, self.candidates)
        )
        self._added: dict[int, int] = {}  # rows by code
        self.spent = np.zeros(len(self.candidates), dtype=bool)
        self.worth = np.full(len(self.candidates), -np.inf)
        self.instances, self.levels = self._index.instances, self._index.levels
        self.default_row = int(self.rows(problem.default.array()[None])[0])
        if self.default_row < 0:
            raise no_default(problem)

    def ask(self) -> Configuration:
        """Return the next configuration to measure."""
        if not self.spent[self.default_row]:
            row = self.default_row
        elif self.spent.all():
            row = self.best_row()
        else:
            row = self._propose()
        self.spent[row] = True
        return Configuration.of(self.candidates[row])

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn the outcome of a configuration; one that is not a candidate is ignored."""
        row = int(self.rows(configuration.array()[None])[0])
        if row < 0:
            return
        score, violation = self.problem.judge(outcome)
        self.spent[row] = True
        self.worth[row] = float(rank(np.array(score), np.array(violation)))
        self._learn(row, outcome)

    @abstractmethod
    def _propose(self) -> int:
        """Return a row that is not spent; there is one, and the default is spent."""

    def _learn(self, row: int, outcome: Outcome) -> None:
        """Keep the part of an outcome that a search needs; `worth` is already set."""
        return

    def best_row(self) -> int:
        """Return the row of the best outcome so far, or of the default."""
        best = int(self.worth.argmax())
        return best if self.worth[best] > -np.inf else self.default_row

    def rows(self, placements: IntArray) -> Rows:
        """Return the rows [B] of configurations [B, T, A, 2], -1 where one is not a candidate.

        In an open problem valid configurations are added to the candidates.
        """
        codes = self.problem.space.codes(placements)
        rows = self._index.rows(codes)
        if not self.problem.open:
            return rows
        unlisted = (rows < 0) & (codes >= 0)
        if unlisted.any():
            self._add(placements[unlisted], codes[unlisted])
            rows[unlisted] = [self._added.get(code, -1) for code in codes[unlisted].tolist()]
        return rows

    def _add(self, placements: IntArray, codes: Rows) -> None:
        new = np.array([code not in self._added for code in codes.tolist()])
        new &= judge(self.problem.space, placements) == VALID
        codes, first = np.unique(codes[new], return_index=True)
        if not len(codes):
            return
        added: Placements = placements[new][first].astype(np.int16)
        self._added |= {code: len(self.spent) + i for i, code in enumerate(codes.tolist())}
        instances, levels = knob_values(self.problem.space, added)
        self.candidates = np.concatenate([self.candidates, added])
        self.instances = np.concatenate([self.instances, instances])
        self.levels = np.concatenate([self.levels, levels])
        self.spent = np.concatenate([self.spent, np.zeros(len(codes), dtype=bool)])
        self.worth = np.concatenate([self.worth, np.full(len(codes), -np.inf)])

    def unspent(self, rows: Rows) -> Rows:
        """Return those rows that are candidates and not spent, each once, ascending."""
        listed = np.unique(rows[rows >= 0])
        return listed[~self.spent[listed]]

    def nearest_unspent(self, instances: IntArray, levels: IntArray) -> Rows:
        """Return the rows, not spent, that are the fewest knob steps from a setting [K], [K].

        A step is one instance more or less, or the next batch size. The batch of an unused knob is
        free, so that taking a first instance at any batch is one step.
        """
        rows = np.flatnonzero(~self.spent)
        used = (self.instances > 0) & (instances > 0)
        steps = np.abs(self.instances - instances) + np.where(used, np.abs(self.levels - levels), 0)
        total = steps.sum(axis=1)[rows]
        nearest: Rows = rows[total == total.min()]
        return nearest

    def pick(self, rows: Rows) -> int:
        """Return one of these rows at random; the first one would favour low settings."""
        return int(self.rng.choice(rows))


def no_default(problem: Problem) -> ConfigurationError:
    """Return the error of a problem whose default is no candidate."""
    default = problem.space.describe(problem.default)
    return ConfigurationError(f"the default ({default}) is not among the candidates: add it")


class OrderedSearch(CandidateSearch):
    """Tries the candidates in an order that no outcome changes, then the others at random."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._queue = iter(self._plan())

    @abstractmethod
    def _plan(self) -> Iterable[int]:
        """Return rows in the order they are asked for."""

    def _propose(self) -> int:
        for row in self._queue:
            if not self.spent[row]:
                return int(row)
        return self.pick(np.flatnonzero(~self.spent))
