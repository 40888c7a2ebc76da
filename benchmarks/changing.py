"""Measure how well the policy follows when conditions change in the middle of tuning.

Limits move, the device becomes hot, or a neighbour appears. All of it is simulated, on boards,
networks and limits that no training drew. The answer is compared with the best configuration of
the shortlist under the conditions at the end. A change comes between the third and the seventh
measurement; measurements from before the change do not count as answers.

python -m benchmarks.changing
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option, draw_world
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import SimulatedWorld
from tuner.evaluation.rollouts import Decide, RollOut, policy_decides, roll_out
from tuner.policy.bundle import load_bundle


def outcomes(
    decide: Decide, world: SimulatedWorld, changes: float, repeats: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Play episodes and say how each of them ended.

    Returns:
        The share of the optimum at the end [B], the number of measurements since the last change
        [B], and the share of the measurements that broke a limit [B].
    """
    broke, since, optimum = [], np.zeros(0), np.zeros(0)
    for episodes, broken in roll_out(world, decide, RollOut(repeats, changes)):
        broke.append(broken)
        since = (
            np.where(episodes.optimum != optimum, 1, since + 1)
            if len(since)
            else np.ones(len(broken))
        )
        optimum = episodes.optimum.copy()
    return np.minimum(episodes.share(), 1.0), since, np.mean(broke, axis=0)


def figures_of(name: str, share: np.ndarray, broke: np.ndarray) -> list[Figure]:
    """Return the figures of some episodes."""
    return [
        figure(f"{name}: share of the optimum at the end, mean", 100 * float(share.mean()), "%"),
        figure(f"{name}: the same, 5th percentile", 100 * float(np.percentile(share, 5)), "%"),
        figure(f"{name}: feasible at the end", 100 * float((share > 0).mean()), "%"),
        figure(f"{name}: measurements that broke a limit", 100 * float(broke.mean()), "%"),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    add_bundle_option(arguments)
    arguments.add_argument("--problems", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=8)
    given = arguments.parse_args()
    world = draw_world(DrawOptions(split="held_out"), given.problems)
    decide = policy_decides(load_bundle(given.bundle))
    still_share, _, still_broke = outcomes(decide, world, 0.0, given.repeats)
    share, since, broke = outcomes(decide, world, 1.0, given.repeats)
    figures = figures_of("no change", still_share, still_broke)
    for least, most in ((2, 3), (4, 5)):
        some = (since >= least) & (since <= most)
        if some.any():
            figures += figures_of(
                f"{least} or {most} measurements after a change", share[some], broke[some]
            )
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
