"""Windows of one configuration as their mean, and those of two compared pair by pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from envs.problems.problem import Problem
from envs.spec import Failure, Measurement, Outcome, TenantMeasurement, rank

#: Quantiles of Student's t for 1, 2, ... degrees of freedom, of 97 % on both sides: whoever looks
#: after each pair and stops when the interval is narrow needs them to cover 95 %.
T_QUANTILES = (
    *(21.205, 5.643, 3.896, 3.298, 3.003, 2.829, 2.715, 2.634, 2.574, 2.527),
    *(2.491, 2.461, 2.436, 2.415, 2.397, 2.382, 2.368, 2.356, 2.346),
)

#: Pairs at most that can be asked for.
MOST_PAIRS = len(T_QUANTILES) + 1


@dataclass(frozen=True)
class Ratio:
    """The score of an answer over that of the default, from pairs of successive windows.

    Attributes:
        times: the geometric mean of the pairs' ratios.
        low, high: its 95 % interval; NaN for a single pair, and where all pairs are the same, as
            those of a recording are: nothing is known of their scatter.
        pairs: so many.
    """

    times: float
    low: float
    high: float
    pairs: int

    @property
    def reach(self) -> float:
        """Return how far the interval reaches, as a logarithm; infinite for a single pair."""
        if math.isnan(self.high):
            return math.inf if self.pairs < 2 else 0.0
        return math.log(self.high / self.times)


def ratio_of(scores: Sequence[float], defaults: Sequence[float]) -> Ratio | None:
    """Return the ratio of two lists of scores, pair by pair; None where no pair can be formed.

    The interval is Student's t of the logarithms. A score that is not above zero, of a failure or
    of power that was not read, leaves its pair out.
    """
    logs = [
        math.log(own / other)
        for own, other in zip(scores, defaults, strict=False)
        if own > 0 and other > 0
    ]
    if not logs:
        return None
    mean, pairs = float(np.mean(logs)), len(logs)
    if len(set(logs)) < 2:
        return Ratio(math.exp(mean), math.nan, math.nan, pairs)
    reach = T_QUANTILES[pairs - 2] * float(np.std(logs, ddof=1)) / math.sqrt(pairs)
    return Ratio(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), pairs)


def value(problem: Problem, outcome: Outcome) -> float:
    """Return the value of an outcome: higher is better; below zero, a limit is broken."""
    if isinstance(outcome, Failure):
        return -1e9
    score, violation = problem.judge(outcome)
    return float(rank(score, violation))  # type: ignore[arg-type]


def mean_window(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the mean of windows of one configuration; the first failure where one failed.

    Throughput, latency and power are geometric means, as limits and scores are judged by their
    logarithms; the requests are those of a window, and the agreement is the lowest. A mean has no
    interval of its 99th percentile.
    """
    failed = next((each for each in outcomes if isinstance(each, Failure)), None)
    if failed is not None:
        return failed
    windows = [each for each in outcomes if isinstance(each, Measurement)]
    if len(windows) == 1:
        return windows[0]
    tenants = [_mean_tenant(each) for each in zip(*(w.tenants for w in windows), strict=True)]
    return replace(
        windows[-1],
        tenants=tuple(tenants),
        power_w=_geometric([each.power_w for each in windows]),
        energy_j=float(np.mean([each.energy_j for each in windows])),
        disturbed=any(each.disturbed for each in windows),
    )


def _mean_tenant(windows: Sequence[TenantMeasurement]) -> TenantMeasurement:
    names = ("throughput_ips", "p50_ms", "p95_ms", "p99_ms")
    means = {name: _geometric([getattr(each, name) for each in windows]) for name in names}
    return replace(
        windows[-1],
        **means,
        p99_low_ms=math.nan,
        p99_high_ms=math.nan,
        requests=float(np.mean([each.requests for each in windows])),
        agreement=min((each.agreement for each in windows), key=lambda each: (each != each, each)),
    )


def _geometric(values: Sequence[float]) -> float:
    """Return the geometric mean; NaN where a value was not read, 0 where one is."""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(values))))
