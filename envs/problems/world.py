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
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    MeasurementBatch,
    Objective,
    Origin,
    Outcome,
)


@dataclass(frozen=True)
class Truth:
    """The answer of the device model for any configuration of a simulated problem.

    Attributes:
        model: of the device.
        contexts: V, the variants of what is true.
    """

    model: DeviceModel
    contexts: Contexts

    def logs(self, configuration: Configuration) -> Single:
        """Return the true logarithms [V, Q] of a configuration."""
        logs = self.model.logarithms(self.contexts, configuration.array()[None])
        return logs[:, :, 0].astype(np.float32)


@dataclass(frozen=True)
class ProblemSpec:
    """One problem of a world, to be looked up.

    Attributes:
        space, objective: of the problem.
        placements: [M, T, A, 2], the shortlist, whose rows are the candidates.
        truth: what is true of every configuration; None where the world knows it of the shortlist
            alone, or not at all.
    """

    space: ConfigurationSpace
    objective: Objective
    placements: Placements
    truth: Truth | None = None


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


class Trial(NamedTuple):
    """Any valid configuration of one problem, to be measured.

    Attributes:
        problem, variant: which problem, and which truth.
        configuration: valid in the space of the problem.
        before: what was measured before; itself at first.
        step: measurements before.
    """

    problem: int
    variant: int
    configuration: Configuration
    before: Configuration
    step: int


class Answer(NamedTuple):
    """Hold the result of a trial.

    Attributes:
        seen: [Q] logarithms of the window, NaN for what was not read.
        true: [V, Q] of each variant; empty (V = 0) where nobody knows.
    """

    seen: Single
    true: Single


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

    def measure(self, trial: Trial, normals: Floats) -> Answer | Failure:
        """Measure any valid configuration of one problem, on its shortlist or not.

        Args:
            trial: what to measure.
            normals: [Q + 1], those of one row of `respond`.

        Returns:
            What was seen and what is true; or why there is nothing.

        Raises:
            OptionError: the world knows nothing beyond its shortlists.
        """
        ...

    def with_objective(self, objective: Objective) -> World:
        """Return the same world with a single problem: this objective."""
        ...


def answer_of(outcome: Outcome, tenants: int, *, true: bool) -> Answer | Failure:
    """Return the answer that an outcome is, which counts as the truth or not."""
    if isinstance(outcome, Failure):
        return outcome
    logs = MeasurementBatch.of([outcome], tenants).logs.T.astype(np.float32)
    return Answer(logs[0], logs if true else logs[:0])


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
