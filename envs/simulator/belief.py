"""What is believed of configurations that were not measured: the model over its uncertain parameters, conditioned on what was.

Letters: B rows, M candidates, Q = 2 T + 1 quantities (log throughput of each tenant, log p99 of each, log power), R directions.

The model is evaluated for many draws of its parameters; the logarithms of what it says are summarised by their mean and by the R directions
in which they vary most. That is a Gaussian belief with the model's own correlations (an ensemble Kalman filter, Evensen 1994, with the
ensemble's covariance kept in factored form): measuring one configuration moves all that share its uncertain parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

#: Variance of what the directions leave out and the model gets wrong, in logarithms: 3 % each.
DISCREPANCY = 0.03**2


@dataclass
class Belief:
    """Of B rows; changed in place by `update`.

    Attributes:
        mean, variance: [B, Q, M], of logarithms. basis: [B, R, Q x M], how each moves with the directions;
            single precision will do, since they are large and only read.
        spread: [B, R, R], covariance of the directions, the identity before anything was measured; double precision, or it
            would stop being one. left: [B, Q, M], variance that no measurement
            of another configuration can remove.
    """

    mean: FloatArray
    variance: FloatArray
    basis: FloatArray
    spread: FloatArray
    left: FloatArray

    @classmethod
    def of(cls, mean: FloatArray, basis: FloatArray, left: FloatArray) -> Belief:
        """Before the first measurement."""
        rows, directions = basis.shape[:2]
        variance = (basis**2).sum(axis=1).reshape(mean.shape) + left
        return cls(mean.copy(), variance, basis, np.tile(np.eye(directions), (rows, 1, 1)), left)

    def update(self, candidate: npt.NDArray[np.integer], seen: FloatArray, noise: FloatArray) -> None:
        """Condition on one measurement of each row.

        Args:
            candidate: [B]. seen: [B, Q] logarithms, NaN where there is none (a failure, no power sensor). noise: [B, Q] or [Q] variances.
        """
        rows = np.arange(len(candidate))
        quantities, count = self.mean.shape[1:]
        known = np.isfinite(seen)
        noise = np.broadcast_to(noise, seen.shape)
        before, doubt = self.mean[rows, :, candidate], self.variance[rows, :, candidate]
        error = np.where(known, seen - before, 0.0).astype(self.mean.dtype)
        at = candidate[:, None] + count * np.arange(quantities)
        loadings = np.take_along_axis(self.basis, at[:, None, :], axis=2).astype(np.float64)  # [B, R, Q]
        moved = self.spread @ loadings
        inner = np.swapaxes(loadings, 1, 2) @ moved
        diagonal = np.where(known, noise + self.left[rows, :, candidate], 1e9)
        inner[:, np.arange(quantities), np.arange(quantities)] += diagonal
        # With inner = L L', the covariance of all candidates with what was seen is whitened by L: shrinking the variances is then a sum of squares.
        lower = np.linalg.inv(np.linalg.cholesky(inner))
        white = moved @ np.swapaxes(lower, 1, 2)
        moves = np.swapaxes(self.basis, 1, 2) @ white.astype(self.basis.dtype)  # [B, Q x M, Q]
        self.mean += (moves @ (lower @ error[:, :, None]).astype(moves.dtype))[:, :, 0].reshape(self.mean.shape)
        self.variance -= np.square(moves).sum(axis=2).reshape(self.variance.shape)
        np.maximum(self.variance, self.left, out=self.variance)
        self.spread -= white @ np.swapaxes(white, 1, 2)
        # What was measured itself is known better than its directions say: its own departure from the model was measured, too.
        weight = doubt / (doubt + noise)
        self.mean[rows, :, candidate] = np.where(known, before + weight * error, self.mean[rows, :, candidate])
        self.variance[rows, :, candidate] = np.where(known, weight * noise, self.variance[rows, :, candidate])

    def doubt(self, rows: npt.NDArray[np.integer], share: float) -> None:
        """Conditions changed in some rows: this share of what was learned there is forgotten."""
        if not len(rows):
            return
        spread = (1 - share) * self.spread[rows] + share * np.eye(self.spread.shape[1])
        self.spread[rows] = spread
        basis = self.basis[rows]
        self.variance[rows] = np.einsum("brj,brj->bj", basis, spread.astype(basis.dtype) @ basis).reshape(self.variance[rows].shape) + self.left[rows]


def factor(samples: FloatArray, directions: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean [Q, M], basis [R, Q x M] and left-over variance [Q, M] of logarithms [P, Q, M]; all zero for quantities that are not known."""
    known = np.isfinite(samples)
    count = len(samples)
    values = np.where(known, samples, 0.0)
    mean = values.mean(axis=0)
    centred = (values - mean).reshape(count, -1) / np.sqrt(count - 1)
    # The directions of the small [P, P] Gram matrix are those of the large covariance.
    powers, vectors = np.linalg.eigh(centred @ centred.T)
    basis = vectors[:, ::-1][:, :directions].T @ centred
    left = np.maximum((centred**2).sum(axis=0) - (basis**2).sum(axis=0), 0.0).reshape(mean.shape) + DISCREPANCY
    return mean, basis, left
