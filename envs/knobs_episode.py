"""Episodes in which an action sets every knob by itself.

There is no belief: what was asked and what came of it is all that an agent is shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, IntArray, Rows, Single
from envs.belief.progress import Progress
from envs.episode import Episodes
from envs.errors import OptionError
from envs.knobs_features import Seen, describe, facts_of, names_of
from envs.problems.episode_options import EpisodeOptions
from envs.problems.world import Answer, ProblemSpec, Trial, World
from envs.spec import Configuration, Failure, FailureKind
from envs.spec.build_times import BuildTimes
from envs.spec.change_cost import change_s, engines_of
from envs.spec.knob_layout import KnobLayout


class KnobEpisodes(Episodes):
    """B episodes over the problems of a world, whose actions are numbers of a `KnobLayout`.

    What an action asks for is judged first (`envs.spec.validity`). An invalid combination is a
    failure: nothing is applied, it takes one measurement of the budget and no time, and its price
    is that of a broken limit, as for every other failure.

    A candidate is here the first measurement of an episode that asked for the same configuration.

    Args:
        world, rows, options: see `Episodes`. An engine that is not there takes the seconds to
            build that are expected of it (`envs.spec.change_cost`).

    Attributes:
        layout: what the numbers of an action mean.
        features: the names [F] of what an observation holds, in order.
        asked: [B] lists, in the order of the measurements, of configurations, or failures where an
            action asked for an invalid one.
        failures: [B], why the last measurement gave nothing; None where it did.
    """

    def __init__(self, world: World, rows: int, options: EpisodeOptions | None = None) -> None:
        if not world.specs:
            raise OptionError(
                "actions=knobs needs the spaces of the problems, which a world made of arrays lacks"
            )
        super().__init__(world, rows, options)
        self.layout = KnobLayout.of([spec.space for spec in world.specs])
        self.features = names_of(self.layout)
        self._facts: dict[int, Single] = {}
        self._masks: dict[int, BoolArray] = {}
        self._build_s: dict[int, FloatArray] = {}

    def reset(self, uniforms: Floats, normals: Floats) -> Single:
        """Start all episodes anew, see `Episodes.reset`; observations are [B, F]."""
        self.asked: list[list[Configuration | Failure]] = [[] for _ in range(self.rows)]
        self.failures: list[Failure | None] = [None] * self.rows
        self._pending: list[Configuration | Failure] = []
        shape = (self.rows, self.budget)
        self._seen = Seen.start(*shape, self.problems.quantities, len(self.layout.sizes))
        variants = self.problems.outcomes.shape[1]
        self._true = np.full((*shape, variants, self.problems.quantities), np.nan, np.float32)
        fresh = uniforms[:, 8] < self.options.builds
        self._built: list[BoolArray | None] = [None if each else np.ones(1, bool) for each in fresh]
        return super().reset(uniforms, normals)

    def step(
        self, actions: IntArray, normals: Floats
    ) -> tuple[Single, FloatArray, BoolArray, dict[str, Any]]:
        """Measure what the action of each row asks for.

        Args:
            actions: [B, 2 K], see `KnobLayout`.
            normals: [B, Q + 1], the noise of the window, see `World.respond`.

        Returns:
            Observations [B, F], rewards [B], where the budget is used up [B], and facts, [B] each:
            those of `Episodes.step`, and `failure`, a `Failure` or None.

        Raises:
            ConfigurationError: an action is none, or the budget is used up.
        """
        pending = [
            self.layout.configuration(spec.space, action)
            for spec, action in zip(self._row_specs(), actions, strict=True)
        ]
        self._check_budget()
        self._pending = pending
        candidates = [self._first(row, each) for row, each in enumerate(pending)]
        observations, rewards, ended, facts = self._next(np.array(candidates), normals)
        failures = np.empty(self.rows, dtype=object)
        failures[:] = self.failures
        return observations, rewards, ended, facts | {"failure": failures}

    def masks(self, row: int) -> BoolArray:
        """Return the options of a row's action that may be part of a valid configuration."""
        problem = int(self.problem[row])
        if problem not in self._masks:
            self._masks[problem] = self.layout.masks(self.world.specs[problem].space)
        return self._masks[problem]

    def _first(self, row: int, asked: Configuration | Failure) -> int:
        """Return the measurement that asked for the same configuration first; else this one."""
        earlier = self.asked[row]
        known = isinstance(asked, Configuration) and asked in earlier
        return earlier.index(asked) if known else len(earlier)

    def _start(self) -> Progress:
        return Progress.start(self.rows, self.budget)

    def _row_specs(self) -> list[ProblemSpec]:
        return [self.world.specs[problem] for problem in self.problem]

    def _respond(self, candidates: Rows, normals: Floats) -> Single:
        """Measure what each row asks for, and note what came of it: logarithms [B, Q]."""
        slot = int(self.used[0])  # all rows share the budget
        specs = self._row_specs()
        pending = self._pending or [Configuration.of(spec.placements[0]) for spec in specs]
        for row, (spec, asked) in enumerate(zip(specs, pending, strict=True)):
            found = asked if isinstance(asked, Failure) else self._try(row, asked, normals[row])
            self.asked[row].append(asked)
            self.failures[row] = found if isinstance(found, Failure) else None
            if isinstance(found, Failure):
                self._seen.failed[row, slot] = True
                self._seen.invalid[row, slot] = found.kind is FailureKind.INVALID
            else:
                self._seen.logs[row, slot] = found.seen
                self._true[row, candidates[row]] = found.true
            if isinstance(asked, Configuration):
                action = self.layout.action(spec.space, asked)
                self._seen.knobs[row, slot] = self.layout.shares(action)
        self._seen.latest[self._every, candidates] = slot
        return np.asarray(self._seen.logs[:, slot])

    def _try(self, row: int, configuration: Configuration, normals: Floats) -> Answer | Failure:
        before = self._standing(row, len(self.asked[row])) or configuration
        where = int(self.problem[row]), int(self.variant[row])
        trial = Trial(*where, configuration, before, int(self.used[row]))
        return self.world.measure(trial, normals)

    def _standing(self, row: int, slot: int) -> Configuration | None:
        """Return what was asked for last before a measurement, and was valid; None for nothing."""
        valid = (each for each in self.asked[row][:slot][::-1] if isinstance(each, Configuration))
        return next(valid, None)

    def _learn(self, candidates: Rows, seen: Single) -> Single:
        return np.full(len(seen), np.nan, dtype=np.float32)  # nothing was believed

    def _cost_s(self, candidates: Rows) -> FloatArray:
        slot = int(self.used[0])
        return np.array([self._seconds_of(row, slot) for row in range(self.rows)])

    def _seconds_of(self, row: int, slot: int) -> float:
        """Return the seconds that a measurement took: window, change and builds."""
        asked = self.asked[row][slot]
        if isinstance(asked, Failure):
            return 0.0
        problem = int(self.problem[row])
        space, after = self.world.specs[problem].space, asked.array()
        before = self._standing(row, slot)
        took_s = float(change_s(space, None if before is None else before.array(), after))
        built = self._built[row]
        if built is None or not built.all():
            needed = engines_of(space, after)
            there = np.zeros_like(needed) if built is None else built
            if problem not in self._build_s:
                self._build_s[problem] = BuildTimes.of(space).expected_s()
            took_s += float(self._build_s[problem][needed & ~there].sum())
            self._built[row] = there | needed
        return float(self.conditions.window_s[row]) + took_s

    def _truth_of_best(self) -> Single | None:
        if not self.problems.outcomes.shape[1]:
            return None
        return np.asarray(self._true[self._every, np.maximum(self.progress.best, 0), self.variant])

    def _observe(self) -> Single:
        for row, problem in enumerate(self.problem.tolist()):
            if problem not in self._facts:
                masks = self.masks(row)
                self._facts[problem] = facts_of(self.world.specs[problem], self.layout, masks)
        facts = np.stack([self._facts[problem] for problem in self.problem.tolist()])
        self.last = describe(self._seen, self.conditions, self.progress, self.time_left(), facts)
        return self.last
