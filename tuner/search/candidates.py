"""What every search shares: which candidates are spent, what they were worth, and how many steps lie between two of them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from envs.configuration import Configuration, Placements
from envs.errors import ConfigurationError
from envs.measurement import Outcome
from envs.objective import rank
from tuner.search.protocol import Problem

IntArray = npt.NDArray[np.int64]


class CandidateSearch(ABC):
    """Asks the default first, no candidate twice, and the best known again once nothing new is left.

    A subclass says what comes next (`_propose`) and what it keeps of an outcome (`_learn`). N candidates, K = T x A knobs.

    Attributes:
        spent: [N], asked or told.
        worth: [N], what was told, as `envs.objective.rank` has it: one number to maximise; -inf where nothing was.
        instances: [N, K].
        levels: [N, K], position of the batch in `space.batches`; -1 where unused.

    Raises:
        ConfigurationError: the default is no candidate.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rng = np.random.default_rng(problem.seed)
        placements = problem.candidates
        codes = problem.space.codes(placements)
        self._order = np.argsort(codes)
        self._codes = codes[self._order]
        self.default_row = self.row(problem.default.array())
        if self.default_row < 0:
            raise ConfigurationError(f"the default ({problem.space.describe(problem.default)}) is not among the candidates: add it")
        self.spent = np.zeros(len(placements), dtype=bool)
        self.worth = np.full(len(placements), -np.inf)
        self.instances, self.levels = knobs(problem, placements)

    def ask(self) -> Configuration:
        """The next configuration to measure."""
        if not self.spent[self.default_row]:
            row = self.default_row
        elif self.spent.all():
            row = int(self.worth.argmax()) if np.isfinite(self.worth).any() else self.default_row
        else:
            row = self._propose()
        self.spent[row] = True
        return Configuration.of(self.problem.candidates[row])

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """What measuring it gave; one that is no candidate teaches nothing."""
        row = self.row(configuration.array())
        if row < 0:
            return
        score, violation = self.problem.judge(outcome)
        self.spent[row] = True
        self.worth[row] = float(rank(np.array(score), np.array(violation)))
        self._learn(row, outcome)

    @abstractmethod
    def _propose(self) -> int:
        """A row that is not spent; called only while there is one and after the default."""

    def _learn(self, row: int, outcome: Outcome) -> None:
        """Called after `worth` has been set."""
        return

    def row(self, placements: npt.NDArray[np.integer]) -> int:
        """Which candidate [T, A, 2] is, -1 where it is none."""
        return int(self.rows(placements[None])[0])

    def rows(self, placements: npt.NDArray[np.integer]) -> IntArray:
        """Which candidates [B, T, A, 2] are, -1 where they are none: [B]."""
        wanted = self.problem.space.codes(placements)
        at = np.minimum(np.searchsorted(self._codes, wanted), len(self._codes) - 1)
        return np.where((self._codes[at] == wanted) & (wanted >= 0), self._order[at], -1)

    def steps_from(self, instances: npt.NDArray[np.integer], levels: npt.NDArray[np.integer]) -> IntArray:
        """Knob steps between every candidate and the setting [K], [K]: [N].

        A step is one instance more or less, or the next batch size. The batch of an unused knob is free, so that taking a
        first instance at any batch is one step.
        """
        both = (self.instances > 0) & (instances > 0)
        steps = np.abs(self.instances - instances) + np.where(both, np.abs(self.levels - levels), 0)
        total: IntArray = steps.sum(axis=1)
        return total

    def any_of(self, rows: npt.NDArray[np.integer]) -> int:
        """One of these rows by chance: the first one would favour low instances and batches."""
        return int(self.rng.choice(rows))


class OrderedSearch(CandidateSearch):
    """Goes through the candidates in an order fixed at the start, whatever it is told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._queue = iter(self._plan())

    @abstractmethod
    def _plan(self) -> IntArray:
        """All rows, [N], in the order they are asked."""

    def _propose(self) -> int:
        return next(int(row) for row in self._queue if not self.spent[row])


def knobs(problem: Problem, placements: Placements) -> tuple[IntArray, IntArray]:
    """Instances and batch levels [N, K] of [N, T, A, 2]; the level of an unused knob is -1."""
    flat = placements.reshape(len(placements), problem.space.knobs, 2).astype(np.int64)
    levels = np.searchsorted(np.asarray(problem.space.batches), flat[..., 1])
    return flat[..., 0], np.where(flat[..., 0] > 0, levels, -1)
