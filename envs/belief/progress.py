"""The measurements of B episodes so far, and their best results."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, IntArray, Rows, Single


@dataclass
class Progress:
    """The state of B searches, changed in place.

    Attributes:
        measured, held: [B, M]: candidates that were measured, and those that kept all limits.
        windows: [B, M], how often each was measured.
        mean_score, mean_margin: [B, M], over its windows: the mean log score, and the mean worst
            margin.
        best: [B], the one with the highest mean score of those that kept the limits in the mean
            of their windows, -1 for none.
        best_score: [B], its mean log score, -inf for none.
        closest: [B], the candidate that came closest to the limits, or is farthest inside.
        least_margin: [B], its worst margin, infinite before the first measurement.
        used: [B], measurements of the budget.
        spent_s: [B], seconds that they took.
        broke: [B], True where the last measurement broke a limit.
        surprise, last_surprise: [B], the mean of the squared errors of all measurements, and of the
            last one, in variances that the belief expected; NaN before the first.
    """

    measured: BoolArray
    held: BoolArray
    windows: Rows
    mean_score: Single
    mean_margin: Single
    best: Rows
    best_score: Single
    closest: Rows
    least_margin: Single
    used: Rows
    spent_s: FloatArray
    broke: BoolArray
    surprise: Single
    last_surprise: Single

    @classmethod
    def start(cls, rows: int, candidates: int) -> Progress:
        """Return the state before the first measurement."""
        return cls(
            np.zeros((rows, candidates), dtype=bool),
            np.zeros((rows, candidates), dtype=bool),
            np.zeros((rows, candidates), dtype=np.int64),
            np.full((rows, candidates), -np.inf, dtype=np.float32),
            np.full((rows, candidates), np.inf, dtype=np.float32),
            np.full(rows, -1),
            np.full(rows, -np.inf, dtype=np.float32),
            np.zeros(rows, dtype=np.int64),
            np.full(rows, np.inf, dtype=np.float32),
            np.zeros(rows, dtype=np.int64),
            np.zeros(rows),
            np.zeros(rows, dtype=bool),
            np.full(rows, np.nan, dtype=np.float32),
            np.full(rows, np.nan, dtype=np.float32),
        )

    def record(self, candidate: IntArray, score: Floats, margin: Floats) -> None:
        """Note one result of each row; it is not charged to the budget.

        Args:
            candidate: [B], which of the M was measured.
            score: [B], its log score.
            margin: [B], its worst margin, above 0 where it broke a limit.
        """
        every, kept = np.arange(len(self.best)), margin <= 0
        at = (every, candidate)
        self.measured[at] = True
        self.held[at] |= kept
        before = self.windows[at]
        self.windows[at] = before + 1
        for mean, new in ((self.mean_score, score), (self.mean_margin, margin)):
            earlier = np.where(before > 0, mean[at], 0.0)
            mean[at] = (before * earlier + new) / (before + 1)
        worth = np.where(self.measured & (self.mean_margin <= 0), self.mean_score, -np.inf)
        first = worth.argmax(axis=1)
        self.best_score = worth[every, first].astype(np.float32)
        self.best = np.where(self.best_score > -np.inf, first, -1)
        closer = margin < self.least_margin
        self.closest = np.where(closer, candidate, self.closest)
        self.least_margin = np.where(closer, margin, self.least_margin).astype(np.float32)

    def time_left(self, budget_s: FloatArray) -> FloatArray:
        """Return the share of the seconds [B] that is left, [B]; 1 where they are not limited."""
        return np.asarray(np.clip(1.0 - self.spent_s / budget_s, 0.0, 1.0))

    def note_surprise(self, squares: Single) -> None:
        """Note how wrong the belief was.

        Args:
            squares: [B], of the last measurement, see `Belief.update`.
        """
        count = self.windows.sum(axis=1)  # this one included
        earlier = np.where(np.isnan(self.surprise), squares, self.surprise)
        now = np.where(np.isnan(squares), earlier, squares)
        self.surprise = (earlier + (now - earlier) / np.maximum(count, 1)).astype(np.float32)
        self.last_surprise = now.astype(np.float32)

    def forget(self, rows: IntArray) -> None:
        """Forget the results of some rows; the measurements stay used, and the seconds spent."""
        fresh = Progress.start(len(rows), self.measured.shape[1])
        for each in fields(self):
            if each.name not in ("used", "spent_s"):
                getattr(self, each.name)[rows] = getattr(fresh, each.name)
