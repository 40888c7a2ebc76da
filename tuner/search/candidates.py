"""What every search shares: which candidates are spent, what they were worth, and how many steps lie between two of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.arrays import IntArray, Placements
from envs.errors import ConfigurationError
from envs.problems.problem import Problem
from envs.spec.measurement import Measurement, Outcome
from envs.spec.objective import MAX_VIOLATION, Objective, rank
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.validity import VALID, judge


@dataclass(frozen=True)
class Index:
    """Candidates [N] as numbers: `codes` ascending and the rows they belong to, and the knobs of each row.

    Attributes:
        instances: [N, K], K = T x A knobs.
        levels: [N, K], position of the batch in `space.batches`; -1 where unused.
    """

    codes: IntArray
    order: IntArray
    instances: IntArray
    levels: IntArray

    @classmethod
    def of(cls, space: ConfigurationSpace, placements: Placements) -> Index:
        codes = space.codes(placements)
        order = np.argsort(codes)
        return cls(codes[order], order, *knobs(space, placements))

    def rows(self, codes: IntArray) -> IntArray:
        """Which candidates have these codes, -1 where none has."""
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where((self.codes[at] == codes) & (codes >= 0), self.order[at], -1)


class CandidateSearch(ABC):
    """Asks the default first, no candidate twice, and the best known again once nothing new is left.

    A subclass says what comes next (`_propose`) and what it keeps of an outcome (`_learn`). N candidates, K = T x A knobs. In an open
    problem there are more candidates than are listed: those that a search comes across are added behind the others.

    Attributes:
        candidates: [N, T, A, 2].
        spent: [N], asked or told.
        worth: [N], what was told, as `envs.spec.objective.rank` has it: one number to maximise; -inf where nothing was.
        instances, levels: [N, K], as in `Index`.

    Raises:
        ConfigurationError: the default is no candidate.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rng = np.random.default_rng(problem.seed)
        self.candidates = problem.candidates
        self._index = problem.once("index", lambda: Index.of(problem.space, problem.candidates))
        self._added: dict[int, int] = {}
        self.spent = np.zeros(len(self.candidates), dtype=bool)
        self.worth = np.full(len(self.candidates), -np.inf)
        self.instances, self.levels = self._index.instances, self._index.levels
        self.default_row = self.row(problem.default.array())
        if self.default_row < 0:
            raise ConfigurationError(
                f"the default ({problem.space.describe(problem.default)}) is not among the candidates: add it"
            )

    def ask(self) -> Configuration:
        """The next configuration to measure."""
        if not self.spent[self.default_row]:
            row = self.default_row
        elif self.spent.all():
            row = self.best_row()
        else:
            row = self._propose()
        self.spent[row] = True
        return Configuration.of(self.candidates[row])

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

    def best_row(self) -> int:
        """The best that was told; the default where nothing was."""
        best = int(self.worth.argmax())
        return best if self.worth[best] > -np.inf else self.default_row

    def row(self, placements: npt.NDArray[np.integer]) -> int:
        """Which candidate [T, A, 2] is, -1 where it is none."""
        return int(self.rows(placements[None])[0])

    def rows(self, placements: npt.NDArray[np.integer]) -> IntArray:
        """Which candidates [B, T, A, 2] are, -1 where they are none: [B]. Adds those that an open problem allows."""
        codes = self.problem.space.codes(placements)
        rows = self._index.rows(codes)
        if not self.problem.open:
            return rows
        unknown = (rows < 0) & (codes >= 0)
        if unknown.any():
            self._add(placements[unknown], codes[unknown])
            rows[unknown] = [self._added.get(code, -1) for code in codes[unknown].tolist()]
        return rows

    def _add(self, placements: npt.NDArray[np.integer], codes: IntArray) -> None:
        new = np.array([code not in self._added for code in codes.tolist()]) & (
            judge(self.problem.space, placements) == VALID
        )
        codes, first = np.unique(codes[new], return_index=True)
        if not len(codes):
            return
        more = placements[new][first].astype(np.int16)
        self._added.update(
            zip(
                codes.tolist(),
                range(len(self.candidates), len(self.candidates) + len(codes)),
                strict=True,
            )
        )
        instances, levels = knobs(self.problem.space, more)
        self.candidates = np.concatenate([self.candidates, more])
        self.instances = np.concatenate([self.instances, instances])
        self.levels = np.concatenate([self.levels, levels])
        self.spent = np.concatenate([self.spent, np.zeros(len(codes), dtype=bool)])
        self.worth = np.concatenate([self.worth, np.full(len(codes), -np.inf)])

    def left(self, rows: IntArray) -> IntArray:
        """Those of some rows that are candidates and not spent, each once, ascending."""
        known = np.unique(rows[rows >= 0])
        return known[~self.spent[known]]

    def nearest_left(self, instances: IntArray, levels: IntArray) -> IntArray:
        """Of what is not spent, the rows with the fewest knob steps to the setting [K], [K].

        A step is one instance more or less, or the next batch size. The batch of an unused knob is free, so that taking a
        first instance at any batch is one step.
        """
        rows = np.flatnonzero(~self.spent)
        both = (self.instances > 0) & (instances > 0)
        steps = np.abs(self.instances - instances) + np.where(both, np.abs(self.levels - levels), 0)
        total = steps.sum(axis=1)[rows]
        near: IntArray = rows[total == total.min()]
        return near

    def any_of(self, rows: IntArray) -> int:
        """One of these rows by chance: the first one would favour low instances and batches."""
        return int(self.rng.choice(rows))


class OrderedSearch(CandidateSearch):
    """Goes through the candidates in an order fixed at the start, whatever it is told; what that leaves out comes last, by chance."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._queue = iter(self._plan())

    @abstractmethod
    def _plan(self) -> Iterable[int]:
        """Rows in the order they are asked."""

    def _propose(self) -> int:
        for row in self._queue:
            if not self.spent[row]:
                return int(row)
        return self.any_of(np.flatnonzero(~self.spent))


def knobs(space: ConfigurationSpace, placements: Placements) -> tuple[IntArray, IntArray]:
    """Instances and batch levels [N, K] of [N, T, A, 2]; the level of an unused knob is -1."""
    flat = placements.reshape(len(placements), space.knobs, 2).astype(np.int16)
    levels = np.searchsorted(np.asarray(space.batches), flat[..., 1]).astype(np.int16)
    return flat[..., 0], np.where(flat[..., 0] > 0, levels, np.int16(-1))


def margins(outcome: Outcome, objective: Objective) -> list[float]:
    """How far beyond each finite limit an outcome is, as a logarithm: tenants in order, then power; MAX_VIOLATION where it is unknown.

    Below zero where the limit is kept. That side, which a violation has not, lets a model see a limit coming.
    """
    limits = np.array([*objective.p99_ms, objective.power_w])
    reached = (
        np.array([*outcome.p99_ms, outcome.power_w])
        if isinstance(outcome, Measurement)
        else np.full(len(limits), np.nan)
    )
    finite = np.isfinite(limits)
    with np.errstate(divide="ignore"):
        over = np.log(reached[finite]) - np.log(limits[finite])
    beyond: list[float] = np.nan_to_num(
        np.clip(over, -MAX_VIOLATION, MAX_VIOLATION), nan=MAX_VIOLATION
    ).tolist()
    return beyond
