"""The learned policy beside a service: windows repeat, scatter and drift, and something serves."""

import math

import numpy as np

from envs.arrays import Single
from envs.belief.assess import CHANCE_WORTH, MIN_FEASIBLE_CHANCE, worth_staying
from envs.belief.features import MAX_GAIN, expected_gain, net_gain
from envs.belief.risk import BALANCED
from envs.problems.problem import Problem
from envs.spec import Configuration, Failure, Goal, Outcome, signs
from tuner.policy.bundle import Bundle
from tuner.policy.ending import SMALL_GAIN
from tuner.policy.learned import LearnedTuner
from tuner.policy.thresholds import Thresholds
from tuner.policy.window_history import DeviceHistory


class OnlineTuner(LearnedTuner):
    """A learned tuner that also says what to serve, and learns from the windows of service.

    Args:
        history: windows of the device; those of this problem's candidates are learned from.
        risk: the price of a broken limit, see `envs.belief.risk`.
    """

    def __init__(
        self,
        bundle: Bundle,
        problem: Problem,
        history: DeviceHistory,
        thresholds: Thresholds,
        risk: float = BALANCED,
    ) -> None:
        self._history, self._thresholds = history, thresholds
        self._ceiling = _ceiling_log(problem)
        super().__init__(bundle, problem, risk)
        self._assumed_noise = self._batch.noise[0]
        if history.windows:
            self._recall()

    @property
    def least_violating(self) -> Configuration:
        """Return the measured configuration that came closest to the limits."""
        return self._candidates[int(self._progress.closest[0])]

    def good_configurations(self, current: Configuration | None = None) -> list[Configuration]:
        """Return the measured configurations that kept the limits, the best to serve first.

        The best has the highest score among those that are sure enough to keep the limits again.
        Those that are far less sure than the best are left out.

        Args:
            current: the one that serves now; leaving it has to be worth something.
        """
        row = -1 if current is None else self._rows.get(current, -1)
        if row not in self._worth or current == self._good[0]:
            return self._good
        return self._ranked(
            self._worth | {row: self._worth[row] + self._thresholds.change_gain_log}
        )

    def _ranked(self, worth: dict[int, float]) -> list[Configuration]:
        rows = sorted(worth, key=worth.__getitem__, reverse=True)
        return [self._candidates[row] for row in rows]

    def safest(self) -> Configuration:
        """Return the candidate to serve by belief alone, measured or not.

        It has the highest score among those sure enough to keep the limits; if there is none, it
        is the one most likely to keep them.
        """
        return self._candidates[int(self._believed_worth.argmax())]

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn from the first window of a configuration; it counts against the budget."""
        row = self._rows.get(configuration)
        if self.left > 0 and row is not None:
            window, error = self._logs(outcome), self._history.error
            own = window - error.expected
            self._history.windows.add(configuration, own)
            error.skip()
            self._spend(row, outcome)
            self._take(row, window, own)

    def tell_again(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn from another window of a measured configuration; it does not count.

        The pair shows how windows scatter, and how similar successive windows are.
        """
        window, row, history = self._logs(outcome), self._rows.get(configuration), self._history
        expected = history.error.expected
        own = window - expected
        history.windows.add(configuration, own)
        if row is None:
            return
        if self._progress.measured[0, row]:
            error = np.asarray(window - self._belief.mean[0, :, row], dtype=np.float32)
            own_error = np.asarray(error - expected, dtype=np.float32)
            noise = self._conditions.noise[0, :, row].copy()
            history.noise.add(configuration, own_error, self._belief.variance[0, :, row], noise)
            history.error.add(error, noise)
        self._take(row, window, own)
        self._reweigh(self._conditions.noise[0, :, row])

    def _recall(self) -> None:
        """Learn from windows of before this problem, which do not count against the budget."""
        for configuration in self._history.windows.configurations():
            if (row := self._rows.get(configuration)) is None:
                continue
            mean, count = self._history.windows.latest(configuration)
            self._learn(row, mean, self._conditions.noise[0, :, row] / count)
        self._assess()

    def _reweigh(self, noise: Single) -> None:
        """Learn from all windows anew if they scatter far more than was assumed.

        The first ones counted too much then.

        Args:
            noise: [Q], learned variances.
        """
        if (noise > self._thresholds.reweigh_ratio * self._assumed_noise).any():
            self._assumed_noise = np.maximum(noise, self._assumed_noise)
            self._belief = self._batch.belief(self._first)
            self._recall()

    def _assess(self) -> None:
        history, enough = self._history, MIN_FEASIBLE_CHANCE
        self._limits = self._batch.limits[0] - history.error.expected
        self._conditions = self._conditions._replace(
            noise=history.noise.variance(self._batch.noise[0], self._rows)[None],
            limits=self._limits[None],
        )
        super()._assess()
        self._held = np.flatnonzero(self._progress.held[0]).tolist()
        self._outlook = self._assessment.row(0)
        score, kept = self._outlook.score, self._outlook.chance
        self._believed_worth = worth_staying(score, kept)
        rows, chance = self._held, history.windows.chance
        chances = [
            min(chance(self._candidates[row], float(kept[row]), self._limits), enough)
            for row in rows
        ]
        self._chance = dict(zip(rows, chances, strict=True))
        worth = worth_staying(score[rows], np.array(chances))
        self._worth: dict[int, float] = dict(zip(rows, worth.tolist(), strict=True))
        self._good = self._ranked(self._worth)  # now, for a period may need it at once

    def worth_measuring(self, configuration: Configuration) -> bool:
        """Return True if measuring it promises more than the best known configuration.

        It may promise a higher score, net of the price of a broken limit, or limits that are kept
        more surely.
        """
        row, good = self._rows.get(configuration), self._good
        if row is None or not good:
            return True
        best, outlook = self._rows[good[0]], self._outlook
        gain, _ = expected_gain(outlook.score - outlook.score[best], outlook.spread)
        gain = np.minimum(gain, self._most_gain(best))
        faster = net_gain(gain[row], outlook.chance[row], self._conditions.risk[0]) > SMALL_GAIN
        surer = self._believed_worth[row] > self._worth[best] + self._thresholds.change_gain_log
        return bool(faster or surer)

    def chance_of(self, configuration: Configuration) -> float | None:
        """Return the believed chance that it keeps the limits; None if it is no candidate.

        Of a configuration that kept them when measured, it is `MIN_FEASIBLE_CHANCE` at most.
        """
        row = self._rows.get(configuration)
        if row is None:
            return None
        return self._chance.get(row, float(self._outlook.chance[row]))

    def hoped_gain_log(self, configuration: Configuration) -> float:
        """Return by how much the log score may exceed that of the best one known to keep limits.

        Infinite where nothing is known to keep them, or the configuration is no candidate.
        """
        row, good = self._rows.get(configuration), self._good
        if row is None or not good:
            return math.inf
        score, best = self._outlook.score, self._rows[good[0]]
        hoped = float(score[row] + self._outlook.spread[row] - score[best])
        return min(hoped, self._most_gain(best))

    def _most_gain(self, row: int) -> float:
        """Return by how much the log score of a candidate can grow: nobody serves what never came.

        A gain that is not worth a change is none.
        """
        if math.isinf(self._ceiling):
            return math.inf
        left = self._ceiling - float(self._outlook.score[row])
        return left if left > self._thresholds.change_gain_log else 0.0

    def maybe_faster(self, current: Configuration, periods: int) -> Configuration | None:
        """Return a configuration that is worth a look beside the one that serves, or None.

        It was measured and kept the limits, or it is new. A look lasts a period, and costs what the
        device loses in it, and the price of a broken limit; what it finds is worth having for as
        long as the present configuration has served: nothing else is known of how long conditions
        last.

        Args:
            current: the one that serves.
            periods: how long it has served without such a look.
        """
        serving, outlook = self._rows.get(current), self._outlook
        if serving is None:
            return None
        above = outlook.score - outlook.score[serving]
        gain, _ = expected_gain(above - self._thresholds.change_gain_log, outlook.spread)
        gain = np.minimum(gain, self._most_gain(serving))
        chance = np.where(self._progress.measured[0], 0.0, outlook.chance)
        chance[self._held] = [self._chance[row] for row in self._held]
        worth = periods * np.expm1(np.minimum(gain, MAX_GAIN)) * chance
        cost = CHANCE_WORTH * (1.0 - chance) - np.expm1(np.minimum(above, 0.0))
        net = np.where(chance > 0, worth - cost, -np.inf)
        net[serving] = -np.inf
        best = int(net.argmax())
        return self._candidates[best] if net[best] > 0 else None

    def sigmas_beyond(self, configuration: Configuration, outcome: Outcome) -> float:
        """Return by how many standard deviations a window is beyond what is expected of it.

        Of the limited quantities it is the one that is farthest on the side of its limit. A failure
        of a configuration that kept the limits is infinitely far; of one that never did, nothing is
        expected.
        """
        row = self._rows.get(configuration)
        if row is None or row not in self._held:
            return 0.0
        if isinstance(outcome, Failure):
            return math.inf
        mean, variance = self._belief.mean[0, :, row], self._belief.variance[0, :, row]
        error = self._logs(outcome) - self._history.error.expected - mean
        spread = np.sqrt(variance + self._conditions.noise[0, :, row])
        beyond = signs(len(error)) * error / spread
        limited = np.isfinite(self._batch.limits[0]) & np.isfinite(beyond)
        return float(max(beyond[limited], default=0.0))


def _ceiling_log(problem: Problem) -> float:
    """Return the highest log score under arrivals at a rate, infinite where there is none."""
    workload = problem.space.workload
    rates_ips = np.array(workload.rates_ips)
    if problem.objective.goal is not Goal.THROUGHPUT or not np.isfinite(rates_ips).all():
        return math.inf
    return float(np.log((rates_ips * np.array(workload.weights)).sum()))
