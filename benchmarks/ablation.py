"""Train variants of the recipe that change one part each, and compare what they learn.

All variants learn from the same simulated problems and are compared on others. Shares are of the
best configuration on the shortlist, which holds 99.8 % of the optimum on average;
`benchmarks.transfer` compares with the whole space.

python -m benchmarks.ablation        about 10 minutes on two cores
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import draw_world
from envs.arrays import Single
from envs.problems.draw_options import DrawOptions
from envs.problems.problem_batch import ProblemBatch
from envs.problems.simulated_world import SimulatedWorld
from tuner.agents.agent_options import AgentOptions
from tuner.agents.policy_net import CandidatePolicy
from tuner.agents.training import make_env, make_model
from tuner.console import progress_bar, table
from tuner.evaluation.rollouts import RollOut, roll_out

#: What is compared, with units.
METRICS = (
    ("after 3, mean share", "%"),
    ("after 3, 5th percentile", "%"),
    ("after 3, feasible", "%"),
    ("after 8, mean share", "%"),
    ("after 8, 5th percentile", "%"),
    ("after 8, feasible", "%"),
    ("broke a limit", "%"),
    ("training", "s"),
)


@dataclass(frozen=True)
class Variant:
    """One change of the recipe: of the agent, or of the belief."""

    name: str
    agent: AgentOptions
    trained: bool = True
    change: Callable[[ProblemBatch], ProblemBatch] = lambda problems: problems


def without_belief(problems: ProblemBatch) -> ProblemBatch:
    """Make configurations independent: a measurement says nothing about any other."""
    return replace(
        problems, loadings=np.zeros_like(problems.loadings), residual_variance=problems.variance
    )


def fewer_directions(count: int) -> Callable[[ProblemBatch], ProblemBatch]:
    """Keep the `count` directions that matter most; the others' variance is left unexplained."""

    def changed(problems: ProblemBatch) -> ProblemBatch:
        kept = problems.loadings.copy()
        kept[:, : problems.loadings.shape[1] - count] = 0  # directions come in ascending order
        rest = (problems.loadings**2).sum(axis=1) - (kept**2).sum(axis=1)
        return replace(
            problems,
            loadings=kept,
            residual_variance=problems.residual_variance + rest.reshape(problems.mean.shape),
        )

    return changed


def variants(steps: int) -> list[Variant]:
    """Return the recipe and every change of it."""
    base = AgentOptions(steps=steps)
    return [
        Variant("the recipe", base),
        Variant("no training, only expected gain net of risk", base, trained=False),
        Variant(
            "no belief, a measurement says nothing of other configurations",
            base,
            change=without_belief,
        ),
        Variant("4 directions of belief instead of 24", base, change=fewer_directions(4)),
        Variant("12 directions of belief instead of 24", base, change=fewer_directions(12)),
        Variant("broken limits cost little, in all episodes", replace(base, risk="bold")),
        Variant("broken limits cost much, in all episodes", replace(base, risk="careful")),
        Variant("discount 0.95 instead of 0.7", replace(base, gamma=0.95)),
        Variant("discount 0.4", replace(base, gamma=0.4)),
        Variant("layers of 96 instead of 32", replace(base, hidden=96)),
        Variant("conditions change in 30 % of the training episodes", replace(base, changes=0.3)),
        Variant("a third of the training", replace(base, steps=steps // 3)),
        Variant("three times the training", replace(base, steps=3 * steps)),
    ]


def trained(variant: Variant, problems: ProblemBatch) -> CandidatePolicy:
    """Train a policy on the problems as the variant sees them."""
    env = make_env(SimulatedWorld.of(variant.change(problems)), variant.agent, 0)
    model = make_model(env, variant.agent, 0, None)
    if variant.trained:
        model.learn(variant.agent.steps)
    assert isinstance(model.policy, CandidatePolicy)
    return model.policy


def compared(policy: CandidatePolicy, problems: ProblemBatch, repeats: int = 8) -> list[float]:
    """Return METRICS without the last, in percent."""

    def decide(observation: Single) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(policy.scores(torch.as_tensor(observation)).argmax(dim=1))

    broke, found = [], {}
    for episodes, broken in roll_out(SimulatedWorld.of(problems), decide, RollOut(repeats)):
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
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=300_000)
    arguments.add_argument("--problems", type=int, default=400)
    arguments.add_argument("--held-out", type=int, default=160)
    given = arguments.parse_args()
    options = DrawOptions(small_spaces=0.95, changed_boards=0.3)
    batches = [
        draw_world(
            replace(options, split=split), count, title=f"drawing problems, {split}"
        ).problems
        for split, count in (("train", given.problems), ("held_out", given.held_out))
    ]
    figures: list[Figure] = []
    rows = []
    with progress_bar("training variants", len(variants(given.steps))) as advance:
        for variant in variants(given.steps):
            began_s = time.perf_counter()
            policy = trained(variant, batches[0])
            seconds = time.perf_counter() - began_s
            found = [*compared(policy, variant.change(batches[1])), seconds]
            rows.append([variant.name, *(f"{value:.1f}" for value in found)])
            figures += [
                figure(f"{variant.name}: {metric}", value, unit)
                for (metric, unit), value in zip(METRICS, found, strict=True)
            ]
            advance(variant.name)
    table(["variant", *(f"{metric} [{unit}]" for metric, unit in METRICS)], rows)
    return report(figures, given.json, goals_only=True)


if __name__ == "__main__":
    sys.exit(main())
