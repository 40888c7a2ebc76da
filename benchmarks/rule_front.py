"""The untrained rule at every price, and how a policy compares with it at equal risk.

Whoever risks more finds more. So a policy is compared with the rule at the price at which that
breaks as large a share of the limits, on the same episodes. This share is known as well as the
share of the optimum is, and no better: both are resampled together, and the price is found anew in
each resample, so that an interval holds what is not known of the risk, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.rule_settings import Setting
from envs.arrays import FloatArray, IntArray
from envs.belief.risk import HIGHEST, LOWEST
from tuner.evaluation.bootstrap import Difference, resampled_means
from tuner.evaluation.rollouts import Played

#: Prices of a broken limit at which the rule plays, next to one another by a factor of 1.33.
RULE_PRICES = np.geomspace(LOWEST, HIGHEST, 25)

#: A share of broken limits within this of another is the same.
SAME = 1e-9


@dataclass(frozen=True)
class EqualRisk:
    """A policy against the rule at equal risk.

    Attributes:
        policy, rule: [marks], shares of the optimum.
        gaps: [RESAMPLES, marks], policy minus rule in each resample.
        broken: the share of measurements that broke a limit, of the policy and of the rule.
        price: of the rule.
    """

    policy: FloatArray
    rule: FloatArray
    gaps: FloatArray
    broken: tuple[float, float]
    price: float

    def difference(self, marks: slice) -> Difference:
        """Return by how much the policy is better in the mean of some marks."""
        gap = float((self.policy - self.rule)[marks].mean())
        low, high = np.quantile(self.gaps[:, marks].mean(axis=1), (0.025, 0.975))
        return Difference(gap, float(low), float(high))


def at_equal_risk(setting: Setting, policy: Played, front: list[Played]) -> EqualRisk:
    """Compare the policy with the rule at the price at which both break as many limits.

    Args:
        setting: what is compared in.
        policy: its episodes.
        front: the rule's on the same problems, at each of RULE_PRICES.
    """
    marks = [setting.marks(each) for each in (policy, *front)]
    counted = [each.spent_s <= each.budget_s for each in (policy, *front)]
    broke = [
        (each.broke & counts).sum(axis=2)
        for each, counts in zip((policy, *front), counted, strict=True)
    ]
    values = np.concatenate(
        [*marks, np.stack([*broke, *(each.sum(axis=2) for each in counted)], axis=2)], axis=2
    )
    runs = values.reshape(-1, values.shape[2])
    count, number = 1 + len(front), marks[0].shape[2]

    def split(means: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return shares [R, 1 + K, marks] and broken shares [R, 1 + K]."""
        shares = means[:, : count * number].reshape(len(means), count, number)
        broken, made = means[:, count * number :].reshape(len(means), 2, count).transpose(1, 0, 2)
        return shares, broken / made

    shares, broken = split(runs.mean(axis=0, keepdims=True))
    theirs, risk, place = _at(shares, broken)
    resampled, risks = split(resampled_means(values))
    return EqualRisk(
        shares[0, 0],
        theirs[0],
        resampled[:, 0] - _at(resampled, risks)[0],
        (float(broken[0, 0]), float(risk[0])),
        float(np.exp(np.interp(place[0], np.arange(len(front)), np.log(RULE_PRICES)))),
    )


def nearest(price: float) -> int:
    """Return which of RULE_PRICES is nearest to a price."""
    return int(np.abs(np.log(RULE_PRICES / price)).argmin())


def _at(shares: FloatArray, broken: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the rule's shares [R, marks], its risk [R] and its place [R] at the policy's risk.

    The place is a number of a price, 0 to K - 1; between two prices shares are interpolated. Where
    several prices break as many, it is the middle of them: any other would be bolder or more
    careful than the policy.
    """
    falling = np.minimum.accumulate(broken[:, 1:], axis=1)
    wanted = broken[:, :1]
    first = _crossing(falling, wanted + SAME)
    place = (first + _crossing(falling, wanted - SAME)) / 2
    low: IntArray = np.minimum(place.astype(np.int64), falling.shape[1] - 2)
    part, rows = place - low, np.arange(len(place))
    rule = shares[:, 1:]
    between = rule[rows, low] * (1 - part[:, None]) + rule[rows, low + 1] * part[:, None]
    risk = falling[rows, low] * (1 - part) + falling[rows, low + 1] * part
    return between, risk, place


def _crossing(falling: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return where numbers [R, K] that fall pass the wanted one [R, 1], 0 to K - 1."""
    above = (falling > wanted).sum(axis=1)
    last = falling.shape[1] - 1
    rows, before = np.arange(len(falling)), np.clip(above - 1, 0, last - 1)
    high, low = falling[rows, before], falling[rows, before + 1]
    step = np.where(high > low, (high - wanted[:, 0]) / np.maximum(high - low, SAME), 0.0)
    return np.asarray(np.clip(before + np.clip(step, 0.0, 1.0), 0.0, last) * (above > 0))
