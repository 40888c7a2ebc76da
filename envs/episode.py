"""Episodes of tuning, B at a time; the scalar environment is a batch of one."""

from typing import Any

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, IntArray, Rows, Single
from envs.belief.assess import assess, normal_chance
from envs.belief.features import PROPOSALS, observe
from envs.belief.progress import Progress
from envs.errors import ConfigurationError
from envs.problems.episode_options import EpisodeOptions
from envs.problems.loading import Loading
from envs.problems.world import Asked, World
from envs.spec import MAX_VIOLATION, log_score, worst_margin

#: Uniform numbers that one reset of a row takes: which problem, which variant of it, whether and
#: when something changes, and what; the price of a broken limit, the seconds there are, and whether
#: engines are built.
UNIFORMS = 9

#: Share of what was learned that is forgotten when conditions change.
DOUBT = 0.5

#: The largest change of all limits, in logarithms, either way.
LIMIT_CHANGE = 0.3


class Episodes:
    """B episodes over the problems of a world.

    Args:
        world: problems, and what answers their measurements.
        rows: B.
        options: how they are played; the defaults where not given.
    """

    def __init__(self, world: World, rows: int, options: EpisodeOptions | None = None) -> None:
        self.world = world
        self.problems = world.problems
        self.rows = rows
        self.options = options or EpisodeOptions()
        self.budget = self.options.budget
        self.proposals = min(PROPOSALS, self.problems.candidates)
        self._every = np.arange(rows)
        self.progress = self._start()
        self.progress.used[:] = self.budget  # nothing to continue before the first reset

    @property
    def used(self) -> Rows:
        """Return the measurements of the budget that were used, [B]."""
        return self.progress.used

    def reset(self, uniforms: Floats, normals: Floats) -> Single:
        """Start all episodes anew: draw a problem for each row and measure its default.

        Args:
            uniforms: [B, UNIFORMS].
            normals: [B, Q + 1], the noise of the window, see `World.respond`.

        Returns:
            Observations [B, P, F].

        Raises:
            ConfigurationError: a default could not be measured: there is nothing to start from.
        """
        problems, variants = len(self.problems), max(self.problems.outcomes.shape[1], 1)
        self.problem = np.minimum((uniforms[:, 0] * problems).astype(np.int64), problems - 1)
        self.variant = np.minimum((uniforms[:, 1] * variants).astype(np.int64), variants - 1)
        when = 2 + (uniforms[:, 3] * max(self.budget - 3, 1)).astype(np.int64)
        self._change_at = np.where(uniforms[:, 2] < self.options.changes, when, self.budget + 1)
        self._change_to = uniforms[:, 4]
        self.belief = self.problems.belief(self.problem)
        self.loading = Loading(self.problems, self.problem, uniforms[:, 8] < self.options.builds)
        usual_s = self.problems.window_s[self.problem] * self.budget + self.loading.all_builds_s()
        risks = self.options.risks(uniforms[:, 5])
        seconds = self.options.seconds(uniforms[:, 6:8], usual_s)
        conditions = self.problems.conditions(self.problem, self.budget, risks, seconds)
        self.conditions = conditions._replace(cost_s=self.loading.expected_s())
        self.progress = self._start()
        self._before = np.zeros(self.rows, dtype=np.int64)
        self.optimum = self._best_there_is(self._every, self.variant, self.conditions.limits)
        self.taken = np.full((self.rows, self.budget), -1, dtype=np.int64)
        self.log_score = np.full((self.rows, self.budget), -np.inf, dtype=np.float32)
        self.kept = np.zeros((self.rows, self.budget), dtype=bool)
        _, _, failed = self._measure(np.zeros(self.rows, dtype=np.int64), normals)
        if failed.any():
            raise ConfigurationError(
                "the default configuration could not be measured: there is nothing to start from"
            )
        self._value = self._worth(self.share())
        return self._observe()

    def step(
        self, actions: IntArray, normals: Floats
    ) -> tuple[Single, FloatArray, BoolArray, dict[str, Any]]:
        """Measure one of the proposals of each row.

        Args:
            actions: [B], which proposal.
            normals: [B, Q + 1], the noise of the window, see `World.respond`.

        Returns:
            Observations [B, P, F], rewards [B], where the budget is used up [B], and facts, [B]
            each.

        Raises:
            ConfigurationError: an action is no proposal, or the budget is used up.
        """
        chosen = np.asarray(actions).astype(np.int64)
        if chosen.min() < 0 or chosen.max() >= self.proposals:
            raise ConfigurationError(f"actions must lie in 0..{self.proposals - 1}")
        self._check_budget()
        return self._next(self.shown[self._every, chosen], normals)

    def _check_budget(self) -> None:
        if (self.used >= self.budget).any():
            raise ConfigurationError("an episode's budget is used up: call reset() first")

    def _next(
        self, candidates: Rows, normals: Floats
    ) -> tuple[Single, FloatArray, BoolArray, dict[str, Any]]:
        """Measure one candidate of each row, [B]; return what `step` does."""
        left = self.time_left()
        self._change(np.flatnonzero(self.used == self._change_at))
        score, margin, failed = self._measure(candidates, normals)
        share = self.share()
        value = self._worth(share)
        rewards = (value - self._value) * left - self.conditions.risk * (margin > 0) * (left > 0)
        self._value = value
        facts = {
            "score": np.exp(score),
            "violation": np.clip(margin, 0.0, MAX_VIOLATION),
            "failed": failed,
            "share": share,
            "spent_s": self.progress.spent_s.copy(),
        }
        return self._observe(), rewards, self.used >= self.budget, facts

    def time_left(self) -> FloatArray:
        """Return the share of the seconds that is left, [B]; 1 where they are not limited."""
        return self.progress.time_left(self.conditions.budget_s)

    def share(self) -> FloatArray:
        """Return the score of the best so far over that of the optimum, [B]; 0 for none.

        Where the truth is known, it is the true score. One that truly breaks a limit counts less,
        the surer a window would show it.
        """
        gap = np.full(self.rows, -np.inf)
        found, true = self.progress.best >= 0, self._truth_of_best()
        if true is None:
            np.subtract(self.progress.best_score, self.optimum, out=gap, where=found)
            return np.asarray(np.exp(np.minimum(gap, 1.0)))
        logs = true[:, :, None]
        score = log_score(logs, self.conditions.weights, self.conditions.terms)[:, 0]
        np.subtract(score, self.optimum, out=gap, where=found)
        margin = worst_margin(logs, self.conditions.limits)[:, 0]
        # No window tells a limit that is broken by less than its noise from one that is kept.
        spread = np.sqrt(self.conditions.noise[:, self.problems.tenants :, 0].max(axis=1))
        kept = 2.0 * normal_chance(-np.clip(margin / spread, 0.0, 8.0))
        return np.asarray(np.exp(np.minimum(gap, 1.0)) * kept)

    def _start(self) -> Progress:
        return Progress.start(self.rows, self.problems.candidates)

    def _truth_of_best(self) -> Single | None:
        """Return what the best so far truly gives, [B, Q]; None where nobody knows."""
        if not self.problems.outcomes.shape[1]:
            return None
        best = np.maximum(self.progress.best, 0)
        return np.asarray(self.problems.outcomes[self.problem, self.variant, :, best])

    def _observe(self) -> Single:
        assessment = assess(self.belief.mean, self.belief.variance, self.conditions)
        self.last, self.shown = observe(assessment, self.conditions, self.progress, self.proposals)
        return self.last

    def _best_there_is(self, rows: Rows, variant: Rows, limits: Single) -> Single:
        """Return the log score of the best candidate of some rows, [B'].

        Where nobody knows it, it is the best that is believed before the first measurement.

        Args:
            rows: [B'].
            variant: [B'], which truth.
            limits: [B', Q].
        """
        problem, truth = self.problem[rows], self.problems.outcomes
        logs = truth[problem, variant] if truth.shape[1] else self.problems.mean[problem]
        possible = (worst_margin(logs, limits) <= 0) & self.conditions.present[rows]
        score = log_score(logs, self.conditions.weights[rows], self.conditions.terms[rows])
        return np.asarray(np.where(possible, score, -np.inf).max(axis=1), dtype=np.float32)

    def _measure(self, candidates: Rows, normals: Floats) -> tuple[Floats, Floats, BoolArray]:
        """Measure one candidate of each row: log score, worst margin and failed, [B] each."""
        seen = self._respond(candidates, normals)
        surprise = self._learn(candidates, seen)
        progress = self.progress
        terms, weights = self.conditions.terms, self.conditions.weights
        score = log_score(seen[:, :, None], weights, terms)[:, 0]
        margin = worst_margin(seen[:, :, None], self.conditions.limits)[:, 0]
        slot = (self._every, progress.used)
        self.taken[slot], self.log_score[slot] = candidates, score
        self.kept[slot] = margin <= 0
        progress.record(candidates, score, margin)
        progress.note_surprise(surprise)
        progress.spent_s = progress.spent_s + self._cost_s(candidates)
        progress.used = progress.used + 1
        progress.broke = margin > 0
        self._before = candidates
        return score, margin, np.asarray(np.isnan(seen).all(axis=1))

    def _respond(self, candidates: Rows, normals: Floats) -> Single:
        """Measure one candidate of each row: logarithms [B, Q]."""
        asked = Asked(self.problem, self.variant, candidates, self._before, self.used)
        return self.world.respond(asked, normals)

    def _learn(self, candidates: Rows, seen: Single) -> Single:
        """Update the belief; return how surprising that was, [B], see `Belief.update`."""
        return self.belief.update(candidates, seen, self.conditions.noise[:, :, 0])

    def _cost_s(self, candidates: Rows) -> FloatArray:
        """Return the seconds that the measurement of each row takes, [B], which changes them."""
        took_s = self.loading.measure(candidates)
        self.conditions = self.conditions._replace(cost_s=self.loading.expected_s())
        return took_s

    def _change(self, rows: Rows) -> None:
        """Change conditions in some rows, whose measurements no longer hold.

        Half of the changes are of the device (another variant), half of the limits (by up to
        LIMIT_CHANGE either way). Part of what was learned is doubted then. A row stays as it is
        where no configuration could keep the changed limits, or there are none to change.
        """
        device = self._change_to[rows] < 0.5
        variants = max(self.problems.outcomes.shape[1], 1)
        before, limits_before = self.variant[rows], self.conditions.limits[rows]
        variant = np.where(device, (before + 1) % variants, before)
        shift = (self._change_to[rows] - 0.75) * 4 * LIMIT_CHANGE
        limits = limits_before + np.where(device, 0.0, shift).astype(np.float32)[:, None]
        optimum = self._best_there_is(rows, variant, limits)
        changed = (variant != before) | (limits != limits_before).any(axis=1)
        possible = np.isfinite(optimum) & changed
        rows = rows[possible]
        if not len(rows):
            return
        self.variant[rows], self.optimum[rows] = variant[possible], optimum[possible]
        self.conditions.limits[rows] = limits[possible]
        self.belief.doubt(rows, DOUBT)
        self.progress.forget(rows)
        self._value[rows] = self._worth(self.share())[rows]

    def _worth(self, share: FloatArray) -> FloatArray:
        """Return the worth of the best so far, [B], in units of the reward, from its share [B]."""
        least = np.minimum(self.progress.least_margin, MAX_VIOLATION)
        lacking = -self.options.reward.violation_weight * least
        return np.where(self.progress.best >= 0, share, lacking)
