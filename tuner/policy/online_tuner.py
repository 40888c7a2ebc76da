"""The learned policy beside a service that lasts: its windows repeat, scatter and drift, and between experiments something has to serve."""

from __future__ import annotations

import numpy as np

from envs.arrays import Single
from envs.belief.features import worth_staying
from envs.belief.gaussian import Belief
from envs.problems.problem import Problem
from envs.spec.measurement import Failure, Outcome
from envs.spec.space import Configuration
from tuner.policy.bundle import Bundle
from tuner.policy.learned import LearnedTuner
from tuner.policy.thresholds import Thresholds
from tuner.policy.window_history import DeviceHistory


class OnlineTuner(LearnedTuner):
    """A learned tuner that also knows what to stay with, and learns from what stays.

    Args:
        history: what is known of the device by its windows; what of it concerns this problem is recalled.
    """

    def __init__(
        self, bundle: Bundle, problem: Problem, history: DeviceHistory, thresholds: Thresholds
    ) -> None:
        self._history, self._thresholds = history, thresholds
        super().__init__(bundle, problem)
        self._assumed = self._pool.noise[0]
        if self._history.windows:
            self._recall()

    @property
    def least_violating(self) -> Configuration:
        """What came closest to the limits, of what was measured."""
        return self._candidates[self._least_row]

    def good_configurations(self, current: Configuration | None = None) -> list[Configuration]:
        """What was measured and kept the limits, the best to stay with first: the most throughput among what is sure enough to keep them again.
        What is far less sure to than the best is none of it.

        Args:
            current: what serves now; changing from it has to be worth something.
        """
        now = -1 if current is None else self._rows.get(current, -1)
        if now not in self._worth or current == self._good[0]:
            return self._good
        return self._ranked(
            self._worth | {now: self._worth[now] + self._thresholds.change_gain_log}
        )

    def _ranked(self, worth: dict[int, float]) -> list[Configuration]:
        """What is worth so much, without what is far less sure to keep the limits than the best."""
        rows = sorted(worth, key=worth.__getitem__, reverse=True)
        return [
            self._candidates[row]
            for row in rows
            if self._chance[row] >= self._chance[rows[0]] - self._thresholds.return_chance_gap
        ]

    def safest(self) -> Configuration:
        """By what is believed, measured or not: the most throughput among what is sure enough to keep the limits, or what is most likely to."""
        return self._candidates[int(self._staying.argmax())]

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        row = self._rows.get(configuration)
        if self.left > 0 and row is not None:
            seen, expected = self._seen(outcome), self._history.error.expected
            self._history.windows.add(configuration, seen - expected)
            self._history.error.skip()
            self._take(row, seen, seen - expected)
            self._used += 1

    def tell_again(self, configuration: Configuration, outcome: Outcome) -> None:
        """Another window of what was measured before, not charged: it also tells how windows scatter, and how one is like the next."""
        seen, row = self._seen(outcome), self._rows.get(configuration)
        expected = self._history.error.expected
        self._history.windows.add(configuration, seen - expected)
        if row is None:
            return
        if self._measured[row]:
            missed = np.asarray(seen - self._belief.mean[0, :, row], dtype=np.float32)
            noise = self._given.noise[:, row].copy()
            self._history.noise.add(
                configuration,
                (missed - expected).astype(np.float32),
                self._belief.variance[0, :, row],
                noise,
            )
            self._history.error.add(missed, noise)
        self._take(row, seen, seen - expected)
        self._reweigh(self._given.noise[:, row])

    def _recall(self) -> None:
        """What was measured before this problem was asked counts for what is believed, and is not charged."""
        for configuration in self._history.windows.configurations():
            if (row := self._rows.get(configuration)) is None:
                continue
            mean, count = self._history.windows.latest(configuration)
            self._learn(row, mean, self._given.noise[:, row] / count)
        self._look()

    def _reweigh(self, noise: Single) -> None:
        """Where windows scatter far more than was assumed, [Q] variances, the first ones have counted too much: learn from all of them anew."""
        if (noise > self._thresholds.reweigh_ratio * self._assumed).any():
            self._assumed = np.maximum(noise, self._assumed)
            self._belief = Belief.of(self._pool.mean, self._pool.basis, self._pool.left)
            self._recall()

    def _look(self) -> None:
        """What follows from what is believed, and from what windows do here."""
        self._limits = self._pool.limits[0] - self._history.error.expected
        self._given = self._given._replace(
            noise=self._history.noise.variance(self._pool.noise[0], self._rows),
            limits=self._limits[:, None],
        )
        super()._look()
        score, kept = self._outlook.score, self._outlook.kept
        self._staying = worth_staying(score, np.minimum(kept, self._thresholds.enough_chance))
        chances = [
            min(
                self._history.windows.chance(self._candidates[row], float(kept[row]), self._limits),
                self._thresholds.enough_chance,
            )
            for row in self._held
        ]
        self._chance = dict(zip(self._held, chances, strict=True))
        worth = worth_staying(score[self._held], np.array(chances))
        self._worth: dict[int, float] = dict(zip(self._held, worth.tolist(), strict=True))
        self._good = self._ranked(self._worth)  # now, for a period may want it at once

    def worth_measuring(self, configuration: Configuration) -> bool:
        """Whether measuring it promises something beyond what can be stayed with: more throughput, and likely the limits kept, or limits
        that are kept more surely.
        """
        row, resting = self._rows.get(configuration), self.good_configurations()
        if row is None or not resting:
            return True
        outlook, best = self._outlook, self._rows[resting[0]]
        faster = (
            outlook.kept[row] > self._thresholds.try_chance
            and outlook.score[row] + outlook.spread[row]
            > outlook.score[best] + self._thresholds.change_gain_log
        )
        return bool(
            faster or self._staying[row] > self._worth[best] + self._thresholds.change_gain_log
        )

    def unmeasured_safe(self) -> Configuration | None:
        """The best, by what is believed, of what was not measured, is safe, and not far behind what can be stayed with: the model may be wrong of it."""
        resting = self.good_configurations()
        if not resting:
            return None
        score, kept = self._outlook.score, self._outlook.kept
        rows = (
            (self._measured == 0)
            & (kept > self._thresholds.safe_chance)
            & (score > score[self._rows[resting[0]]] - self._thresholds.safe_loss_log)
        ).nonzero()[0]
        return self._candidates[rows[self._staying[rows].argmax()]] if len(rows) else None

    def maybe_faster(self, current: Configuration, since: int) -> Configuration | None:
        """What may be faster than what serves, as far as is known; it was measured and kept the limits, or is new and likely to keep them. None for nothing.

        Args:
            since: periods that `current` has served without such a look.
        """
        now, outlook = self._rows.get(current), self._outlook
        if now is None:
            return None
        likely = (outlook.kept > self._thresholds.try_chance) & (self._measured == 0)
        likely[
            [
                row
                for row in self._held
                if 1 - self._chance[row] < self._thresholds.recheck_risk * since
            ]
        ] = True
        likely[now] = False
        hope = np.where(likely, outlook.score + outlook.spread, -np.inf)
        best = int(hope.argmax())
        return (
            self._candidates[best]
            if hope[best] > outlook.score[now] + self._thresholds.change_gain_log
            else None
        )

    def is_surprising(self, configuration: Configuration, outcome: Outcome) -> bool:
        """Whether a window of what kept the limits before is farther beyond one than windows scatter; a failure always is."""
        row = self._rows.get(configuration)
        if row is None or row not in self._held:
            return False
        error = self._seen(outcome) - self._history.error.expected - self._belief.mean[0, :, row]
        expected = np.sqrt(self._belief.variance[0, :, row] + self._given.noise[:, row])
        return isinstance(outcome, Failure) or bool(
            (
                (error > self._thresholds.surprise_sigmas * expected)
                & np.isfinite(self._pool.limits[0])
            ).any()
        )
