"""The cost of measuring in B episodes: what serves, what is built, how long builds take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import BoolArray, FloatArray, Rows, Single
from envs.spec.build_times import BuildTimes
from envs.spec.change_cost import COMMON_SD, OWN_SD

if TYPE_CHECKING:
    from envs.problems.problem_batch import ProblemBatch


class Loading:
    """The engines of B episodes, changed in place.

    Args:
        problems: with their engines and what changes cost, see `ProblemBatch`.
        rows: [B], which problem is whose.
        fresh: [B], True where no engine is built yet; else all are.

    Attributes:
        built: [B, E], engines that are there.
        serving: [B], which candidate serves; M for none.
        times: what is believed of the seconds that builds take.
    """

    def __init__(self, problems: ProblemBatch, rows: Rows, fresh: BoolArray) -> None:
        self._problems, self._problem = problems, rows
        log_s = problems.build_log_s[rows].astype(np.float64)
        none = np.zeros(len(rows))
        self.times = BuildTimes(log_s, COMMON_SD, OWN_SD, none, none)
        self.built = ~fresh[:, None] | ~np.isfinite(log_s)
        self.serving = np.full(len(rows), problems.candidates)

    def found(self, built: BoolArray) -> None:
        """Note which engines [B, E] are there, where a device tells."""
        self.built = built | ~np.isfinite(self.times.log_s)

    def expected_s(self) -> Single:
        """Return the seconds [B, M] that measuring each candidate is expected to take now."""
        rows = self._problem
        seconds = self._problems.window_s[rows][:, None] + self._changes_s(self.serving)
        if not self.built.all():
            seconds = seconds + self.times.waiting_s(self._problems.engines[rows], self.built)
        return seconds.astype(np.float32)

    def all_builds_s(self) -> FloatArray:
        """Return the seconds [B] that building all that is missing is expected to take."""
        missing = np.where(self.built, 0.0, self.times.expected_s())
        return np.asarray(missing.sum(axis=1))

    def measure(self, candidates: Rows) -> FloatArray:
        """Return the seconds [B] that measuring one candidate of each row truly takes.

        Its engines are built then, its builds tell how long others take, and it serves.
        """
        took_s = self._problems.window_s[self._problem] + self._changes_s(self.serving, candidates)
        new = self._missing(candidates)
        if new.any():
            build_s = self._problems.build_s[self._problem]
            took_s = took_s + np.where(new, build_s, 0.0).sum(axis=1)
            self._learn(new, build_s)
        self.serving[:] = candidates
        return np.asarray(took_s, dtype=np.float64)

    def note(self, candidates: Rows, took_s: FloatArray) -> None:
        """Learn what measuring one candidate of each row took, window included, [B] seconds.

        Time beyond what is expected of window and change is shared by the builds there were.
        """
        new = self._missing(candidates)
        if new.any():
            usual_s = self._problems.window_s[self._problem]
            usual_s = usual_s + self._changes_s(self.serving, candidates)
            expected = np.where(new, self.times.expected_s(), 0.0)
            total = np.maximum(expected.sum(axis=1), 1e-9)
            share = np.maximum(took_s - usual_s, 0.0) / total
            seen = new & (share > 0)[:, None]
            self._learn(seen, np.where(seen, expected * share[:, None], 1.0))
            self.built |= new
        self.serving[:] = candidates

    def _changes_s(self, before: Rows, after: Rows | None = None) -> Single:
        """Return the seconds from one candidate to all others [B, M], or to one of them [B]."""
        changes = self._problems.change_s
        if after is None:
            return changes[self._problem, before]
        return np.asarray(changes[self._problem, before, after])

    def _missing(self, candidates: Rows) -> BoolArray:
        return np.asarray(self._problems.engines[self._problem, candidates] & ~self.built)

    def _learn(self, new: BoolArray, build_s: FloatArray | Single) -> None:
        self.times = self.times.after(new, np.asarray(build_s, dtype=np.float64))
        self.built |= new
