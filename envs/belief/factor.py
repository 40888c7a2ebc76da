"""Summarise draws of the model by their mean and the directions in which they vary most."""

import numpy as np

from envs.arrays import Floats


def factor(samples: Floats, directions: int) -> tuple[Floats, Floats, Floats]:
    """Return mean [Q, M], loadings [R, Q x M] and residual variance [Q, M] of logarithms.

    Args:
        samples: [C, Q, M]; a quantity that is NaN gets a mean and loadings of zero.
        directions: R, how many to keep.
    """
    count = len(samples)
    values = np.where(np.isfinite(samples), samples, 0.0)
    mean = values.mean(axis=0)
    centred = (values - mean).reshape(count, -1) / np.sqrt(count - 1)
    # The products of the draws with each other have the same directions as the covariance of the
    # logarithms, of which there are many more than draws.
    along = np.linalg.eigh(centred @ centred.T)[1]
    loadings = along[:, -min(directions, count - 1) :].T @ centred
    if len(loadings) < directions:
        padding = np.zeros((directions - len(loadings), loadings.shape[1]))
        loadings = np.concatenate([loadings, padding])
    residual = (centred**2).sum(axis=0) - (loadings**2).sum(axis=0)
    return mean, loadings, np.maximum(residual, 0.0).reshape(mean.shape)
