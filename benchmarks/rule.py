"""Compare one policy bundle with the untrained rule, whose price is tuned for each setting.

A setting is a kind of problem: the belief is right or wrong in one of several ways, conditions stay
or change. In each setting, and for each price of a broken limit that the policy is told, the rule
gets the price at which it breaks as many limits as the policy on problems of the training split.
Both then play the same episodes on boards, networks and limits that no training drew. Shares are of
the best configuration on the shortlist; every number is simulated.

With several bundles (other training seeds) each is compared with a rule of its own; the shares are
the means of all.

python -m benchmarks.rule        about half an hour on two cores, most of it drawing problems
python -m benchmarks.rule --settings belief_right changing --problems 40 --training-problems 40
python -m benchmarks.rule --keep runs/rule --bundles runs/one/policy.bundle runs/two/policy.bundle
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import REFERENCE_BUNDLE, draw_world
from envs.problems.draw_options import DrawOptions
from envs.problems.misfits import KINDS
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

#: Budgets at which the policy must not be behind.
BUDGETS = range(2, 9)


@dataclass(frozen=True)
class Setting:
    """One kind of problem.

    Attributes:
        name: in words.
        draw: options of drawing its problems beside the usual ones.
        changes: share of the episodes in which conditions change on the way.
    """

    name: str
    draw: dict[str, Any] = field(default_factory=dict)
    changes: float = 0.0

    def options(self, split: str) -> DrawOptions:
        """Return the options to draw its problems with."""
        return DrawOptions(split=split, **self.draw)


SETTINGS = (
    Setting("belief_right"),
    Setting("changing", changes=1.0),
    *(Setting(kind, {"misfits": [kind]}) for kind in KINDS),
    Setting("two_tenants", {"tenants": [0.0, 1.0]}),
    Setting("energy", {"goals": {"energy": 1.0}}),
    Setting("latency", {"goals": {"latency": 1.0}}),
)


@dataclass(frozen=True)
class Compared:
    """The policy against the rule in one setting, at one price that the policy is told.

    Attributes:
        setting: its name.
        price: what the policy is told.
        equal: how the rules' prices were found, one for each bundle.
        policy, rule: the episodes of the bundles, and of the rule tuned to each.
    """

    setting: str
    price: float
    equal: tuple[EqualRisk, ...]
    policy: tuple[Played, ...]
    rule: tuple[Played, ...]

    def after(self, *budgets: int) -> tuple[float, float, Difference]:
        """Return the mean shares of policy and rule after these budgets, and their difference."""
        steps = [budget - 1 for budget in budgets]
        ours, theirs = (
            np.mean([each.share[:, :, steps].mean(axis=2) for each in played], axis=0)
            for played in (self.policy, self.rule)
        )
        return float(ours.mean()), float(theirs.mean()), difference(ours, theirs)

    @property
    def broken(self) -> tuple[float, float]:
        """Return the shares of measurements that broke a limit, of policy and rule."""
        ours, theirs = (
            float(np.mean([each.broken_share for each in played]))
            for played in (self.policy, self.rule)
        )
        return ours, theirs

    def row(self) -> list[str]:
        """Return a row of the table."""
        prices = ", ".join(f"{each.risk:.3g}" for each in self.equal)
        cells = [self.setting, f"{self.price:g}", prices]
        cells += ["{:.1f} / {:.1f}".format(*(100 * each for each in self.broken))]
        for budgets in ((3,), (8,), tuple(BUDGETS)):
            ours, theirs, gap = self.after(*budgets)
            cells += [f"{100 * ours:.1f} / {100 * theirs:.1f}", f"{gap.points()}, {gap.verdict}"]
        return cells

    def figures(self) -> list[Figure]:
        """Return the figures; those with a goal hold where the policy is not behind."""
        start = f"{self.setting.replace('_', ' ')}, price {self.price:g}"
        found = []
        for words, budgets in (
            ("after 3", (3,)),
            ("after 8", (8,)),
            ("in the mean of 2 to 8", BUDGETS),
        ):
            ours, theirs, gap = self.after(*budgets)
            gained = f"{start}: policy minus rule {words}"
            found += [
                figure(f"{start}: policy, share of the optimum {words}", 100 * ours, "%"),
                figure(f"{start}: rule, share of the optimum {words}", 100 * theirs, "%"),
                figure(gained, 100 * gap.mean, "points"),
                figure(f"{gained}, lower end of 95 %", 100 * gap.low, "points"),
                figure(f"{gained}, upper end of 95 %", 100 * gap.high, "points", ">= 0"),
            ]
        gaps = [self.after(budget)[2] for budget in BUDGETS]
        least, ahead = 100 * min(gap.high for gap in gaps), sum(gap.low > 0 for gap in gaps)
        broke, price = self.broken, float(np.mean([each.risk for each in self.equal]))
        return [
            *found,
            figure(f"{start}: least upper end of 2 to 8 measurements", least, "points", ">= 0"),
            figure(f"{start}: measurements of 2 to 8 with the policy ahead", ahead, ""),
            figure(f"{start}: policy, measurements that broke a limit", 100 * broke[0], "%"),
            figure(f"{start}: rule, measurements that broke a limit", 100 * broke[1], "%"),
            figure(f"{start}: price of the rule", price, ""),
        ]


def compared(
    setting: Setting,
    price: float,
    policies: list[Decide],
    worlds: tuple[SimulatedWorld, SimulatedWorld],
    repeats: int,
) -> Compared:
    """Tune the rule's price on training problems, and play both on held-out ones.

    Args:
        setting: what changes on the way.
        price: of a broken limit, that the policies are told.
        policies: the bundles.
        worlds: problems of the training split, and held-out ones.
        repeats: episodes of each problem.
    """
    training, held_out = worlds
    equal = [equal_risk(training, each, repeats, setting.changes, price) for each in policies]
    episodes = partial(play, held_out, repeats=repeats, changes=setting.changes)
    return Compared(
        setting.name,
        price,
        tuple(equal),
        tuple(episodes(each, risk=price) for each in policies),
        tuple(episodes(rule_choices, risk=each.risk) for each in equal),
    )


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
    table(
        [
            *("setting", "price told", "price of the rule", "broke, policy / rule %"),
            *("after 3, policy / rule %", "difference, points"),
            *("after 8, policy / rule %", "difference, points"),
            *("mean of 2 to 8, policy / rule %", "difference, points"),
        ],
        [each.row() for each in found],
    )
    return report([each for one in found for each in one.figures()], given.json, goals_only=True)


if __name__ == "__main__":
    sys.exit(main())
