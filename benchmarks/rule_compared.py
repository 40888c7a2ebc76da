"""The policy against the untrained rule in one setting: episodes, and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from benchmarks.figures import Figure, figure
from benchmarks.rule_builds import (
    BLIND_POLICY,
    BLIND_RULE,
    BOUND,
    POLICY,
    RULE,
    bound,
    figures_of_builds,
    told_equal_costs,
)
from benchmarks.rule_front import RULE_PRICES, EqualRisk, at_equal_risk, nearest
from benchmarks.rule_settings import Setting
from envs.problems.world import World
from tuner.evaluation.bootstrap import Difference
from tuner.evaluation.rollouts import Decide, Played, RollOut, play
from tuner.search.expected_gain import rule_choices

#: Powers of the cost that the rule may divide its net gain by, where costs differ.
EXPONENTS = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Compared:
    """The policy against the rule in one setting, at one price that the policy is told.

    Attributes:
        setting: what is compared in.
        price: what the policy is told.
        each: the comparison of each bundle.
        exponents: the power of the cost of each bundle's rule.
        tuners: where engines are built, the episodes of tuners by name, of each bundle.
    """

    setting: Setting
    price: float
    each: tuple[EqualRisk, ...]
    exponents: tuple[float, ...] = (0.0,)
    tuners: Mapping[str, Sequence[Played]] = field(default_factory=dict)

    @cached_property
    def mean(self) -> EqualRisk:
        """Return the comparison in the mean of all bundles."""
        broken = np.mean([one.broken for one in self.each], axis=0)
        return EqualRisk(
            np.asarray(np.mean([one.policy for one in self.each], axis=0)),
            np.asarray(np.mean([one.rule for one in self.each], axis=0)),
            np.asarray(np.mean([one.gaps for one in self.each], axis=0)),
            (float(broken[0]), float(broken[1])),
            float(np.exp(np.mean([np.log(one.price) for one in self.each]))),
        )

    @cached_property
    def gaps(self) -> list[Difference]:
        """Return the differences at each mark."""
        marks = range(len(self.mean.policy))
        return [self.mean.difference(slice(mark, mark + 1)) for mark in marks]

    def look(self, marks: slice) -> tuple[float, float, Difference]:
        """Return the mean shares of policy and rule at some marks, and their difference."""
        ours, theirs = (float(each[marks].mean()) for each in (self.mean.policy, self.mean.rule))
        return ours, theirs, self.mean.difference(marks)

    def row(self) -> list[str]:
        """Return a row of the table."""
        broke = "{:.1f} / {:.1f}".format(*(100 * each for each in self.mean.broken))
        name = self.setting.name.replace("_", " ")
        cells = [name, f"{self.price:g}", f"{self.mean.price:.2g}", broke]
        for marks in self.setting.looks.values():
            ours, theirs, gap = self.look(marks)
            cells += [f"{100 * ours:.1f} / {100 * theirs:.1f}", f"{gap.points()} {gap.verdict}"]
        return cells

    def figures(self) -> list[Figure]:
        """Return the figures; those with a goal hold where the policy is not behind."""
        start = f"{self.setting.name.replace('_', ' ')}, price {self.price:g}"
        found = []
        for words, marks in self.setting.looks.items():
            ours, theirs, gap = self.look(marks)
            gained = f"{start}: policy minus rule {words}"
            found += [
                figure(f"{start}: policy, share of the optimum {words}", 100 * ours, "%"),
                figure(f"{start}: rule, share of the optimum {words}", 100 * theirs, "%"),
                figure(gained, 100 * gap.mean, "points"),
                figure(f"{gained}, lower end of 95 %", 100 * gap.low, "points"),
                figure(f"{gained}, upper end of 95 %", 100 * gap.high, "points", ">= 0"),
            ]
        marks_of, least = f"marks of {len(self.gaps)}", min(gap.high for gap in self.gaps)
        broke = [100 * each for each in self.mean.broken]
        return [
            *found,
            figure(f"{start}: least upper end of the marks", 100 * least, "points", ">= 0"),
            figure(f"{start}: {marks_of} with the policy behind", _count(self.gaps, "worse"), ""),
            figure(f"{start}: {marks_of} with the policy ahead", _count(self.gaps, "better"), ""),
            *self._of_each(start),
            figure(f"{start}: policy, measurements that broke a limit", broke[0], "%"),
            figure(f"{start}: rule, measurements that broke a limit", broke[1], "%"),
            figure(f"{start}: price of the rule", self.mean.price, ""),
            *(self._seconds(start) if self.setting.builds else []),
        ]

    def _of_each(self, start: str) -> list[Figure]:
        """Return how many of several bundles are behind or ahead by themselves."""
        if len(self.each) == 1:
            return []
        means = [one.difference(slice(None)) for one in self.each]
        of = f"bundles of {len(self.each)}"
        return [
            figure(f"{start}: {of} behind in the mean of the marks", _count(means, "worse"), ""),
            figure(f"{start}: {of} ahead in the mean of the marks", _count(means, "better"), ""),
        ]

    def _seconds(self, start: str) -> list[Figure]:
        """Return the seconds to shares of the optimum, and the power of the cost of the rule."""
        exponent = float(np.mean(self.exponents))
        power = figure(f"{start}: power of the cost of the rule", exponent, "")
        return [*figures_of_builds(start, self.tuners), power]


def _count(gaps: Sequence[Difference], verdict: str) -> int:
    return sum(gap.verdict == verdict for gap in gaps)


class RulePlays:
    """Episodes of the rule on some problems, each price once, whatever is compared with it.

    Args:
        world: the problems.
        rounds: how episodes are played.
    """

    def __init__(self, world: World, rounds: RollOut) -> None:
        self.world, self._rounds = world, rounds
        self._known: dict[float, list[Played]] = {}

    def front(self, exponent: float) -> list[Played]:
        """Return the episodes at each of RULE_PRICES, with a power of the cost."""
        if exponent not in self._known:
            rule = partial(rule_choices, cost_exponent=exponent)
            played = [play(self.world, rule, self._rounds, price) for price in RULE_PRICES]
            self._known[exponent] = played
        return self._known[exponent]


def compared(
    setting: Setting,
    price: float,
    policies: list[Decide],
    held_out: RulePlays,
    training: RulePlays | None,
    repeats: int,
) -> Compared:
    """Play the policies on held-out problems, and compare each with the rule at equal risk.

    Args:
        setting: what is compared in.
        price: of a broken limit, that the policies are told.
        policies: the bundles.
        held_out: the rule on the same problems.
        training: the rule on problems of the training split, which tell the best power of the cost;
            None where costs do not differ.
        repeats: episodes of each problem.
    """
    rounds, each, exponents = setting.rounds(repeats), [], []
    tuners: dict[str, list[Played]] = {
        name: [] for name in (POLICY, RULE, BLIND_RULE, BLIND_POLICY, BOUND)
    }
    for decide in policies:
        ours, exponent = play(held_out.world, decide, rounds, price), 0.0
        if training is not None:
            known = play(training.world, decide, rounds, price)
            worth = {
                power: at_equal_risk(setting, known, training.front(power)).rule.mean()
                for power in EXPONENTS
            }
            exponent = max(worth, key=lambda power: worth[power])
        found = at_equal_risk(setting, ours, held_out.front(exponent))
        each.append(found)
        exponents.append(exponent)
        if training is not None:
            blind = at_equal_risk(setting, ours, held_out.front(0.0))
            tuners[POLICY].append(ours)
            tuners[RULE].append(held_out.front(exponent)[nearest(found.price)])
            tuners[BLIND_RULE].append(held_out.front(0.0)[nearest(blind.price)])
            told = told_equal_costs(decide)
            tuners[BLIND_POLICY].append(play(held_out.world, told, rounds, price))
    if training is None:
        return Compared(setting, price, tuple(each))
    tuners[BOUND] = [bound(held_out.world, rounds)]
    return Compared(setting, price, tuple(each), tuple(exponents), tuners)
