"""Find the price of a broken limit for several networks, on problems of the training split.

The benchmark allows 5 % in the first eight measurements. On boards and networks that no training
drew the policy breaks limits 1.7 times as often as on training problems (6.6 % against 3.9 % at a
price of 0.1, on 108 and 40 problems of other seeds than the benchmark's), and two standard errors
of a mean over 300 problems are 1.4 points: so (5 - 1.4) / 1.7 % are allowed on training problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.setup import draw_world
from envs.problems.draw_options import DrawOptions
from tuner.evaluation.equal_risk import equal_risk, matching_price, sentence
from tuner.evaluation.rollouts import RollOut, play, policy_decides
from tuner.policy.bundle import load_bundle

#: The share of the measurements that may break a limit on training problems, and how many
#: measurements these are.
BROKEN, FIRST = 0.021, 8


def prices(path: Path, tenants: Sequence[int], problems: int) -> tuple[float, float]:
    """Return the policy's price of a broken limit, and that at which the rule breaks as many.

    Args:
        path: of the policy.
        tenants: numbers of networks, each of which as many problems have.
        problems: how many of the training split to draw.
    """
    shares = [float(tenants.count(count)) / len(tenants) for count in range(1, max(tenants) + 1)]
    world = draw_world(
        DrawOptions(tenants=shares, split="train"), problems, title="drawing training problems"
    )
    decide, played = policy_decides(load_bundle(path)), RollOut(budget=FIRST)

    def broken_at(price: float) -> float:
        return play(world, decide, played, price).broken_share

    risk, broken = matching_price(broken_at, BROKEN)
    rule = equal_risk(world, decide, played, risk)
    print(
        f"at a price of {risk:.3g} for a broken limit the policy breaks {100 * broken:.1f} % of its"
        f" first {FIRST} measurements on {problems} training problems; {sentence(rule)}"
    )
    return risk, rule.risk
