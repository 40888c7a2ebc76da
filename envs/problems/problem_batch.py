"""Problems side by side as arrays, so that any number of episodes run in step."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray, Rows, Single
from envs.belief.assess import Conditions
from envs.belief.features import PROBLEM_FEATURES
from envs.belief.gaussian import Belief, prior_variance
from envs.belief.risk import BALANCED
from envs.errors import TraceError
from envs.files import read_arrays, replacing
from envs.problems.misfits import NUMBERS


@dataclass(frozen=True)
class ProblemBatch:
    """S problems padded to the same number of candidates and tenants.

    Attributes:
        mean, residual_variance: [S, Q, M], the belief before the first measurement.
        loadings: [S, R, Q x M], of the same belief.
        present: [S, M], False where a problem has fewer candidates.
        limits: [S, Q] logarithms, infinite where nothing is limited, see `envs.spec.margins`.
        weights: [S, T], 0 for a tenant that a problem does not have.
        terms: [S, T + 2] of the score, see `envs.spec.Goal.terms`.
        noise: [S, Q] variances of a window.
        window_s: [S], the length of a window.
        change_s: [S, M + 1, M], the seconds from one candidate to another, where every engine is
            built; from nothing in the last row.
        engines: [S, M, E], which engines each candidate needs.
        build_log_s: [S, E], the logarithm of the seconds that building each takes, as believed;
            -inf for one that nobody builds.
        build_s: [S, E], the seconds that it truly takes; 0 where nobody knows.
        misfit: [S, 4], how windows depart from what is believed of them, see
            `envs.problems.misfits`; zeros for not at all.
        extra_features: [S, G], `PROBLEM_FEATURES`.
        outcomes: [S, V, Q, M] true logarithms, NaN for a quantity that the problem does not have
            and in all of a failure; empty (V = 0) where nobody knows them.
    """

    mean: Single
    residual_variance: Single
    loadings: Single
    present: BoolArray
    limits: Single
    weights: Single
    terms: Single
    noise: Single
    window_s: Single
    change_s: Single
    engines: BoolArray
    build_log_s: Single
    build_s: Single
    misfit: Single
    extra_features: Single
    outcomes: Single

    def __len__(self) -> int:
        return len(self.mean)

    @cached_property
    def variance(self) -> Single:
        """Return the variance before the first measurement, [S, Q, M]."""
        return prior_variance(self.loadings, self.residual_variance)

    @property
    def candidates(self) -> int:
        """Return M, the candidates of each problem."""
        return int(self.mean.shape[2])

    @property
    def quantities(self) -> int:
        """Return Q, the quantities of each candidate."""
        return int(self.mean.shape[1])

    @property
    def tenants(self) -> int:
        """Return T, the tenants of the problem that has the most."""
        return int(self.weights.shape[1])

    def belief(self, rows: Rows) -> Belief:
        """Return the beliefs about problems [B] before the first measurement."""
        return Belief.of(
            self.mean[rows],
            self.loadings,
            self.residual_variance[rows],
            rows,
            self.variance[rows],
        )

    def conditions(
        self,
        rows: Rows,
        budget: int,
        risk: float | FloatArray = BALANCED,
        budget_s: float | FloatArray = np.inf,
    ) -> Conditions:
        """Return the conditions of searches for problems [B].

        Args:
            rows: [B], which problems.
            budget: measurements of a search.
            risk: the price of a broken limit, or [B] of them.
            budget_s: seconds of a search, or [B] of them.
        """
        window_s, each = self.window_s[rows], (len(rows),)
        return Conditions(
            noise=np.broadcast_to(self.noise[rows][:, :, None], (*each, *self.mean.shape[1:])),
            limits=self.limits[rows],
            weights=self.weights[rows],
            terms=self.terms[rows],
            risk=np.broadcast_to(np.asarray(risk, dtype=np.float32), each),
            cost_s=np.repeat(window_s[:, None], self.candidates, axis=1),
            window_s=window_s,
            present=self.present[rows],
            extra_features=self.extra_features[rows],
            budget=budget,
            budget_s=np.broadcast_to(np.asarray(budget_s, dtype=np.float64), each),
        )

    def take(self, rows: IntArray) -> ProblemBatch:
        """Return some of the problems."""
        return ProblemBatch(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @classmethod
    def stack(cls, parts: list[ProblemBatch]) -> ProblemBatch:
        """Join batches of the same shape, whatever their numbers of engines."""
        names = [each.name for each in fields(cls)]
        most = max(part.build_s.shape[1] for part in parts)
        wide = [part._with_engines(most) for part in parts]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in wide]) for name in names}
        )

    def _with_engines(self, count: int) -> ProblemBatch:
        """Return the same padded to so many engines, which nobody needs or builds."""
        more = count - self.build_s.shape[1]

        def padded(values: BoolArray | Single, fill: float) -> Any:
            widths = [(0, 0)] * (values.ndim - 1) + [(0, more)]
            return np.pad(values, widths, constant_values=fill)

        return replace(
            self,
            engines=padded(self.engines, False),
            build_log_s=padded(self.build_log_s, -np.inf),
            build_s=padded(self.build_s, 0.0),
        )

    def save(self, path: str) -> None:
        """Write the problems in one step: a file that is there is whole."""
        with replacing(Path(path)) as file:
            np.savez(file, **{each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def load(cls, path: str) -> ProblemBatch:
        """Read problems that `save` wrote; TraceError if the file is damaged."""
        try:
            arrays = read_arrays(Path(path), Path(path).stat().st_size)  # `save` compresses nothing
            batch = cls(**{each.name: arrays[each.name] for each in fields(cls)})
            batch._check()
            return batch
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise TraceError(
                f"{path} is damaged or from another version: delete it, "
                "and the same command draws its problems anew"
            ) from error

    def _check(self) -> None:
        """Raise a ValueError unless all arrays are of the same problems."""
        problems, quantities, candidates = rows = self.mean.shape
        rank, variants = self.loadings.shape[1], self.outcomes.shape[1]
        engines = self.build_s.shape[1]
        shapes = {
            "residual_variance": rows,
            "loadings": (problems, rank, quantities * candidates),
            "present": (problems, candidates),
            "limits": rows[:2],
            "noise": rows[:2],
            "weights": (problems, self.tenants),
            "terms": (problems, self.tenants + 2),
            "window_s": (problems,),
            "change_s": (problems, candidates + 1, candidates),
            "engines": (problems, candidates, engines),
            "build_log_s": (problems, engines),
            "build_s": (problems, engines),
            "misfit": (problems, len(NUMBERS)),
            "extra_features": (problems, len(PROBLEM_FEATURES)),
            "outcomes": (problems, variants, quantities, candidates),
        }
        for name, shape in {"mean": rows, **shapes}.items():
            array = getattr(self, name)
            kind = np.bool_ if name in ("present", "engines") else np.float32
            if array.shape != shape or array.dtype != kind:
                raise ValueError(f"{name} does not fit the rest")
        if not self.mean.size or quantities != 2 * self.tenants + 1:
            raise ValueError("there are no problems")
