"""Compare one policy bundle with the untrained rule, whose price is tuned for each setting.

A setting is a kind of problem: the belief is right or wrong in one of several ways, conditions stay
or change, engines are there or have to be built. In each, policy and rule play the same episodes on
boards, networks and limits that no training drew. For each price of a broken limit that the policy
is told, the rule has the price at which it breaks as many limits in these episodes
(`benchmarks.rule_front`), and where engines are built the power of the cost that serves it best on
problems of the training split. Shares are of the best configuration on the shortlist; every number
is simulated.

With several bundles (other training seeds) each is compared with a rule of its own; the shares are
the means of all. Of some 500 comparisons, one in 40 is "worse" by chance alone.

python -m benchmarks.rule        about half an hour on two cores, most of it drawing problems
python -m benchmarks.rule --settings belief_right changing --problems 40 --training-problems 40
python -m benchmarks.rule --keep runs/rule --bundles runs/one/policy.bundle runs/two/policy.bundle
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.figures import parser, report
from benchmarks.rule_compared import Compared, RulePlays, compared
from benchmarks.rule_settings import SETTINGS, Setting
from benchmarks.setup import REFERENCE_BUNDLE, draw_world
from envs.problems.draw_options import DrawOptions
from envs.problems.problem_batch import ProblemBatch
from envs.problems.simulated_world import SimulatedWorld
from tuner.console import progress_bar, table
from tuner.evaluation.rollouts import policy_decides
from tuner.policy.bundle import load_bundle

#: Prices of a broken limit that the policy is told.
PRICES = (0.01, 0.03, 0.1, 0.3, 1.0)


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
    made.add_argument("--training-problems", type=int, default=50, help="for the power of the cost")
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
    drawn: dict[str, SimulatedWorld] = {}

    def world(setting: Setting, split: str, count: int) -> SimulatedWorld:
        same = next(each.name for each in SETTINGS if each.draw == setting.draw)
        name = f"{same}_{split}"
        if name not in drawn:
            drawn[name] = world_of(setting.options(split), count, given.keep, name)
        return setting.world(drawn[name])

    found: list[Compared] = []
    for setting in (each for each in SETTINGS if each.name in given.settings):
        rounds = setting.rounds(given.repeats)
        held_out = RulePlays(world(setting, "held_out", given.problems), rounds)
        training = None
        if setting.builds:
            training = RulePlays(world(setting, "train", given.training_problems), rounds)
        with progress_bar(f"playing, {setting.name}", len(given.prices)) as advance:
            for price in given.prices:
                found.append(compared(setting, price, policies, held_out, training, given.repeats))
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
