"""The policy against the untrained rule in one setting: the tuned rule, episodes and figures."""

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
from benchmarks.rule_settings import Setting
from envs.arrays import FloatArray
from envs.problems.world import World
from tuner.evaluation.bootstrap import Difference, difference
from tuner.evaluation.equal_risk import EqualRisk, matching_price
from tuner.evaluation.rollouts import Decide, Played, RollOut, play
from tuner.search.expected_gain import rule_choices

#: Powers of the cost that the rule may divide its net gain by, where costs differ.
EXPONENTS = (0.0, 0.5, 1.0)

#: Halvings of the range of prices, for a price of the rule within 6 %: finer ones do not show in
#: the share of broken limits on a hundred problems.
HALVINGS = 7


@dataclass(frozen=True)
class Rule:
    """The rule as it was tuned to one bundle.

    Attributes:
        equal: how its price was found.
        exponent: the power of the cost.
        played: its episodes on held-out problems.
    """

    equal: EqualRisk
    exponent: float
    played: Played


@dataclass(frozen=True)
class Compared:
    """The policy against the rule in one setting, at one price that the policy is told.

    Attributes:
        setting: what is compared in.
        price: what the policy is told.
        policy: the episodes of each bundle.
        rule: the rule tuned to each bundle.
        blind: the rule that does not know costs, tuned to each; the same where costs do not differ.
        beside: the episodes of other tuners by name, of each bundle, where engines are built.
    """

    setting: Setting
    price: float
    policy: tuple[Played, ...]
    rule: tuple[Rule, ...]
    blind: tuple[Rule, ...]
    beside: Mapping[str, Sequence[Played]] = field(default_factory=dict)

    def shares(self, played: Sequence[Played]) -> FloatArray:
        """Return the shares [S, repeats, marks], the mean of all bundles."""
        return np.asarray(np.mean([self.setting.marks(each) for each in played], axis=0))

    @cached_property
    def both(self) -> tuple[FloatArray, FloatArray]:
        """The shares of policy and rule, [S, repeats, marks] each."""
        return self.shares(self.policy), self.shares([each.played for each in self.rule])

    def look(self, marks: slice) -> tuple[float, float, Difference]:
        """Return the mean shares of policy and rule at some marks, and their difference."""
        ours, theirs = (each[:, :, marks].mean(axis=2) for each in self.both)
        return float(ours.mean()), float(theirs.mean()), difference(ours, theirs)

    @property
    def broken(self) -> tuple[float, float]:
        """Return the shares of measurements that broke a limit, of policy and rule."""
        ours = float(np.mean([each.broken_share for each in self.policy]))
        return ours, float(np.mean([each.played.broken_share for each in self.rule]))

    def row(self) -> list[str]:
        """Return a row of the table."""
        ends = [f(each.equal.risk for each in self.rule) for f in (min, max)]
        prices = " to ".join(dict.fromkeys(f"{each:.2g}" for each in ends))
        broke = "{:.1f} / {:.1f}".format(*(100 * each for each in self.broken))
        cells = [self.setting.name.replace("_", " "), f"{self.price:g}", prices, broke]
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
        gaps = self.gaps
        least, ahead = 100 * min(gap.high for gap in gaps), sum(gap.low > 0 for gap in gaps)
        broke, price = self.broken, float(np.mean([each.equal.risk for each in self.rule]))
        return [
            *found,
            figure(f"{start}: least upper end of {len(gaps)} marks", least, "points", ">= 0"),
            figure(f"{start}: marks of {len(gaps)} with the policy ahead", ahead, ""),
            *self._of_each(start),
            figure(f"{start}: policy, measurements that broke a limit", 100 * broke[0], "%"),
            figure(f"{start}: rule, measurements that broke a limit", 100 * broke[1], "%"),
            figure(f"{start}: price of the rule", price, ""),
            *(self._seconds(start) if self.setting.builds else []),
        ]

    @cached_property
    def gaps(self) -> list[Difference]:
        """The differences at each mark."""
        return [self.look(slice(mark, mark + 1))[2] for mark in range(self.both[0].shape[2])]

    def _of_each(self, start: str) -> list[Figure]:
        """Return how many of several bundles are behind or ahead by themselves."""
        if len(self.policy) == 1:
            return []
        each = [
            Compared(self.setting, self.price, (policy,), (rule,), ())
            for policy, rule in zip(self.policy, self.rule, strict=True)
        ]
        means = [one.look(slice(None))[2] for one in each]
        of = f"bundles of {len(each)}"
        return [
            figure(f"{start}: {of} behind in the mean of the marks", _count(means, "worse"), ""),
            figure(f"{start}: {of} ahead in the mean of the marks", _count(means, "better"), ""),
        ]

    def _seconds(self, start: str) -> list[Figure]:
        """Return the seconds to shares of the optimum, and the power of the cost of the rule."""
        tuners = {
            POLICY: self.policy,
            RULE: [each.played for each in self.rule],
            BLIND_RULE: [each.played for each in self.blind],
            **self.beside,
        }
        exponent = float(np.mean([each.exponent for each in self.rule]))
        power = figure(f"{start}: power of the cost of the rule", exponent, "")
        return [*figures_of_builds(start, tuners), power]


def _count(gaps: Sequence[Difference], verdict: str) -> int:
    return sum(gap.verdict == verdict for gap in gaps)


class RulePlays:
    """Episodes of the rule in one setting, each price once, whatever is compared with it.

    Args:
        training, held_out: the problems.
        rounds: how episodes are played.
    """

    def __init__(self, training: World, held_out: World, rounds: RollOut) -> None:
        self._worlds, self._rounds = {"train": training, "held_out": held_out}, rounds
        self._known: dict[tuple[str, float, float], Played] = {}

    def on(self, split: str, exponent: float, price: float) -> Played:
        """Return the episodes on the problems of a split, with a power of the cost and a price."""
        key = split, exponent, price
        if key not in self._known:
            rule = partial(rule_choices, cost_exponent=exponent)
            self._known[key] = play(self._worlds[split], rule, self._rounds, price)
        return self._known[key]

    def equal(self, exponent: float, broken: float) -> EqualRisk:
        """Return the price at which the rule breaks a share of the limits on training problems."""

        def of_rule(price: float) -> float:
            return self.on("train", exponent, price).broken_share

        found, rule_broken = matching_price(of_rule, broken, HALVINGS)
        return EqualRisk(found, broken, rule_broken, len(self._worlds["train"].problems))


def compared(
    setting: Setting,
    price: float,
    policies: list[Decide],
    worlds: tuple[World, World],
    plays: RulePlays,
    repeats: int,
) -> Compared:
    """Tune the rule on training problems, and play both on held-out ones.

    Args:
        setting: what is compared in.
        price: of a broken limit, that the policies are told.
        policies: the bundles.
        worlds: problems of the training split, and held-out ones.
        plays: episodes of the rule on them.
        repeats: episodes of each problem.
    """
    (training, held_out), rounds = worlds, setting.rounds(repeats)
    rules, blind = [], []
    for decide in policies:
        broken, tried = play(training, decide, rounds, price).broken_share, []
        for exponent in EXPONENTS if setting.builds else EXPONENTS[:1]:
            equal = plays.equal(exponent, broken)
            known = setting.marks(plays.on("train", exponent, equal.risk)).mean()
            found = Rule(equal, exponent, plays.on("held_out", exponent, equal.risk))
            tried.append((float(known), found))
        rules.append(max(tried, key=lambda each: each[0])[1])
        blind.append(tried[0][1])
    policy = tuple(play(held_out, decide, rounds, price) for decide in policies)
    beside: dict[str, Sequence[Played]] = {}
    if setting.builds:
        told = [play(held_out, told_equal_costs(each), rounds, price) for each in policies]
        beside = {BLIND_POLICY: told, BOUND: [bound(held_out, rounds)]}
    return Compared(setting, price, policy, tuple(rules), tuple(blind), beside)
