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
    # Subspace iteration (Halko et al. 2011): a full decomposition takes a hundred times as long,
    # and that of the products of draws depends on how many threads the linear algebra has.
    space = np.random.default_rng(0).standard_normal((centred.shape[1], min(directions, count - 1)))
    for _ in range(4):
        space = np.linalg.qr(centred.T @ (centred @ space))[0]
    along = centred @ space
    powers, turned = np.linalg.eigh(along.T @ along)
    loadings = (space @ turned).T * np.sqrt(np.maximum(powers, 0.0))[:, None]
    if len(loadings) < directions:
        padding = np.zeros((directions - len(loadings), loadings.shape[1]))
        loadings = np.concatenate([loadings, padding])
    residual = (centred**2).sum(axis=0) - (loadings**2).sum(axis=0)
    return mean, loadings, np.maximum(residual, 0.0).reshape(mean.shape)
