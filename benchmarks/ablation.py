"""What of the recipe helps? Trains variants of it on the same problems of the model and compares them on others, each change alone.

python -m benchmarks.ablation               about 10 minutes on two cores
python -m benchmarks.ablation --write       also writes benchmarks/ablation.md

Shares are of the best on the shortlist, which holds 99.8 % of the optimum on average (`benchmarks.transfer` compares with the whole space).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.figures import commit, parser
from benchmarks.rollouts import playing
from envs.arrays import Single
from envs.problems.draw import DrawOptions
from envs.problems.problem_batch import Pool
from envs.problems.world import SimulatedWorld
from envs.spec.device import processor_name
from tuner.agents.policy_net import CandidatePolicy
from tuner.agents.training import AgentOptions, make_env, make_model
from tuner.console import progress_bar, table

HEADINGS = [
    "variant",
    "after 3: mean [%]",
    "5th [%]",
    "feasible [%]",
    "after 8: mean [%]",
    "5th [%]",
    "feasible [%]",
    "broke [%]",
    "training [s]",
]


@dataclass(frozen=True)
class Variant:
    """One change of the recipe: of the agent, or of what is believed."""

    name: str
    agent: AgentOptions
    trained: bool = True
    pool: Callable[[Pool], Pool] = lambda pool: pool


def without_belief(pool: Pool) -> Pool:
    """A measurement teaches nothing but itself: no two configurations share what is uncertain."""
    return replace(pool, basis=np.zeros_like(pool.basis), left=pool.variance)


def fewer_directions(count: int) -> Callable[[Pool], Pool]:
    """The `count` directions that matter most, the others' variance being left over."""

    def changed(pool: Pool) -> Pool:
        kept = pool.basis.copy()
        kept[:, : pool.basis.shape[1] - count] = 0  # directions come in ascending order
        rest = (pool.basis**2).sum(axis=1) - (kept**2).sum(axis=1)
        return replace(pool, basis=kept, left=pool.left + rest.reshape(pool.left.shape))

    return changed


def variants(steps: int) -> list[Variant]:
    base = AgentOptions(steps=steps)
    return [
        Variant("the recipe", base),
        Variant("no training: expected gain net of risk alone", base, trained=False),
        Variant(
            "no belief: measurements teach nothing of other configurations",
            base,
            pool=without_belief,
        ),
        Variant("4 directions of belief instead of 24", base, pool=fewer_directions(4)),
        Variant("12 directions of belief instead of 24", base, pool=fewer_directions(12)),
        Variant("broken limits cost nothing", replace(base, price=0.0)),
        Variant("broken limits cost twice as much", replace(base, price=2 * base.price)),
        Variant("discount 0.95 instead of 0.7", replace(base, gamma=0.95)),
        Variant("discount 0.4", replace(base, gamma=0.4)),
        Variant("layers of 96 instead of 32", replace(base, hidden=96)),
        Variant("conditions change in 30 % of the training episodes", replace(base, changes=0.3)),
        Variant("a third of the training", replace(base, steps=steps // 3)),
        Variant("three times the training", replace(base, steps=3 * steps)),
    ]


def trained(variant: Variant, pool: Pool) -> CandidatePolicy:
    env = make_env(SimulatedWorld.of(variant.pool(pool)), variant.agent, 0)
    model = make_model(env, variant.agent, 0, None)
    if variant.trained:
        model.learn(variant.agent.steps)
    assert isinstance(model.policy, CandidatePolicy)
    return model.policy


def compared(policy: CandidatePolicy, pool: Pool, repeats: int = 8) -> list[float]:
    """After 3 and 8 measurements: mean, 5th percentile and feasible share; then the share of measurements that broke a limit. All in %."""

    def decide(observation: Single) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(policy.scores(torch.as_tensor(observation)).argmax(dim=1))

    broke, found = [], {}
    for episodes, broken in playing(SimulatedWorld.of(pool), decide, repeats):
        broke.append(broken)
        found[int(episodes.used[0])] = (np.minimum(episodes.share(), 1.0), episodes.best >= 0)
    shares = [
        100 * value
        for budget in (3, 8)
        for value in (
            found[budget][0].mean(),
            np.percentile(found[budget][0], 5),
            found[budget][1].mean(),
        )
    ]
    return [*map(float, shares), 100 * float(np.mean(broke))]


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=300_000)
    arguments.add_argument("--problems", type=int, default=400)
    arguments.add_argument("--held-out", type=int, default=160)
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    options = DrawOptions(small_spaces=0.95, changed_boards=0.3)
    pools = []
    for split, count in (("train", given.problems), ("held_out", given.held_out)):
        with progress_bar(f"drawing problems, {split}", count) as advance:
            pools.append(
                SimulatedWorld(
                    replace(options, split=split),
                    count,
                    0,
                    2,
                    lambda new, advance=advance: advance("", new),
                ).pool
            )
    rows = []
    with progress_bar("training variants", len(variants(given.steps))) as advance:
        for variant in variants(given.steps):
            began_s = time.perf_counter()
            policy = trained(variant, pools[0])
            seconds = time.perf_counter() - began_s
            rows.append(
                [
                    variant.name,
                    *(f"{value:.1f}" for value in compared(policy, variant.pool(pools[1]))),
                    f"{seconds:.0f}",
                ]
            )
            advance(variant.name)
    table(HEADINGS, rows)
    if given.write:
        lines = [
            "| " + " | ".join(each) + " |" for each in (HEADINGS, ["---"] * len(HEADINGS), *rows)
        ]
        head = Path(__file__).with_suffix(".md").read_text().split("<!-- table -->")[0]
        Path(__file__).with_suffix(".md").write_text(
            head
            + "<!-- table -->\n\n"
            + "\n".join(lines)
            + f"\n\n{processor_name()}, commit {commit()}, {given.steps:,} steps, "
            f"{given.problems} problems to learn from and {given.held_out} others to be compared on, one training seed.\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
