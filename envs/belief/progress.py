"""The measurements of B episodes so far, and their best results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, Floats, IntArray, Rows, Single


@dataclass
class Progress:
    """The state of B searches, changed in place.

    Attributes:
        measured, held: [B, M]: candidates that were measured, and those that kept all limits.
        best: [B], the one with the highest score of those that kept the limits, -1 for none.
        best_score: [B], its log score, -inf for none.
        closest: [B], the candidate that came closest to the limits, or is farthest inside.
        least_margin: [B], its worst margin, infinite before the first measurement.
        used: [B], measurements of the budget.
        broke: [B], True where the last measurement broke a limit.
    """

    measured: BoolArray
    held: BoolArray
    best: Rows
    best_score: Single
    closest: Rows
    least_margin: Single
    used: Rows
    broke: BoolArray

    @classmethod
    def start(cls, rows: int, candidates: int) -> Progress:
        """Return the state before the first measurement."""
        return cls(
            np.zeros((rows, candidates), dtype=bool),
            np.zeros((rows, candidates), dtype=bool),
            np.full(rows, -1),
            np.full(rows, -np.inf, dtype=np.float32),
            np.zeros(rows, dtype=np.int64),
            np.full(rows, np.inf, dtype=np.float32),
            np.zeros(rows, dtype=np.int64),
            np.zeros(rows, dtype=bool),
        )

    def record(self, candidate: IntArray, score: Floats, margin: Floats) -> None:
        """Note one result of each row; it is not charged to the budget.

        Args:
            candidate: [B], which of the M was measured.
            score: [B], its log score.
            margin: [B], its worst margin, above 0 where it broke a limit.
        """
        every, kept = np.arange(len(self.best)), margin <= 0
        self.measured[every, candidate] = True
        self.held[every, candidate] |= kept
        better = kept & ((self.best < 0) | (score > self.best_score))
        self.best = np.where(better, candidate, self.best)
        self.best_score = np.where(better, score, self.best_score).astype(np.float32)
        closer = margin < self.least_margin
        self.closest = np.where(closer, candidate, self.closest)
        self.least_margin = np.where(closer, margin, self.least_margin).astype(np.float32)

    def forget(self, rows: IntArray) -> None:
        """Forget the results of some rows; the measurements stay used."""
        fresh = Progress.start(len(rows), self.measured.shape[1])
        for name in ("measured", "held", "best", "best_score", "closest", "least_margin"):
            getattr(self, name)[rows] = getattr(fresh, name)
