"""How well does the policy follow when conditions change on the way? Limits move, the device becomes hot or gets a neighbour, in the middle of tuning.

Simulated: problems of boards, networks and limits that no training drew. What is reached counts against the best on the shortlist under the
conditions at the end. A change comes between the third and the seventh measurement; what was measured before it counts no more.

python -m benchmarks.changing
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.rollouts import playing
from envs.problems.draw import DrawOptions
from envs.problems.world import SimulatedWorld
from tuner.console import progress_bar
from tuner.policy.bundle import load_bundle
from tuner.policy.forward import NumpyPolicy


def played(
    policy: NumpyPolicy, world: SimulatedWorld, changes: float, repeats: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(share of the optimum at the end [B], measurements since the last change [B], share of the measurements that broke a limit [B])."""
    broke, since, optimum = [], np.zeros(0), np.zeros(0)
    for episodes, broken in playing(
        world, lambda seen: np.array([policy.decide(row) for row in seen]), repeats, changes
    ):
        broke.append(broken)
        since = (
            np.where(episodes.optimum != optimum, 1, since + 1)
            if len(since)
            else np.ones(len(broken))
        )
        optimum = episodes.optimum.copy()
    return np.minimum(episodes.share(), 1.0), since, np.mean(broke, axis=0)


def figures_of(name: str, share: np.ndarray, broke: np.ndarray) -> list[Figure]:
    return [
        figure(f"{name}: share of the optimum at the end, mean", 100 * float(share.mean()), "%"),
        figure(f"{name}: the same, 5th percentile", 100 * float(np.percentile(share, 5)), "%"),
        figure(f"{name}: feasible at the end", 100 * float((share > 0).mean()), "%"),
        figure(f"{name}: measurements that broke a limit", 100 * float(broke.mean()), "%"),
    ]


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--bundle", type=Path, default=Path("checkpoints/reference.bundle"))
    arguments.add_argument("--problems", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=8)
    given = arguments.parse_args()
    with progress_bar("drawing problems", given.problems) as advance:
        world = SimulatedWorld(
            DrawOptions(split="held_out"), given.problems, 0, 2, lambda new: advance("", new)
        )
    policy = NumpyPolicy(load_bundle(given.bundle))
    still_share, _, still_broke = played(policy, world, 0.0, given.repeats)
    share, since, broke = played(policy, world, 1.0, given.repeats)
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
