"""The belief: a Gaussian over the logarithms of all quantities, conditioned on windows.

The device model is evaluated for many draws of its uncertain parameters; the mean and the R
directions in which the logarithms vary most summarise the draws (`envs.belief.factor`). This is an
ensemble Kalman filter (Evensen 1994) with the ensemble's covariance kept in factored form:
measuring one configuration moves all that share its uncertain parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, IntArray, Rows, Single

#: Rows whose candidates are moved at a time: few enough that their arrays stay in the cache.
BLOCK = 64


@dataclass
class Belief:
    """The Gaussian beliefs of B rows; `update` changes them in place.

    A row comes out the same, bit by bit, whatever rows stand beside it.

    Attributes:
        mean, variance: [B, Q, M], of logarithms.
        residual_variance: [B, Q, M], the part that no measurement of another candidate can remove.
        loadings: [S, R, Q x M], how each logarithm moves with the directions.
        problem: [B], which of the S problems is a row's.
        learned: [B, ..., R], W in double precision; I - W'W is the covariance of the directions,
            the identity before the first measurement. Each measurement adds Q rows.
        residual_floor: [B, Q, M], the residual variance, lower for candidates that were measured.
    """

    mean: Floats
    variance: Floats
    residual_variance: Floats
    loadings: Floats
    problem: Rows
    learned: FloatArray

    def __post_init__(self) -> None:
        self.residual_floor = self.residual_variance.copy()
        self._rows = np.arange(len(self.mean))
        self._used = self.learned.shape[1]

    @classmethod
    def of(
        cls,
        mean: Floats,
        loadings: Floats,
        residual_variance: Floats,
        problem: Rows | None = None,
        variance: Floats | None = None,
    ) -> Belief:
        """Make the belief before the first measurement.

        Args:
            mean: [B, Q, M].
            loadings: [S, R, Q x M].
            residual_variance: [B, Q, M].
            problem: [B], which loadings are a row's; each row's own where not given.
            variance: [B, Q, M], that of the loadings plus the residual; computed where not given.
        """
        which = np.arange(len(mean)) if problem is None else problem
        if variance is None:
            variance = prior_variance(loadings[which], residual_variance)
        learned = np.empty((len(mean), 0, loadings.shape[1]))
        return cls(mean.copy(), variance.copy(), residual_variance, loadings, which, learned)

    def update(self, candidate: IntArray, seen: Floats, noise: Floats) -> Single:
        """Condition each row on one window of one candidate.

        Args:
            candidate: [B], which of the M was measured.
            seen: [B, Q] logarithms; NaN for what was not read, which teaches nothing.
            noise: [B, Q] or [Q] variances of a window.

        Returns:
            How surprising each window was, [B]: the mean squared error over the variance that was
            expected, about 1 where the belief is right; NaN where nothing was read.
        """
        at = (self._rows, slice(None), candidate)
        before, doubt, floor = self.mean[at], self.variance[at], self.residual_floor[at]
        read = np.isfinite(seen)
        error = np.where(read, seen - before, 0.0)
        directions = self._condition(candidate, read, error, noise + floor)
        quantities = self.mean.shape[1:]
        for start in range(0, len(self.mean), BLOCK):
            some = slice(start, start + BLOCK)
            moves = directions[some] @ self.loadings[self.problem[some]]
            moves = moves.reshape(*moves.shape[:2], *quantities)
            self.mean[some] += moves[:, -1]
            gained = np.einsum("bkqm,bkqm->bqm", moves[:, :-1], moves[:, :-1])
            self.variance[some] = np.maximum(
                self.variance[some] - gained, self.residual_floor[some]
            )
        # Its own residual was measured as well, which the directions know nothing of.
        weight = doubt / np.maximum(doubt + noise, 1e-12)
        known = weight * noise
        self.mean[at] = np.where(read, before + weight * error, self.mean[at])
        self.variance[at] = np.where(read, known, self.variance[at])
        self.residual_floor[at] = np.where(read, np.minimum(floor, known), floor)
        return _mean_read(error**2 / (doubt + noise), read)

    def _condition(
        self, candidate: IntArray, read: Floats, error: FloatArray, own_variance: Floats
    ) -> Floats:
        """Learn from errors [B, Q] of quantities that were read.

        Returns:
            [B, Q + 1, R]: the directions whose squares leave the variances, and last the direction
            in which the means move.
        """
        problems, rank, _ = self.loadings.shape
        every = self.loadings.reshape(problems, rank, *self.mean.shape[1:])
        own = every[self.problem, :, :, candidate].swapaxes(1, 2).astype(np.float64)  # [B, Q, R]
        own = np.where(read[..., None], own, 0.0)
        quantities = own.shape[1]
        self._make_room(quantities)
        learned = self.learned[:, : self._used]
        moved = own - (own @ learned.swapaxes(1, 2)) @ learned
        covariance = moved @ own.swapaxes(1, 2)
        diagonal = np.arange(quantities)
        covariance[:, diagonal, diagonal] += np.where(read, own_variance, 1.0)
        # With L L' the covariance of the window, L^-1 makes its quantities independent.
        lower = np.linalg.cholesky(covariance)[..., None]
        both = np.concatenate([moved, error[..., None]], axis=2)
        for q in range(quantities):
            for before in range(q):
                both[:, q] -= lower[:, q, before] * both[:, before]
            both[:, q] /= lower[:, q, q]
        white, steps = both[..., :-1], both[..., -1:]
        self.learned[:, self._used : self._used + quantities] = white
        self._used += quantities
        along = steps.swapaxes(1, 2) @ white
        return np.concatenate([white, along], axis=1).astype(self.loadings.dtype)

    def _make_room(self, more: int) -> None:
        """Make room for more rows of W; a long W is replaced by R rows that say the same."""
        if self._used + more <= self.learned.shape[1]:
            return
        kept = self.learned[:, : self._used]
        rank = kept.shape[2]
        if self._used > 2 * rank:
            kept = np.asarray(np.linalg.qr(kept, mode="r"))
            self._used = rank
        self.learned = np.concatenate([kept, np.zeros((len(kept), 8 * more, rank))], axis=1)

    def doubt(self, rows: IntArray, share: float) -> None:
        """Forget a share of what was learned in some rows: their conditions changed."""
        if not len(rows):
            return
        learned = self.learned[rows, : self._used] * np.sqrt(1 - share)
        self.learned[rows, : self._used] = learned
        loadings, residual = self.loadings[self.problem[rows]], self.residual_variance[rows]
        self.residual_floor[rows] = residual
        moves = learned.astype(loadings.dtype) @ loadings
        known = np.einsum("bkj,bkj->bj", moves, moves).reshape(residual.shape)
        self.variance[rows] = np.maximum(prior_variance(loadings, residual) - known, residual)


def prior_variance(loadings: Floats, residual_variance: Floats) -> Floats:
    """Return the variance [B, Q, M] of loadings [B, R, Q x M] plus the residual [B, Q, M]."""
    along = np.einsum("brj,brj->bj", loadings, loadings)
    return np.asarray(along.reshape(residual_variance.shape) + residual_variance)


def _mean_read(squares: Floats, read: BoolArray) -> Single:
    """Return the mean [B] of values [B, Q] that were read; NaN where none was."""
    count = read.sum(axis=1)
    total = np.where(read, squares, 0.0).sum(axis=1)
    return np.where(count, total / np.maximum(count, 1), np.nan).astype(np.float32)
