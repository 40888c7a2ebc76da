"""The price of a broken limit at which the untrained rule breaks as many limits as another tuner.

A tuner that risks more finds more. A comparison says what a tuner knows only where both break
limits equally often; the price is found on problems of the training split, not on those that are
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from envs.belief.risk import BALANCED, HIGHEST, LOWEST
from envs.problems.world import World
from tuner.evaluation.rollouts import Decide, RollOut, play
from tuner.search.expected_gain import rule_choices

#: Halvings of the range of prices on a logarithmic scale: the last step is 0.7 % of the price.
HALVINGS = 10


@dataclass(frozen=True)
class EqualRisk:
    """The rule's price of a broken limit.

    Attributes:
        risk: the price, in LOWEST..HIGHEST; at an end of this range nothing in it breaks as many.
        broken: share of the measurements of the other tuner that broke a limit.
        rule_broken: the same of the rule at this price.
        problems: on which both were found.
    """

    risk: float
    broken: float
    rule_broken: float
    problems: int


def equal_risk(
    world: World,
    decide: Decide,
    options: RollOut | None = None,
    risk: float = BALANCED,
    rule: Decide = rule_choices,
) -> EqualRisk:
    """Find the rule's price at which it breaks as many limits as a tuner on the same problems.

    Args:
        world: problems of the training split.
        decide: the tuner.
        options: how episodes are played.
        risk: the price of a broken limit that the tuner is told.
        rule: the choices of the rule.
    """
    episodes = partial(play, world, options=options or RollOut())
    broken = episodes(decide, risk=risk).broken_share

    def of_rule(price: float) -> float:
        return episodes(rule, risk=price).broken_share

    found, rule_broken = matching_price(of_rule, broken)
    return EqualRisk(found, broken, rule_broken, len(world.problems))


def matching_price(broken_at: Callable[[float], float], wanted: float) -> tuple[float, float]:
    """Return the price at which a share of broken limits that falls with it is the wanted one.

    Args:
        broken_at: gives the share at a price.
        wanted: the share.

    Returns:
        The price and the share at it. Few limits are broken at a high price, so that many prices
        fit equally: it is the middle of these on a logarithmic scale, since any other choice would
        make the tuner bolder or more careful than what it is compared with.
    """
    tried: dict[float, float] = {}

    def share(log_price: float) -> float:
        if log_price not in tried:
            tried[log_price] = broken_at(float(np.exp(log_price)))
        return tried[log_price]

    def crossed(beyond: Callable[[float], bool]) -> float:
        """Return where a share begins to be no longer beyond."""
        low, high = float(np.log(LOWEST)), float(np.log(HIGHEST))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if beyond(share(middle)) else (low, middle)
        return (low + high) / 2

    first, last = crossed(lambda each: each > wanted), crossed(lambda each: each >= wanted)
    found = (first + last) / 2
    return float(np.exp(found)), share(found)


def sentence(found: EqualRisk) -> str:
    """Say how the price of the rule was found."""
    return (
        f"The rule expected gain takes a price of {found.risk:.2g} for a broken limit: on"
        f" {found.problems} training problems it breaks {100 * found.rule_broken:.1f} % of its"
        f" measurements then, the policy {100 * found.broken:.1f} %."
    )
