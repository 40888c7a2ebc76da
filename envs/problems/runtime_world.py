"""A live runtime as a world: each configuration is applied and measured in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.arrays import Floats, Placements, Single
from envs.belief.prior import SHORTLIST, prior_of
from envs.problems.batching import batch_of
from envs.problems.problem_batch import ProblemBatch
from envs.problems.world import (
    Answer,
    Asked,
    ProblemSpec,
    Trial,
    answer_of,
    check_tenants,
    default_of,
)
from envs.runtimes.protocol import Runtime, try_configuration
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.spec import Configuration, Failure, FailureKind, MeasurementBatch, Objective, Outcome


class RuntimeWorld:
    """A runtime whose windows answer every measurement; its best configuration is not known.

    Args:
        runtime: applies and measures.
        window_s: length of each window.
        objectives: the limits of each problem.
        model: a model of the device and its networks; without one, the space alone is known.
        candidates: [N, T, A, 2], all that can be measured; None for every valid configuration.

    Raises:
        ObjectiveError: an objective cannot be judged on this runtime.
    """

    def __init__(
        self,
        runtime: Runtime,
        window_s: float,
        objectives: Sequence[Objective],
        model: DeviceModel | None = None,
        candidates: Placements | None = None,
    ) -> None:
        self.runtime = runtime
        self.space = runtime.space
        self.origin = runtime.origin
        self._window_s = window_s
        self._model = model or model_for(runtime.space)
        self._candidates = candidates
        rng, default = np.random.default_rng(0), default_of(self.space, candidates)
        parts, specs = [], []
        for objective in objectives:
            check_tenants(objective, self.space)
            objective.check_measurable(runtime.has_power)
            # The default is the most likely to work at all.
            prior = prior_of(self._model, objective, rng, candidates, start=default)
            noise = prior.noise(window_s)
            parts.append(
                batch_of(self.space, objective, prior, noise, None, SHORTLIST, window_s=window_s)
            )
            specs.append(ProblemSpec(self.space, objective, prior.placements))
        self.problems = ProblemBatch.stack(parts)
        self.specs: Sequence[ProblemSpec] = specs

    def respond(self, asked: Asked, normals: Floats) -> Single:
        """Apply and measure each candidate in turn, see `World.respond`."""
        outcomes = [
            self._try(self.specs[problem].placements, row)
            for problem, row in zip(asked.problem, asked.candidate, strict=True)
        ]
        return MeasurementBatch.of(outcomes, self.space.shape[0]).logs.T.astype(np.float32)

    def measure(self, trial: Trial, normals: Floats) -> Answer | Failure:
        """Apply and measure, see `World.measure`."""
        outcome = try_configuration(self.runtime, trial.configuration, self._window_s)
        return answer_of(outcome, self.space.shape[0], true=False)

    def _try(self, placements: Placements, row: int) -> Outcome:
        if row >= len(placements):  # a space with fewer configurations than are proposed
            return Failure(
                FailureKind.INVALID,
                f"there is no candidate {row}: the space has {len(placements)} configurations",
            )
        return try_configuration(self.runtime, Configuration.of(placements[row]), self._window_s)

    def with_objective(self, objective: Objective) -> RuntimeWorld:
        """Return the same runtime with a single problem: this objective."""
        return RuntimeWorld(
            self.runtime, self._window_s, [objective], self._model, self._candidates
        )
