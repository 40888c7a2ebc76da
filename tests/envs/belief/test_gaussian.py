"""The belief against conditioning a dense Gaussian, on sizes where that is quick."""

from __future__ import annotations

import numpy as np
import pytest

from envs.arrays import FloatArray
from envs.belief.factor import factor
from envs.belief.gaussian import Belief

B, Q, M, R = 3, 3, 7, 5


def made(seed: int = 0, rows: int = B) -> Belief:
    rng = np.random.default_rng(seed)
    mean, loadings = rng.standard_normal((rows, Q, M)), 0.5 * rng.standard_normal((rows, R, Q * M))
    residual = rng.uniform(0.01, 0.02, (rows, Q, M))
    return Belief.of(*(each.astype(np.float32) for each in (mean, loadings, residual)))


def windows(
    count: int, rows: int = B, seed: int = 1
) -> list[tuple[np.ndarray, FloatArray, FloatArray]]:
    """Candidates, all different within a row; what was seen of them, and its noise."""
    rng = np.random.default_rng(seed)
    chosen = np.stack([rng.permutation(M)[:count] for _ in range(rows)])
    return [
        (
            chosen[:, i],
            rng.standard_normal((rows, Q)).astype(np.float32),
            rng.uniform(0.01, 0.1, (rows, Q)).astype(np.float32),
        )
        for i in range(count)
    ]


def dense(
    belief: Belief, row: int, seen: list[tuple[np.ndarray, FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance [Q, M] after all windows: one conditioning of all Q x M numbers at once.

    The residual of a candidate is its own: it says nothing about the others.
    """
    loadings = belief.loadings[row].astype(float)
    residual = belief.residual_variance[row].astype(float).reshape(-1)
    at = np.concatenate([candidate[row] + M * np.arange(Q) for candidate, _, _ in seen])
    values, noise = (np.concatenate([each[i][row] for each in seen]).astype(float) for i in (1, 2))
    known = np.isfinite(values)
    at, values, noise = at[known], values[known], noise[known]
    prior = loadings.T @ loadings
    inner = prior[np.ix_(at, at)] + np.diag(residual[at] + noise)
    gain = np.linalg.solve(inner, prior[at]).T
    mean = belief.mean[row].reshape(-1) + gain @ (values - belief.mean[row].reshape(-1)[at])
    variance = np.diag(prior) - (gain * prior[at].T).sum(axis=1) + residual
    return mean.reshape(Q, M), variance.reshape(Q, M)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_equals_conditioning_a_dense_gaussian(count: int) -> None:
    before, after, seen = made(), made(), windows(count)
    for window in seen:
        after.update(*window)
    for row in range(B):
        mean, variance = dense(before, row, seen)
        others = np.setdiff1d(np.arange(M), [candidate[row] for candidate, _, _ in seen])
        np.testing.assert_allclose(
            after.mean[row][:, others], mean[:, others], rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            after.variance[row][:, others], variance[:, others], rtol=1e-4, atol=1e-5
        )


def test_the_order_of_measurements_does_not_matter() -> None:
    seen = windows(4)
    one, other = made(), made()
    for window in seen:
        one.update(*window)
    for window in reversed(seen):
        other.update(*window)
    for row in range(B):
        others = np.setdiff1d(np.arange(M), [candidate[row] for candidate, _, _ in seen])
        np.testing.assert_allclose(one.mean[row][:, others], other.mean[row][:, others], atol=1e-4)
        np.testing.assert_allclose(
            one.variance[row][:, others], other.variance[row][:, others], atol=1e-5
        )


def test_a_failure_teaches_nothing() -> None:
    before, after = made(), made()
    after.update(
        np.array([0, 3, 6]),
        np.full((B, Q), np.nan, dtype=np.float32),
        np.full(Q, 0.01, dtype=np.float32),
    )
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-6)
    np.testing.assert_allclose(after.variance, before.variance, rtol=1e-6)


def test_a_board_without_power_sensor_still_learns_the_rest() -> None:
    before, after, seen = made(), made(), windows(1)
    seen[0][1][:, -1] = np.nan
    after.update(*seen[0])
    mean, variance = dense(before, 0, seen)
    others = np.setdiff1d(np.arange(M), [seen[0][0][0]])
    np.testing.assert_allclose(after.mean[0][:, others], mean[:, others], atol=1e-4)
    np.testing.assert_allclose(after.variance[0][:, others], variance[:, others], atol=1e-5)


def test_only_doubt_makes_less_certain() -> None:
    """Through so many measurements that what was learned has to be summed up on the way."""
    belief, rng = made(), np.random.default_rng(2)
    at_first = belief.variance.copy()
    for _ in range(30):
        before = belief.variance.copy()
        belief.update(
            rng.integers(0, M, B),
            rng.standard_normal((B, Q)).astype(np.float32),
            np.full(Q, 0.05, dtype=np.float32),
        )
        assert (belief.variance <= np.maximum(before, belief.residual_variance) * 1.0001).all(), (
            "what other candidates cannot tell is the least there is"
        )
        assert (belief.variance > 0).all()
    certain = belief.variance.copy()
    belief.doubt(np.array([1]), 0.5)
    assert (belief.variance[1] >= certain[1] - 1e-6).all()
    assert (belief.variance[1] <= at_first[1] * 1.0001).all()
    assert (belief.variance[[0, 2]] == certain[[0, 2]]).all()
    belief.doubt(np.array([1]), 1.0)
    np.testing.assert_allclose(belief.variance[1], at_first[1], rtol=1e-5)


def test_a_row_is_the_same_whatever_stands_beside_it() -> None:
    rows = 300
    seen = windows(5, rows)
    together, problem = made(rows=rows), np.sort(np.random.default_rng(3).integers(0, rows, rows))
    many = Belief.of(
        together.mean[problem], together.loadings, together.residual_variance[problem], problem
    )
    for window in seen:
        many.update(*window)
    for row in (0, 127, 128, 299):
        own = problem[row : row + 1]
        alone = Belief.of(
            together.mean[own], together.loadings[own], together.residual_variance[own]
        )
        for candidate, values, noise in seen:
            alone.update(candidate[row : row + 1], values[row : row + 1], noise[row : row + 1])
        assert (alone.mean[0] == many.mean[row]).all()
        assert (alone.variance[0] == many.variance[row]).all()


def test_what_was_measured_itself_stays_as_certain_as_its_window() -> None:
    belief, noise = made(), np.full(Q, 1e-4, dtype=np.float32)
    first, others = np.array([0, 3, 6]), np.array([1, 4, 5])
    belief.update(first, np.ones((B, Q), dtype=np.float32), noise)
    belief.update(others, np.ones((B, Q), dtype=np.float32), noise)
    assert (belief.variance[np.arange(B), :, first] <= 1.01e-4).all(), (
        "far below what is left over of others, 0.01 and more"
    )
    belief.doubt(np.arange(B), 0.5)
    assert (belief.variance[np.arange(B), :, first] >= 0.01).all()


def test_a_factor_keeps_mean_and_variance() -> None:
    samples = np.random.default_rng(4).standard_normal((40, 6)) @ np.random.default_rng(
        5
    ).standard_normal((6, Q * M))
    mean, loadings, residual = factor(samples.reshape(40, Q, M), 8)
    np.testing.assert_allclose(mean.reshape(-1), samples.mean(axis=0), atol=1e-9)
    (
        np.testing.assert_allclose(loadings.T @ loadings, np.cov(samples.T), atol=1e-6),
        "six directions suffice",
    )
    np.testing.assert_allclose(residual, 0.0, atol=1e-6)
