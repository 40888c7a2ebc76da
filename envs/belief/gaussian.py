"""What is believed of configurations that were not measured: the model over its uncertain parameters, conditioned on what was.

Letters: B rows, M candidates, Q = 2 T + 1 quantities (log throughput of each tenant, log p99 of each, log power), R directions.

The model is evaluated for many draws of its parameters; the logarithms of what it says are summarised by their mean and by the R directions
in which they vary most. That is a Gaussian belief with the model's own correlations (an ensemble Kalman filter, Evensen 1994, with the
ensemble's covariance kept in factored form): measuring one configuration moves all that share its uncertain parameters.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.arrays import Floats

#: Rows whose candidates are moved at a time: few enough that their arrays stay in the cache.
BLOCK = 128

#: Variance of a quantity that was not seen: so large that it teaches nothing.
UNSEEN = 1e9


@dataclass
class Belief:
    """Of B rows; changed in place by `update`. A row comes out the same, bit by bit, whatever rows stand beside it.

    Attributes:
        mean, variance: [B, Q, M], of logarithms. left: [B, Q, M], variance that no measurement of another configuration can remove;
            least: [B, Q, M], the same, but for candidates that were measured themselves.
        basis: [S, R, Q x M], how each moves with the directions; single precision will do, since they are large and only read.
        problem: [B], which of the S bases is a row's; neighbours with the same one are the fastest.
        learned: [B, K, R], W: the covariance of the directions is I - W'W, the identity before anything was measured. Each measurement adds
            Q rows. Double precision, or it would stop being a covariance.
        kernel: `envs.belief.kernels.condition` compiled, which does the work of `update`; None for NumPy.
    """

    mean: Floats
    variance: Floats
    left: Floats
    basis: Floats
    problem: npt.NDArray[np.int64]
    learned: npt.NDArray[np.float64]
    kernel: Callable[..., None] | None = None

    def __post_init__(self) -> None:
        self.least = self.left.copy()
        rows, quantities, self._count = self.mean.shape
        places = np.arange(quantities) * self._count
        self._rows = (
            np.arange(rows)[:, None] * (quantities * self._count) + places
        )  # [B, Q], where each quantity of each row begins
        directions, width = self.basis.shape[1:]
        starts = self.problem[:, None] * directions + np.arange(directions)
        self._loadings = (
            starts[:, None] * width + places[:, None]
        )  # [B, Q, R], the same in the bases
        cuts = np.flatnonzero(np.diff(self.problem)) + 1
        edges = np.unique(
            np.concatenate([cuts, np.arange(0, rows + BLOCK, BLOCK).clip(max=rows)])
        ).tolist()
        self._runs = list(itertools.pairwise(edges))
        self._used = self.learned.shape[1]

    @classmethod
    def of(
        cls,
        mean: Floats,
        basis: Floats,
        left: Floats,
        problem: npt.NDArray[np.int64] | None = None,
        variance: Floats | None = None,
        kernel: Callable[..., None] | None = None,
    ) -> Belief:
        """Before the first measurement.

        Args:
            problem: [B], which basis is a row's; by default each has its own.
            variance: [B, Q, M], that of the basis and what is left; computed where not given.
        """
        which = np.arange(len(mean)) if problem is None else problem
        if variance is None:
            variance = prior_variance(
                basis,
                left if problem is None else np.zeros((len(basis), *left.shape[1:]), left.dtype),
            )[which]
            variance = variance if problem is None else variance + left
        return cls(
            mean.copy(),
            variance.copy(),
            left,
            basis,
            which,
            np.empty((len(mean), 0, basis.shape[1])),
            kernel,
        )

    def update(self, candidate: npt.NDArray[np.integer], seen: Floats, noise: Floats) -> None:
        """Condition on one measurement of each row.

        Args:
            candidate: [B]. seen: [B, Q] logarithms, NaN where there is none (a failure, no power sensor). noise: [B, Q] or [Q] variances.
        """
        rows, quantities, _ = self.mean.shape
        self._make_room(quantities)
        if self.kernel is not None:
            both = (seen.astype(np.float64), np.broadcast_to(noise, seen.shape).astype(np.float64))
            arrays = (self.mean, self.variance, self.least, self.basis, self.problem, self.learned)
            self.kernel(*arrays, self._used, candidate.astype(np.int64), *both, UNSEEN)
            self._used += quantities
            return
        mean, variance = self.mean.reshape(rows, -1), self.variance.reshape(rows, -1)
        at = self._rows + candidate[:, None]
        known = np.isfinite(seen)
        before, doubt, left = (array.reshape(-1).take(at) for array in (mean, variance, self.least))
        error = np.where(known, seen - before, 0.0)
        loadings = (
            self.basis.reshape(-1)
            .take(self._loadings + candidate[:, None, None])
            .astype(np.float64)
        )  # [B, Q, R]
        learned = self.learned[:, : self._used]
        moved = (
            loadings - (loadings @ np.swapaxes(learned, 1, 2)) @ learned if self._used else loadings
        )
        # With L L' the covariance of what was seen, L^-1 makes what it tells independent: means move along W', and its squares leave the variances.
        whitening = whitened(
            moved @ np.swapaxes(loadings, 1, 2), np.where(known, noise + left, UNSEEN), error
        )
        white = whitening @ moved  # [B, Q + 1, R], the last one the mean's
        self.learned[:, self._used : self._used + quantities] = white[:, :-1]
        self._used += quantities
        directions = white.astype(self.basis.dtype)
        moves = np.empty((min(rows, BLOCK), quantities + 1, mean.shape[1]), dtype=self.basis.dtype)
        begun = 0
        for start, end in self._runs:
            np.matmul(
                directions[start:end],
                self.basis[self.problem[start]],
                out=moves[start - begun : end - begun],
            )
            if (
                end - begun == len(moves) or end == rows
            ):  # a few passes over long rows, where a sum over a short last axis would crawl
                some, squares, spread = (
                    moves[: end - begun],
                    moves[: end - begun, :-1],
                    variance[begun:end],
                )
                mean[begun:end] += some[:, -1]
                np.square(squares, out=squares)
                for quantity in range(quantities):
                    spread -= squares[:, quantity]
                np.maximum(spread, self.least.reshape(rows, -1)[begun:end], out=spread)
                begun = end
        # What was measured itself is known better than its directions say: its own departure from the model was measured, too.
        weight = doubt / np.maximum(doubt + noise, 1e-12)
        for array, value in (
            (mean, before + weight * error),
            (variance, weight * noise),
            (self.least, np.minimum(left, weight * noise)),
        ):
            flat = array.reshape(-1)
            flat[at] = np.where(known, value, flat.take(at))

    def _make_room(self, more: int) -> None:
        """For so many rows of W; where it gets long, as many rows as directions say the same."""
        if self._used + more <= self.learned.shape[1]:
            return
        kept = self.learned[:, : self._used]
        directions = kept.shape[2]
        if self._used > 2 * directions:
            kept = np.asarray(np.linalg.qr(kept, mode="r"))
            self._used = directions
        self.learned = np.concatenate([kept, np.zeros((len(kept), 8 * more, directions))], axis=1)

    def doubt(self, rows: npt.NDArray[np.integer], share: float) -> None:
        """Conditions changed in some rows: this share of what was learned there is forgotten."""
        if not len(rows):
            return
        learned = self.learned[rows, : self._used] * np.sqrt(1 - share)
        self.learned[rows, : self._used] = learned
        basis, left = self.basis[self.problem[rows]], self.left[rows]
        self.least[rows] = left
        moves = learned.astype(basis.dtype) @ basis
        known = np.einsum("bkj,bkj->bj", moves, moves).reshape(left.shape)
        self.variance[rows] = np.maximum(prior_variance(basis, left) - known, left)


def prior_variance(basis: Floats, left: Floats) -> Floats:
    """[B, Q, M], from [B, R, Q x M] and [B, Q, M]."""
    return np.asarray(np.einsum("brj,brj->bj", basis, basis).reshape(left.shape) + left)


def whitened(
    inner: npt.NDArray[np.float64], diagonal: Floats, error: Floats
) -> npt.NDArray[np.float64]:
    """[B, Q + 1, Q]: the inverse of L, where L L' is `inner` plus a diagonal [B, Q], and below it the error [B, Q] divided by L L'.

    Written out, since Q is small: a call of LAPACK for each row would take several times as long.
    """
    a = np.ascontiguousarray(inner.transpose(1, 2, 0))  # the rows of the batch along memory
    size = len(a)
    lower, result = np.zeros_like(a), np.zeros((size + 1, size, len(inner)))
    for i in range(size):
        for j in range(i):
            value = a[i, j]
            for k in range(j):
                value = value - lower[i, k] * lower[j, k]
            lower[i, j] = value * result[j, j]
        value = a[i, i] + diagonal[:, i]
        for k in range(i):
            value = value - lower[i, k] ** 2
        result[i, i] = 1.0 / np.sqrt(value)
        for j in range(i):
            value = lower[i, j] * result[j, j]
            for k in range(j + 1, i):
                value = value + lower[i, k] * result[k, j]
            result[i, j] = -value * result[i, i]
        step = result[i, 0] * error[:, 0]
        for k in range(1, i + 1):
            step = step + result[i, k] * error[:, k]
        result[size, : i + 1] += step * result[i, : i + 1]
    return np.ascontiguousarray(result.transpose(2, 0, 1))


def factor(samples: Floats, directions: int, discrepancy: float) -> tuple[Floats, Floats, Floats]:
    """Mean [Q, M], basis [R, Q x M] and left-over variance [Q, M] of logarithms [P, Q, M]; all zero for quantities that are not known.

    Args:
        discrepancy: standard deviation of what the samples themselves get wrong; it counts as left over.
    """
    known = np.isfinite(samples)
    count = len(samples)
    values = np.where(known, samples, 0.0)
    mean = values.mean(axis=0)
    centred = (values - mean).reshape(count, -1) / np.sqrt(count - 1)
    # The leading directions by subspace iteration (Halko et al. 2011): a full decomposition takes a hundred times as long.
    space = np.random.default_rng(0).standard_normal((centred.shape[1], min(directions, count - 1)))
    for _ in range(4):
        space = np.linalg.qr(centred.T @ (centred @ space))[0]
    along = centred @ space
    powers, turned = np.linalg.eigh(along.T @ along)
    basis = (space @ turned).T * np.sqrt(np.maximum(powers, 0.0))[:, None]
    if len(basis) < directions:
        basis = np.concatenate([basis, np.zeros((directions - len(basis), basis.shape[1]))])
    left = (
        np.maximum((centred**2).sum(axis=0) - (basis**2).sum(axis=0), 0.0).reshape(mean.shape)
        + discrepancy**2
    )
    return mean, basis, left
