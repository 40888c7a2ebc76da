"""Compare one policy bundle with the untrained rule, whose price is tuned for each setting.

A setting is a kind of problem: the belief is right or wrong in one of several ways, conditions stay
or change, engines are there or have to be built. In each setting, and for each price of a broken
limit that the policy is told, the rule gets the price at which it breaks as many limits as the
policy on problems of the training split, and where engines are built the power of the cost that
serves it best there. Both then play the same episodes on boards, networks and limits that no
training drew. Shares are of the best configuration on the shortlist; every number is simulated.

With several bundles (other training seeds) each is compared with a rule of its own; the shares are
the means of all.

python -m benchmarks.rule        about half an hour on two cores, most of it drawing problems
python -m benchmarks.rule --settings belief_right changing --problems 40 --training-problems 40
python -m benchmarks.rule --keep runs/rule --bundles runs/one/policy.bundle runs/two/policy.bundle
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.rule_settings import BUDGET_S, SETTINGS, Setting
from benchmarks.setup import REFERENCE_BUNDLE, draw_world
from envs.arrays import FloatArray
from envs.problems.draw_options import DrawOptions
from envs.problems.problem_batch import ProblemBatch
from envs.problems.simulated_world import SimulatedWorld
from tuner.console import progress_bar, table
from tuner.evaluation.bootstrap import Difference, difference
from tuner.evaluation.equal_risk import EqualRisk, equal_risk
from tuner.evaluation.rollouts import Decide, Played, play, policy_decides
from tuner.policy.bundle import load_bundle
from tuner.search.expected_gain import rule_choices

#: Prices of a broken limit that the policy is told.
PRICES = (0.01, 0.03, 0.1, 0.3, 1.0)

#: Powers of the cost that the rule may divide its net gain by, where costs differ.
EXPONENTS = (0.0, 0.5, 1.0)


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
    """

    setting: Setting
    price: float
    policy: tuple[Played, ...]
    rule: tuple[Rule, ...]
    blind: tuple[Rule, ...]

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
        prices = ", ".join(f"{each.equal.risk:.2g}" for each in self.rule)
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
        every = range(self.both[0].shape[2])
        gaps = [self.look(slice(mark, mark + 1))[2] for mark in every]
        least, ahead = 100 * min(gap.high for gap in gaps), sum(gap.low > 0 for gap in gaps)
        broke, price = self.broken, float(np.mean([each.equal.risk for each in self.rule]))
        return [
            *found,
            figure(f"{start}: least upper end of {len(every)} marks", least, "points", ">= 0"),
            figure(f"{start}: marks of {len(every)} with the policy ahead", ahead, ""),
            figure(f"{start}: policy, measurements that broke a limit", 100 * broke[0], "%"),
            figure(f"{start}: rule, measurements that broke a limit", 100 * broke[1], "%"),
            figure(f"{start}: price of the rule", price, ""),
            *(self._seconds(start) if self.setting.builds else []),
        ]

    def _seconds(self, start: str) -> list[Figure]:
        """Return the seconds to 95 % of the optimum, those that never get there at the end."""
        took = {
            "policy": self.policy,
            "rule": [each.played for each in self.rule],
            "rule that does not know costs": [each.played for each in self.blind],
        }
        median_s = {
            name: float(np.median([np.minimum(each.seconds_to(0.95), BUDGET_S) for each in played]))
            for name, played in took.items()
        }
        to = "median time to 95 % of the optimum"
        figures = [figure(f"{start}: {name}, {to}", value, "s") for name, value in median_s.items()]
        ratio = median_s["policy"] / median_s["rule that does not know costs"]
        figures.append(figure(f"{start}: policy over the last, {to}", ratio, "", "<= 0.7"))
        exponent = float(np.mean([each.exponent for each in self.rule]))
        return [*figures, figure(f"{start}: power of the cost of the rule", exponent, "")]


def compared(
    setting: Setting,
    price: float,
    policies: list[Decide],
    worlds: tuple[SimulatedWorld, SimulatedWorld],
    repeats: int,
) -> Compared:
    """Tune the rule on training problems, and play both on held-out ones.

    Args:
        setting: what is compared in.
        price: of a broken limit, that the policies are told.
        policies: the bundles.
        worlds: problems of the training split, and held-out ones.
        repeats: episodes of each problem.
    """
    (training, held_out), rounds = worlds, setting.rounds(repeats)
    rules, blind = [], []
    for decide in policies:
        tried = []
        for exponent in EXPONENTS if setting.builds else EXPONENTS[:1]:
            rule = partial(rule_choices, cost_exponent=exponent)
            equal = equal_risk(training, decide, rounds, price, rule)
            known = setting.marks(play(training, rule, rounds, equal.risk)).mean()
            found = Rule(equal, exponent, play(held_out, rule, rounds, equal.risk))
            tried.append((float(known), found))
        rules.append(max(tried, key=lambda each: each[0])[1])
        blind.append(tried[0][1])
    policy = tuple(play(held_out, decide, rounds, price) for decide in policies)
    return Compared(setting, price, policy, tuple(rules), tuple(blind))


def world_of(options: DrawOptions, count: int, keep: Path | None, name: str) -> SimulatedWorld:
    """Draw problems, or read those of an earlier run in the folder `keep`."""
    path = None if keep is None else keep / f"{name}_{count}.npz"
    if path is not None and path.exists():
        return SimulatedWorld.of(ProblemBatch.load(str(path)))
    world = draw_world(options, count, title=f"drawing problems, {name}")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        world.problems.save(str(path))
    return world


def arguments() -> argparse.Namespace:
    """Read the options."""
    names = [each.name for each in SETTINGS]
    made = parser(__doc__)
    made.add_argument("--bundles", type=Path, nargs="+", default=[REFERENCE_BUNDLE])
    made.add_argument("--settings", nargs="+", choices=names, default=names)
    made.add_argument("--prices", type=float, nargs="+", default=list(PRICES))
    made.add_argument("--problems", type=int, default=100, help="held-out ones, of each setting")
    made.add_argument("--training-problems", type=int, default=80)
    made.add_argument("--repeats", type=int, default=4, help="episodes of each problem")
    made.add_argument(
        "--keep",
        type=Path,
        help="a folder for the problems, which are not drawn again if they are there; delete it "
        "after a change of the device model",
    )
    return made.parse_args()


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = arguments()
    policies = [policy_decides(load_bundle(path)) for path in given.bundles]
    counts = {"train": given.training_problems, "held_out": given.problems}
    drawn: dict[str, tuple[SimulatedWorld, SimulatedWorld]] = {}
    found: list[Compared] = []
    for setting in (each for each in SETTINGS if each.name in given.settings):
        key = str(setting.draw)
        if key not in drawn:
            same = next(each.name for each in SETTINGS if str(each.draw) == key)
            training, held_out = (
                world_of(setting.options(split), count, given.keep, f"{same}_{split}")
                for split, count in counts.items()
            )
            drawn[key] = training, held_out
        with progress_bar(f"playing, {setting.name}", len(given.prices)) as advance:
            for price in given.prices:
                found.append(compared(setting, price, policies, drawn[key], given.repeats))
                advance(f"price {price:g}")
    share = "policy / rule %"
    table(
        [
            *("setting", "price", "price of the rule", f"broke, {share}"),
            *(f"after 3 or 120 s, {share}", "difference, points"),
            *(f"after 8 or 480 s, {share}", "difference, points"),
            *(f"mean, {share}", "difference, points"),
        ],
        [each.row() for each in found],
    )
    return report([each for one in found for each in one.figures()], given.json, goals_only=True)


if __name__ == "__main__":
    sys.exit(main())
