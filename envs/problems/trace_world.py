"""A trace as a world: its recorded outcomes answer every measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.arrays import Floats, Single
from envs.belief.prior import SHORTLIST, prior_of
from envs.graph.layer_table import LayerTable
from envs.problems.batching import batch_of
from envs.problems.limits import LimitRange, draw_objectives, uniforms_per_draw
from envs.problems.problem_batch import ProblemBatch
from envs.problems.world import (
    Answer,
    Asked,
    ProblemSpec,
    Trial,
    answer_of,
    check_tenants,
    starting_row,
)
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.spec import Configuration, Failure, Objective, Origin
from envs.traces.reader import Trace

#: Variance that is believed of a recorded window.
RECORDED_NOISE = 0.02**2


class TraceWorld:
    """A trace under limits drawn from what it recorded.

    It has no noise of its own: a configuration always gives its recorded outcome.

    Args:
        trace: the recording.
        split: which limits to draw: `train`, `held_out` or `all`.
        count: problems, each with limits of its own.
        seed: of the draws.
        objectives: the limits of each problem; drawn where not given.

    Raises:
        ObjectiveError: an objective cannot be judged on this trace.
    """

    origin = Origin.REPLAYED

    def __init__(
        self,
        trace: Trace,
        split: str = "train",
        count: int = 128,
        seed: int = 0,
        objectives: Sequence[Objective] | None = None,
    ) -> None:
        self.trace = trace
        self.space = trace.space
        rng = np.random.default_rng(seed)
        if objectives is None:
            uniforms = rng.random((count, uniforms_per_draw(trace.space.shape[0])))
            drawn = draw_objectives(LimitRange.of(trace.batch), uniforms, split)
            objectives = [drawn.row(index) for index in range(count)]
        model = trace_model(trace)
        failed = trace.batch.failed
        working = trace.placements[~failed]
        start = trace.placements[starting_row(trace.space, trace.placements, failed)]
        parts, specs = [], []
        for objective in objectives:
            check_tenants(objective, trace.space)
            objective.check_measurable(
                trace.has_power, f"{trace.path.name} was recorded without a power sensor"
            )
            prior = prior_of(model, objective, rng, working, start=Configuration.of(start))
            logs = trace.batch.take(trace.find(prior.placements)).logs
            noise = np.full(len(logs), RECORDED_NOISE)
            parts.append(batch_of(trace.space, objective, prior, noise, logs[None], SHORTLIST))
            specs.append(ProblemSpec(trace.space, objective, prior.placements))
        self.problems = ProblemBatch.stack(parts)
        self.specs: Sequence[ProblemSpec] = specs

    def respond(self, asked: Asked, normals: Floats) -> Single:
        """Return recorded outcomes, see `World.respond`."""
        outcomes = self.problems.outcomes
        return np.asarray(outcomes[asked.problem, asked.variant, :, asked.candidate])

    def measure(self, trial: Trial, normals: Floats) -> Answer | Failure:
        """Return a recorded outcome, a failure where there is none, see `World.measure`."""
        outcome = self.trace.outcome(trial.configuration)
        return answer_of(outcome, self.space.shape[0], true=True)

    def with_objective(self, objective: Objective) -> TraceWorld:
        """Return the same trace with a single problem: this objective."""
        return TraceWorld(self.trace, objectives=[objective])


def trace_model(trace: Trace, layers: tuple[LayerTable, ...] | None = None) -> DeviceModel:
    """Return the model of the device of a trace, with engines as it recorded them.

    Args:
        trace: the recording.
        layers: [T], of the recorded networks; None where their files are not at hand.

    Raises:
        OptionError: the catalogue has no such device.
    """
    return model_for(trace.space, layers, **trace.engines)
