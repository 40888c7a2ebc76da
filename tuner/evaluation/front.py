"""Set the share of the optimum against broken limits, for tuners at several prices of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from envs.problems.problem import Problem
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.statistics import Summary, summarize
from tuner.search.protocol import Tuner

#: The untrained rule, which stands beside every trained policy.
RULE = "expected_gain"

#: Prices of a broken limit, as shares of the best so far.
FRONT_RISKS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

#: Measurements after which the front is shown; each run of it ends with the last.
FRONT_BUDGETS = (3, 8)


@dataclass(frozen=True)
class FrontPoint:
    """One tuner at one price of a broken limit.

    Attributes:
        tuner: its name.
        risk: the price that it is told.
        after: its numbers after each of `FRONT_BUDGETS` that the space allows.
    """

    tuner: str
    risk: float
    after: tuple[Summary, ...]

    @property
    def broken_share(self) -> float:
        """Return the share of all its measurements that broke a limit."""
        return self.after[-1].broken_share


def front_factories(
    tuners: Mapping[str, Callable[..., Tuner]],
) -> dict[str, Callable[[Problem], Tuner]]:
    """Return a factory for each tuner at each price.

    Args:
        tuners: makers of tuners by name, which take a problem and a price `risk`.
    """
    return {
        at_price(name, risk): partial(make, risk=risk)
        for name, make in tuners.items()
        for risk in FRONT_RISKS
    }


def at_price(tuner: str, risk: float) -> str:
    """Return the name of a tuner at one price."""
    return f"{tuner} at {risk:g}"


def split_front(comparison: Comparison) -> tuple[Comparison, list[FrontPoint]]:
    """Split a comparison into its tuners proper and the points of the front."""
    named = {
        at_price(tuner, risk): (tuner, risk) for tuner in comparison.tuners for risk in FRONT_RISKS
    }
    last = comparison.budgets[-1]
    budgets = sorted({min(budget, last) for budget in FRONT_BUDGETS})
    points = [
        FrontPoint(*named[name], tuple(summarize(comparison, name, each) for each in budgets))
        for name in comparison.tuners
        if name in named
    ]
    return comparison.without(set(named)), points
