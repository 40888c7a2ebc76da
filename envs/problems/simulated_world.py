"""Problems drawn in the device model, with the model's own answers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from envs.arrays import Floats, Rows, Single
from envs.belief.assess import normal_chance
from envs.belief.prior import SHORTLIST, prior_of
from envs.belief.score import score_and_violation
from envs.errors import ObjectiveError, OptionError
from envs.problems.batching import batch_of, rows_of_quantities
from envs.problems.draw import DrawnProblem, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.misfits import NUMBERS, truth_of_windows
from envs.problems.problem_batch import ProblemBatch
from envs.problems.world import Answer, Asked, ProblemSpec, Trial, Truth, World
from envs.simulator.tables import Contexts
from envs.simulator.tails import stretched
from envs.spec import Configuration, Failure, Objective, Origin

#: Problems that one process draws in one go.
PORTION = 20

#: A limit counts as one that can be kept where a configuration keeps it by this many standard
#: deviations of a window's noise: no window tells a limit kept by less from a broken one.
DETECTABLE_SIGMAS = 2.0

#: Share of the training problems that start at random among the configurations that are sure to
#: keep the limits, not at the most promising one: so more of the space is seen.
RANDOM_START_SHARE = 0.6

#: Truths of a simulated problem: as it was drawn, with a co-runner or hot, and of another device of
#: its kind.
VARIANTS = 3


class SimulatedWorld:
    """Problems drawn in the device model, the same for the same seed in any number of processes.

    Args:
        options: what to draw from.
        count: problems.
        seed: of the draws.
        jobs: processes.
        progress: called with the number of new problems, now and then.
        whole: keep what is true of every configuration, 14 kB a problem, for `measure`.
    """

    origin = Origin.SIMULATED

    def __init__(
        self,
        options: DrawOptions,
        count: int,
        seed: int,
        jobs: int = 1,
        progress: Callable[[int], object] | None = None,
        whole: bool = False,
    ) -> None:
        drawing = partial(_drawn, options, whole)
        self.problems, specs = draw_together(drawing, count, seed, jobs, progress)
        self.specs: Sequence[ProblemSpec] = specs

    @classmethod
    def of(cls, problems: ProblemBatch, specs: Sequence[ProblemSpec] = ()) -> SimulatedWorld:
        """Make a world of problems that were drawn before.

        Without `specs` an environment cannot name its actions, which training does not need.
        """
        world = cls.__new__(cls)
        world.problems, world.specs = problems, specs
        return world

    def respond(self, asked: Asked, normals: Floats) -> Single:
        """Add the noise of a window to the truth, see `World.respond`."""
        outcomes, at = self.problems.outcomes, asked.problem
        other = outcomes[at, (asked.variant + 1) % outcomes.shape[1], :, asked.candidate]
        true = outcomes[at, asked.variant, :, asked.candidate]
        before = outcomes[at, asked.variant, -1, asked.before]
        return self._windows(at, asked.step, true, other, before, normals)

    def measure(self, trial: Trial, normals: Floats) -> Answer | Failure:
        """Add the noise of a window to the truth of any configuration, see `World.measure`."""
        spec = self.specs[trial.problem]
        if spec.truth is None:
            raise OptionError(
                "this simulated world knows the truth of its shortlists alone: draw it with"
                " whole=True to measure any configuration"
            )
        true = self._padded(spec, spec.truth.logs(trial.configuration))
        again = trial.before == trial.configuration
        before = true if again else self._padded(spec, spec.truth.logs(trial.before))
        variant, other = trial.variant, (trial.variant + 1) % len(true)
        seen = self._windows(
            np.array([trial.problem]),
            np.array([trial.step]),
            true[[variant]],
            true[[other]],
            before[[variant], -1],
            normals[None],
        )
        return Answer(seen[0], true)

    def _padded(self, spec: ProblemSpec, logs: Single) -> Single:
        """Return logarithms [V, Q] among those of the problem that has the most tenants."""
        result = np.full((len(logs), self.problems.quantities), np.nan, dtype=np.float32)
        result[:, rows_of_quantities(spec.space.shape[0], self.problems.tenants)] = logs
        return result

    def _windows(
        self, at: Rows, step: Rows, true: Single, other: Single, before: Single, normals: Floats
    ) -> Single:
        """Add noise and misfits of windows to the truth.

        Args:
            at: [B], which problem.
            step: [B], measurements before.
            true: [B, Q], of the variant that holds.
            other: [B, Q], of the next one.
            before: [B], true power of what was measured before.
            normals: [B, Q + 1].
        """
        problems = self.problems
        misfit = problems.misfit[at]
        true = truth_of_windows(misfit, step, true, other, before, normal_chance(normals[:, -1]))
        tail = misfit[:, NUMBERS.index("tail")]
        scatter = normals[:, :-1].copy()
        late = slice(problems.tenants, 2 * problems.tenants)
        scatter[:, late] = stretched(scatter[:, late], tail[:, None])
        return np.asarray(true + np.sqrt(problems.noise[at]) * scatter, dtype=np.float32)

    def with_objective(self, objective: Objective) -> World:
        """Raise an ObjectiveError: the limits of a simulated problem were drawn with it."""
        raise ObjectiveError(
            "every problem of a simulated world has limits of its own, drawn with it: "
            "give limits to a trace or a runtime"
        )


Made = tuple[ProblemBatch, ProblemSpec]

#: Draws one problem; None where it has no answer.
Drawing = Callable[[np.random.Generator], Made | None]


def draw_together(
    drawing: Drawing,
    count: int,
    seed: int,
    jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> tuple[ProblemBatch, list[ProblemSpec]]:
    """Draw problems, the same for the same seed in any number of processes.

    Args:
        drawing: draws one of them; with several processes it must be picklable.
        count: problems.
        seed: of the draws.
        jobs: processes.
        progress: called with the number of new problems, now and then.
    """
    starts = range(0, count, PORTION)
    tasks = [(drawing, min(PORTION, count - each), seed, each // PORTION) for each in starts]
    portions: list[tuple[ProblemBatch, list[ProblemSpec]]] = []

    def add(portion: tuple[ProblemBatch, list[ProblemSpec]]) -> None:
        portions.append(portion)
        if progress is not None:
            progress(len(portion[0]))

    if jobs > 1 and len(tasks) > 1:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=spawn) as executor:
            for portion in executor.map(_portion, tasks):
                add(portion)
    else:
        for task in tasks:
            add(_portion(task))
    batch = ProblemBatch.stack([problems for problems, _ in portions])
    return batch, [each for _, specs in portions for each in specs]


def _portion(task: tuple[Drawing, int, int, int]) -> tuple[ProblemBatch, list[ProblemSpec]]:
    drawing, count, seed, index = task
    rng = np.random.default_rng([seed, index])
    made: list[Made] = []
    while len(made) < count:
        one = drawing(rng)
        if one is not None:
            made.append(one)
    return ProblemBatch.stack([problem for problem, _ in made]), [spec for _, spec in made]


def _drawn(options: DrawOptions, whole: bool, rng: np.random.Generator) -> Made | None:
    return simulated(draw_problem(options, rng), options, rng, whole=whole)


def simulated(
    problem: DrawnProblem,
    options: DrawOptions,
    rng: np.random.Generator,
    start: Configuration | None = None,
    whole: bool = False,
) -> Made | None:
    """Return a problem and its variants as arrays.

    None where no configuration that was found keeps its limits.

    Args:
        problem: the device and its limits.
        options: how it was drawn.
        rng: for the belief and the variants.
        start: the first measurement of every search; None for what is sure to keep the limits.
        whole: keep what is true of every configuration. Not on a conditioned model, whose
            configurations depart from it each by itself.
    """
    model = problem.model
    prior = prior_of(model, problem.objective, rng, start=start)
    sure = prior.sure(problem.objective) if options.split == "train" and start is None else ()
    if len(sure) and rng.random() < RANDOM_START_SHARE:
        prior = prior.starting_at(int(rng.choice(sure)))
    misfit = problem.misfit
    others = misfit.apply(model.drawn(rng, 3 * VARIANTS, options.width * misfit.width))
    truths = Contexts.stack([problem.truth, disturbed(problem.truth, rng), others])
    outcomes = model.logarithms(truths, prior.placements)
    if model.unknowns is not None:  # what was recorded told how far configurations depart
        _, variance = model.own_departures(prior.placements)
        outcomes += np.sqrt(variance) * rng.standard_normal(outcomes.shape)
    _, violation = score_and_violation(model, outcomes, problem.objective)
    noise = prior.noise()
    detectable = DETECTABLE_SIGMAS * np.sqrt(noise[model.space.shape[0] :].max())
    possible = np.flatnonzero((violation <= -detectable).any(axis=1))
    if len(possible) < VARIANTS or possible[0] > 0:
        return None
    possible = possible[:VARIANTS]
    outcomes = outcomes[possible]
    truth = Truth(model, truths.take(possible)) if whole and model.unknowns is None else None
    batch = batch_of(
        model.space,
        problem.objective,
        prior,
        noise,
        outcomes,
        SHORTLIST,
        options.most_tenants,
        misfit=misfit.numbers,
        rng=rng,
    )
    return batch, ProblemSpec(model.space, problem.objective, prior.placements, truth)


def disturbed(truth: Contexts, rng: np.random.Generator) -> Contexts:
    """Return the same device when it is hot, or shared with something else."""
    hot, gpu, traffic = rng.random(3)
    return replace(
        truth,
        clock=truth.clock * (1 - 0.3 * hot),
        other_gpu=truth.other_gpu + 0.3 * gpu,
        other_byte_s=truth.other_byte_s + 0.2 * traffic * truth.dram_byte_s,
    )
