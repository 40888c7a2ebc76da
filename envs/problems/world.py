"""Worlds: problems, and what answers their measurements.

The device model is one (`simulated_world`), a trace another (`trace_world`), a live runtime a third
(`runtime_world`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from envs.arrays import BoolArray, Floats, Placements, Rows, Single
from envs.errors import ConfigurationError, ObjectiveError
from envs.problems.problem_batch import ProblemBatch
from envs.spec import Configuration, ConfigurationSpace, Objective, Origin


@dataclass(frozen=True)
class ProblemSpec:
    """One problem of a world, to be looked up.

    Attributes:
        space, objective: of the problem.
        placements: [M, T, A, 2], the shortlist, whose rows are the candidates.
    """

    space: ConfigurationSpace
    objective: Objective
    placements: Placements


class Asked(NamedTuple):
    """One candidate of each of B problems, to be measured.

    Attributes:
        problem: [B], which problem.
        variant: [B], which truth.
        candidate: [B], which candidate.
        before: [B], which was measured before; itself at first.
        step: [B], measurements before.
    """

    problem: Rows
    variant: Rows
    candidate: Rows
    before: Rows
    step: Rows


class World(Protocol):
    """Problems as arrays, and answers to measurements."""

    @property
    def origin(self) -> Origin:
        """Return where the answers come from."""
        ...

    @property
    def problems(self) -> ProblemBatch:
        """Return all problems as arrays."""
        ...

    @property
    def specs(self) -> Sequence[ProblemSpec]:
        """Return the space, objective and shortlist of each problem."""
        ...

    def respond(self, asked: Asked, normals: Floats) -> Single:
        """Measure one candidate of each of B problems.

        Args:
            asked: which candidate of which problem.
            normals: [B, Q + 1] standard normal numbers: for the noise of each quantity of the
                window, and for what happens beside it.

        Returns:
            Logarithms [B, Q], NaN for what was not read, and in all of a failure.
        """
        ...

    def with_objective(self, objective: Objective) -> World:
        """Return the same world with a single problem: this objective."""
        ...


def check_tenants(objective: Objective, space: ConfigurationSpace) -> None:
    """Raise an ObjectiveError unless the objective has a limit for each tenant of the space."""
    if len(objective.p99_ms) != space.shape[0]:
        raise ObjectiveError(
            f"the objective has {len(objective.p99_ms)} values of p99_ms for {space.shape[0]} "
            "tenants: give one for each"
        )


def default_of(space: ConfigurationSpace, candidates: Placements | None) -> Configuration:
    """Return the configuration that every search starts from.

    Args:
        space: of the candidates.
        candidates: [N, T, A, 2], all that can be tried; None for every valid configuration.
    """
    if candidates is None:
        return space.default()
    row = starting_row(space, candidates, np.zeros(len(candidates), dtype=bool))
    return Configuration.of(candidates[row])


def starting_row(space: ConfigurationSpace, candidates: Placements, failed: BoolArray) -> int:
    """Return the row of the candidate that every search starts from.

    It is the default among those that work; where that is missing the smallest of them, with the
    fewest instances, then the smallest batch.

    Args:
        space: of the candidates.
        candidates: [N, T, A, 2].
        failed: [N], True for those that do not work.

    Raises:
        ConfigurationError: none works.
    """
    if failed.all():
        raise ConfigurationError(
            "no configuration could be measured: there is nothing to start from"
        )
    codes = space.codes(candidates)
    default = np.flatnonzero((codes == space.codes(space.default().array())) & ~failed)
    if len(default):
        return int(default[0])
    size = candidates[..., 0].sum(axis=(1, 2)) * 1e6 + candidates[..., 1].sum(axis=(1, 2))
    return int(np.where(failed, np.inf, size).argmin())
