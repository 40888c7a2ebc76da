"""Worlds: problems, and what answers their measurements. The device model is one, a trace another, a live runtime a third.

Letters: S problems, B rows, M candidates, T tenants, A accelerators, Q = 2 T + 1 quantities, V variants of what is true.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from envs.arrays import Placements, Rows, Single
from envs.belief.prior import SHORTLIST, prior_of
from envs.belief.shortlist import score_and_violation
from envs.errors import ConfigurationError, ObjectiveError
from envs.problems.draw import DrawnProblem, DrawOptions, draw_problem
from envs.problems.limits import LimitRange, draw_objectives, uniforms_per_draw
from envs.problems.problem_batch import Pool, pool_of
from envs.runtimes.protocol import Runtime, try_configuration
from envs.simulator.device_model import DeviceModel, model_for, noise_spread
from envs.simulator.tables import Contexts
from envs.spec.measurement import Failure, FailureKind, MeasurementBatch, Origin, Outcome
from envs.spec.objective import Objective
from envs.spec.space import Configuration, ConfigurationSpace
from envs.traces.reader import Trace

#: Problems that one process draws in one go.
PORTION = 20

#: A limit counts as one that can be kept where something keeps it by this many standard deviations of a window's noise: a window cannot
#: tell a limit that is kept by less from one that is broken.
TELLING = 2.0

#: Share of the problems to learn from that start anywhere that is sure to keep the limits, not where that promises most: more of the space is seen so.
ELSEWHERE = 0.6

#: What is true of a simulated problem: as it was drawn, with a co-runner or hot, and of another device of its kind.
VARIANTS = 3


@dataclass(frozen=True)
class Asked:
    """One problem of a world, to be looked up: its space, objective, and shortlist [M, T, A, 2] whose rows are candidates."""

    space: ConfigurationSpace
    objective: Objective
    placements: Placements


class World(Protocol):
    """Problems as arrays, and answers to measurements."""

    @property
    def origin(self) -> Origin: ...

    @property
    def pool(self) -> Pool: ...

    @property
    def asked(self) -> Sequence[Asked]: ...

    def respond(
        self, problems: Rows, variants: Rows, candidates: Rows, normals: npt.NDArray[np.floating]
    ) -> Single:
        """Logarithms [B, Q] of what a window gives, NaN in all for a failure; normals [B, Q] stand for its noise."""
        ...

    def asking(self, objective: Objective) -> World:
        """The same world with a single problem: this objective."""
        ...


class _Recorded:
    """Answers out of the pool: what is true there, and a window's noise on it."""

    pool: Pool

    def respond(
        self, problems: Rows, variants: Rows, candidates: Rows, normals: npt.NDArray[np.floating]
    ) -> Single:
        true = self.pool.outcomes[problems, variants, :, candidates]
        return np.asarray(true + np.sqrt(self.pool.noise[problems]) * normals, dtype=np.float32)


class SimulatedWorld(_Recorded):
    """Problems drawn in the device model, the same ones for the same seed however many processes draw them.

    Args:
        count: problems. jobs: processes. progress: told how many problems are new, now and then.
    """

    origin = Origin.SIMULATED

    def __init__(
        self,
        options: DrawOptions,
        count: int,
        seed: int,
        jobs: int = 1,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        tasks = [
            (options, min(PORTION, count - start), seed, start // PORTION)
            for start in range(0, count, PORTION)
        ]
        portions: list[tuple[Pool, list[Asked]]] = []
        if jobs > 1 and len(tasks) > 1:
            with ProcessPoolExecutor(
                jobs, mp_context=multiprocessing.get_context("spawn")
            ) as executor:
                for portion in executor.map(_portion, tasks):
                    portions.append(portion)
                    if progress is not None:
                        progress(len(portion[0]))
        else:
            for task in tasks:
                portions.append(_portion(task))
                if progress is not None:
                    progress(len(portions[-1][0]))
        self.pool = Pool.stack([pool for pool, _ in portions])
        self.asked: Sequence[Asked] = [each for _, asked in portions for each in asked]

    @classmethod
    def of(cls, pool: Pool, asked: Sequence[Asked] = ()) -> SimulatedWorld:
        """Problems that were drawn before; without `asked` an environment cannot say what its actions are, which training does not need."""
        world = cls.__new__(cls)
        world.pool, world.asked = pool, asked
        return world

    def asking(self, objective: Objective) -> World:
        raise ObjectiveError(
            "every problem of a simulated world has limits of its own, drawn with it: give limits to a trace or a runtime"
        )


def _portion(task: tuple[DrawOptions, int, int, int]) -> tuple[Pool, list[Asked]]:
    """Some problems, from a generator of their own."""
    options, count, seed, index = task
    rng = np.random.default_rng([seed, index])
    tenants = 2 if options.two_tenants > 0 else 1
    made: list[tuple[Pool, Asked]] = []
    while len(made) < count:
        one = simulated(draw_problem(options, rng), options, rng, tenants)
        if one is not None:
            made.append(one)
    return Pool.stack([pool for pool, _ in made]), [asked for _, asked in made]


def simulated(
    problem: DrawnProblem, options: DrawOptions, rng: np.random.Generator, tenants: int
) -> tuple[Pool, Asked] | None:
    """A problem and its variants as arrays; None where its limits cannot be kept by anything that was found."""
    model = problem.model
    prior = prior_of(model, problem.objective, rng)
    sure = prior.sure(problem.objective) if options.split == "train" else ()
    if len(sure) and rng.random() < ELSEWHERE:
        prior = prior.starting_at(int(rng.choice(sure)))
    others = model.drawn(rng, 3 * VARIANTS, options.width)
    truths = Contexts.stack([problem.truth, disturbed(problem.truth, rng), others])
    outcomes = model.logarithms(truths, prior.placements)
    _, violation = score_and_violation(model, outcomes, problem.objective)
    spread = noise_spread(np.exp(np.median(prior.nominal[: model.space.shape[0]], axis=1)))
    possible = np.flatnonzero(
        (violation <= -TELLING * spread[model.space.shape[0] :].max()).any(axis=1)
    )
    if len(possible) < VARIANTS or possible[0] > 0:
        return None
    outcomes = outcomes[possible[:VARIANTS]]
    pool = pool_of(model.space, problem.objective, prior, outcomes, spread**2, SHORTLIST, tenants)
    return pool, Asked(model.space, problem.objective, prior.placements)


def disturbed(truth: Contexts, rng: np.random.Generator) -> Contexts:
    """The same device when it is hot, or shared with something else."""
    hot, gpu, traffic = rng.random(3)
    return replace(
        truth,
        clock=truth.clock * (1 - 0.3 * hot),
        other_gpu=truth.other_gpu + 0.3 * gpu,
        other_byte_s=truth.other_byte_s + 0.2 * traffic * truth.dram_byte_s,
    )


class TraceWorld(_Recorded):
    """A trace under limits drawn from what it recorded. It has no noise of its own: a configuration gives what was recorded, each time.

    Args:
        split: which limits: `train`, `held_out` or `all`. count: problems, each with limits of its own.
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
            drawn = draw_objectives(
                LimitRange.of(trace.batch),
                rng.random((count, uniforms_per_draw(trace.space.shape[0]))),
                split,
            )
            objectives = [drawn.row(index) for index in range(count)]
        model = model_for(trace.space)
        working = trace.placements[~trace.batch.failed]
        start = Configuration.of(
            trace.placements[starting_row(trace.space, trace.placements, trace.batch.failed)]
        )
        parts, asked = [], []
        for objective in objectives:
            check_asked(objective, trace.space)
            objective.check_measurable(
                self.has_power, f"{trace.path.name} was recorded without a power sensor"
            )
            prior = prior_of(model, objective, rng, working, start=start)
            outcomes = trace.batch.take(trace.find(prior.placements)).logs
            quiet = np.full(len(outcomes), 0.02**2)
            parts.append(pool_of(trace.space, objective, prior, outcomes[None], quiet, SHORTLIST))
            asked.append(Asked(trace.space, objective, prior.placements))
        self.pool = Pool.stack(parts)
        self.asked: Sequence[Asked] = asked

    @property
    def has_power(self) -> bool:
        return bool((self.trace.batch.power_w > 0).any())

    def respond(
        self, problems: Rows, variants: Rows, candidates: Rows, normals: npt.NDArray[np.floating]
    ) -> Single:
        return np.asarray(self.pool.outcomes[problems, variants, :, candidates])

    def asking(self, objective: Objective) -> TraceWorld:
        return TraceWorld(self.trace, objectives=[objective])


class RuntimeWorld:
    """A runtime as a world: each configuration is applied and measured in turn. What is best there is not known.

    Args:
        model: what is known of the device and its networks; None to go by what the space says.
    """

    def __init__(
        self,
        runtime: Runtime,
        window_s: float,
        objectives: Sequence[Objective],
        model: DeviceModel | None = None,
    ) -> None:
        self.runtime = runtime
        self.space = runtime.space
        self.origin = runtime.origin
        self._window_s = window_s
        self._model = model or model_for(runtime.space)
        rng = np.random.default_rng(0)
        parts, asked = [], []
        for objective in objectives:
            check_asked(objective, self.space)
            objective.check_measurable(runtime.has_power)
            prior = prior_of(
                self._model, objective, rng, start=self.space.default()
            )  # what is most likely to work at all
            spread = noise_spread(
                np.exp(np.median(prior.nominal[: self.space.shape[0]], axis=1)), window_s
            )
            parts.append(pool_of(self.space, objective, prior, None, spread**2, SHORTLIST))
            asked.append(Asked(self.space, objective, prior.placements))
        self.pool = Pool.stack(parts)
        self.asked: Sequence[Asked] = asked

    def respond(
        self, problems: Rows, variants: Rows, candidates: Rows, normals: npt.NDArray[np.floating]
    ) -> Single:
        outcomes = [
            self._try(self.asked[problem].placements, row)
            for problem, row in zip(problems, candidates, strict=True)
        ]
        return MeasurementBatch.of(outcomes, self.space.shape[0]).logs.T.astype(np.float32)

    def _try(self, placements: Placements, row: int) -> Outcome:
        if row >= len(placements):  # a space with fewer configurations than are proposed
            return Failure(
                FailureKind.INVALID,
                f"there is no candidate {row}: the space has {len(placements)} configurations",
            )
        return try_configuration(self.runtime, Configuration.of(placements[row]), self._window_s)

    def asking(self, objective: Objective) -> RuntimeWorld:
        return RuntimeWorld(self.runtime, self._window_s, [objective], self._model)


def check_asked(objective: Objective, space: ConfigurationSpace) -> None:
    """ObjectiveError unless the objective is one for as many tenants as there are."""
    if len(objective.p99_ms) != space.shape[0]:
        raise ObjectiveError(
            f"the objective has {len(objective.p99_ms)} values of p99_ms for {space.shape[0]} tenants: give one for each"
        )


def starting_row(
    space: ConfigurationSpace, candidates: Placements, failed: npt.NDArray[np.bool_]
) -> int:
    """The default among the candidates that work, or the smallest of them where it is missing: fewest instances, then smallest batch."""
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
