"""Problems side by side as arrays, so that any number of episodes run in step.

Letters: S problems, B rows, M candidates (the shortlist), T tenants, Q = 2 T + 1 quantities, R directions, V variants of what is true.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray, Single
from envs.belief.gaussian import prior_variance
from envs.belief.prior import Prior
from envs.errors import TraceError
from envs.files import read_arrays, replacing
from envs.spec.objective import Objective
from envs.spec.space import ConfigurationSpace

#: How much else is known of a problem before its first measurement.
KNOWN = 3

#: The believed logarithm of a quantity or candidate that a problem does not have; it is finite, and
#: neither limited nor measured.
PADDING = -30.0


@dataclass(frozen=True)
class Pool:
    """Problems padded to the same number of candidates and tenants.

    Attributes:
        mean, left: [S, Q, M]. basis: [S, R, Q x M]. nominal: [S, Q, M].
        present: [S, M], False where a problem has fewer candidates.
        limits: [S, Q] logarithms, +inf where nothing is limited (throughput never is).
        weights: [S, T], 0 for a tenant that a problem does not have.
        noise: [S, Q] variances of what a window gives.
        known: [S, G] what else is known before the first measurement.
        outcomes: [S, V, Q, M] logarithms of what is true, NaN for a quantity that the
            problem does not have and in all of a failure; empty (V = 0) where nobody knows.
    """

    mean: Single
    left: Single
    basis: Single
    nominal: Single
    present: npt.NDArray[np.bool_]
    limits: Single
    weights: Single
    noise: Single
    known: Single
    outcomes: Single

    def __len__(self) -> int:
        return len(self.mean)

    @cached_property
    def variance(self) -> Single:
        """[S, Q, M], before the first measurement."""
        return prior_variance(self.basis, self.left)

    @property
    def candidates(self) -> int:
        return int(self.mean.shape[2])

    @property
    def tenants(self) -> int:
        return int(self.weights.shape[1])

    def take(self, rows: npt.NDArray[np.integer]) -> Pool:
        return Pool(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @classmethod
    def stack(cls, parts: list[Pool]) -> Pool:
        return cls(
            **{
                each.name: np.concatenate([getattr(part, each.name) for part in parts])
                for each in fields(cls)
            }
        )

    def save(self, path: str) -> None:
        """In one step: a file that is there is whole."""
        with replacing(Path(path)) as file:
            np.savez(file, **{each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def load(cls, path: str) -> Pool:
        """What `save` wrote; TraceError if it is damaged."""
        try:
            arrays = read_arrays(Path(path), Path(path).stat().st_size)  # `save` compresses nothing
            pool = cls(**{each.name: arrays[each.name] for each in fields(cls)})
            pool._check()
            return pool
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise TraceError(
                f"{path} is damaged or from another version: delete it, and the same command draws its problems anew"
            ) from error

    def _check(self) -> None:
        """ValueError unless all arrays are of the same problems."""
        problems, quantities, candidates = self.mean.shape
        directions, variants, tenants = (
            self.basis.shape[1],
            self.outcomes.shape[1],
            self.weights.shape[1],
        )
        rows = (problems, quantities, candidates)
        shapes = {
            "mean": rows,
            "left": rows,
            "nominal": rows,
            "present": (problems, candidates),
            "limits": rows[:2],
            "noise": rows[:2],
        }
        shapes |= {
            "weights": (problems, tenants),
            "known": (problems, KNOWN),
            "basis": (problems, directions, quantities * candidates),
        }
        shapes |= {"outcomes": (problems, variants, quantities, candidates)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != (
                np.bool_ if name == "present" else np.float32
            ):
                raise ValueError(f"{name} does not fit the rest")
        if not self.mean.size or quantities != 2 * tenants + 1:
            raise ValueError("there are no problems")


def pool_of(
    space: ConfigurationSpace,
    objective: Objective,
    prior: Prior,
    outcomes: FloatArray | None = None,
    noise: FloatArray | None = None,
    size: int = 64,
    tenants: int | None = None,
) -> Pool:
    """One problem, padded to `size` candidates and `tenants` tenants.

    Args:
        outcomes: [V, Q, M] logarithms of what the shortlist truly gives. noise: [Q] variances.
    """
    own = space.shape[0]
    most = own if tenants is None else tenants
    count, directions = len(prior.placements), len(prior.basis)
    rows = [
        *range(own),
        *range(most, most + own),
        2 * most,
    ]  # where this problem's quantities stand among the padded ones
    quantities = 2 * most + 1

    def padded(values: npt.NDArray[np.floating], fill: float) -> Single:
        result = np.full((*values.shape[:-2], quantities, size), fill, dtype=np.float32)
        result[..., rows, :count] = values
        return result

    basis = np.zeros((directions, quantities, size), dtype=np.float32)
    basis[:, rows, :count] = prior.basis.reshape(directions, 2 * own + 1, count)
    limits = np.full(quantities, np.inf, dtype=np.float32)
    limits[rows] = objective.log_limits
    weights = np.zeros(most, dtype=np.float32)
    weights[:own] = space.workload.weights
    scatter = np.full(quantities, 1e-4, dtype=np.float32)
    if noise is not None:
        scatter[rows] = noise
    true = np.zeros((0, 2 * own + 1, count)) if outcomes is None else outcomes
    return Pool(
        mean=padded(prior.mean, PADDING)[None],
        left=padded(prior.left, 1e-4)[None],
        basis=basis.reshape(1, directions, -1),
        nominal=padded(np.where(np.isnan(prior.nominal), PADDING, prior.nominal), PADDING)[None],
        present=(np.arange(size) < count)[None],
        limits=limits[None],
        weights=weights[None],
        noise=scatter[None],
        known=np.array(
            [
                [
                    float(own > 1),
                    float(len(space.device.accelerators) > 2),
                    float(space.device.accelerator_names[0].startswith("cpu")),
                ]
            ],
            dtype=np.float32,
        ),
        outcomes=padded(true, np.nan)[None],
    )
