"""The numbers of a comparison: pure functions of its runs."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.arrays import BoolArray, FloatArray, Rows
from envs.spec import rank
from tuner.evaluation.bootstrap import interval
from tuner.evaluation.comparison import Comparison

#: An answer this close to the optimum has found it, as far as repeated measurements can tell.
NEAR_OPTIMUM = 0.97

#: An answer that without noise is further than this beyond a limit (the logarithm of 5 %) was
#: within the limits by luck.
OVERRUN = math.log(1.05)


@dataclass(frozen=True)
class Curves:
    """The runs of one tuner, [cases, seeds, measurements] each: the state after each measurement.

    Attributes:
        exists: [cases], True if some configuration of the case is feasible.
        share: score of the answer (the best as measured) over that of the best there is, both
            without noise where it is known, at most 1; 0 while no answer is feasible, NaN where
            no configuration is.
        overrun: True if the answer, without noise, breaks a limit by more than `OVERRUN`.
        feasible: True if a feasible configuration has been found.
        broken: share of the measurements so far that broke a limit.
        excess: how far the least violation so far exceeds the least possible one (0.1: 10 %
            further beyond the limit).
        spent_s, spent_j: total cost of the measurements so far.
        decision_s: time of each decision alone.
    """

    exists: BoolArray
    share: FloatArray
    overrun: BoolArray
    feasible: BoolArray
    broken: FloatArray
    excess: FloatArray
    spent_s: FloatArray
    spent_j: FloatArray
    decision_s: FloatArray


@dataclass(frozen=True)
class Summary:
    """One tuner after one budget; shares as fractions, NaN for a missing number.

    Attributes:
        tuner: its name.
        budget: number of measurements.
        cases: those with a feasible configuration, which all shares are about.
        share_mean, share_low, share_high: score over that of the best there is, with its 95 %
            bootstrap interval.
        share_p5: its 5th percentile over cases and seeds.
        feasible_share: share of the runs with a feasible answer.
        overrun_share: share of the runs whose answer breaks a limit by more than 5 % without noise.
        broken_share: share of the measurements that broke a limit.
        spent_s, spent_j: mean cost of the measurements in all cases.
        decision_s: median time per measurement.
        impossible_cases: those without a feasible configuration.
        excess_violation: how much further beyond the limit than necessary the answer is there.
    """

    tuner: str
    budget: int
    cases: int
    share_mean: float
    share_low: float
    share_high: float
    share_p5: float
    feasible_share: float
    overrun_share: float
    broken_share: float
    spent_s: float
    spent_j: float
    decision_s: float
    impossible_cases: int
    excess_violation: float


def curves(comparison: Comparison, tuner: str) -> Curves:
    """Return the runs of one tuner as arrays."""
    runs = comparison.runs(tuner)
    best = [case.best for case in comparison.cases]
    exists = comparison.exists

    def stack(quantity: str) -> FloatArray:
        return np.array([[getattr(run, quantity) for run in row] for row in runs])

    score, violation = stack("score"), stack("violation")
    kept = violation <= 0
    answer = best_so_far(rank(score, violation))
    feasible = np.logical_or.accumulate(kept, axis=-1)
    answer_ips = np.where(feasible, np.take_along_axis(stack("true_score"), answer, axis=-1), 0.0)
    optimum = np.array([each.score for each in best])
    scale = np.where(exists & (optimum > 0), optimum, np.nan)[:, None, None]
    lowest = np.minimum.accumulate(violation, axis=-1)
    necessary = np.array([each.violation for each in best])[:, None, None]
    return Curves(
        exists=exists,
        share=np.minimum(answer_ips / scale, 1.0),
        overrun=np.take_along_axis(stack("true_violation"), answer, axis=-1) > OVERRUN,
        feasible=feasible,
        broken=np.cumsum(~kept, axis=-1) / np.arange(1, score.shape[-1] + 1),
        excess=np.expm1(lowest - necessary),
        spent_s=np.cumsum(stack("cost_s"), axis=-1),
        spent_j=np.cumsum(stack("energy_j"), axis=-1),
        decision_s=stack("decision_s"),
    )


def best_so_far(worth: FloatArray) -> Rows:
    """Return the best measurement up to each one, the first of equals, [..., measurements]."""
    highest = np.maximum.accumulate(worth, axis=-1)
    first = np.ones_like(worth[..., :1], dtype=bool)
    better = np.concatenate([first, worth[..., 1:] > highest[..., :-1]], axis=-1)
    return np.maximum.accumulate(np.where(better, np.arange(worth.shape[-1]), 0), axis=-1)


def summarize(comparison: Comparison, tuner: str, budget: int, seed: int = 0) -> Summary:
    """Summarise one tuner after `budget` measurements; ValueError if its runs are shorter."""
    found = curves(comparison, tuner)
    if budget > found.share.shape[-1]:
        raise ValueError(f"{tuner} made {found.share.shape[-1]} measurements, fewer than {budget}")
    exists, last = found.exists, budget - 1
    share = found.share[exists][:, :, last]
    mean, low, high = interval(share[:, :, None], seed)
    return Summary(
        tuner=tuner,
        budget=budget,
        cases=int(exists.sum()),
        share_mean=float(mean[0]),
        share_low=float(low[0]),
        share_high=float(high[0]),
        share_p5=float(np.quantile(share, 0.05)) if share.size else math.nan,
        feasible_share=_mean(found.feasible[exists][:, :, last]),
        overrun_share=_mean(found.overrun[exists][:, :, last]),
        broken_share=_mean(found.broken[exists][:, :, last]),
        spent_s=_mean(found.spent_s[:, :, last]),
        spent_j=_mean(found.spent_j[:, :, last]),
        decision_s=float(np.median(found.decision_s[:, :, :budget])),
        impossible_cases=int((~exists).sum()),
        excess_violation=_mean(found.excess[~exists][:, :, last]),
    )


def summaries(comparison: Comparison, seed: int = 0) -> list[Summary]:
    """Summarise every tuner after every budget that its runs reach."""
    return [
        summarize(comparison, tuner, budget, seed)
        for tuner in comparison.tuners
        for budget in comparison.budgets
        if budget <= comparison.budget(tuner)
    ]


def breakdown(
    comparison: Comparison, group: str, budget: int
) -> dict[str, tuple[int, dict[str, float]]]:
    """Break the shares of the tuners down by a group of cases.

    Args:
        comparison: of the tuners.
        group: `board`, `network` or `tenants`.
        budget: number of measurements, or all of a shorter run.

    Returns:
        By each value of the group: the number of cases with a feasible configuration, and the mean
        share of each tuner.
    """
    shares = {tuner: curves(comparison, tuner).share for tuner in comparison.tuners}
    groups = [case.groups.get(group, ()) for case in comparison.cases]
    found = {}
    for value in sorted(set().union(*groups)):
        member = np.array([value in each for each in groups]) & comparison.exists
        if member.any():
            means = {
                tuner: _mean(share[member][:, :, min(budget, share.shape[-1]) - 1])
                for tuner, share in shares.items()
            }
            found[value] = (int(member.sum()), means)
    return found


def shares_at(comparison: Comparison, tuner: str, budget: int) -> FloatArray:
    """Return the shares [cases, seeds] after a budget, of the cases with a feasible configuration.

    A shorter run counts with its last measurement.
    """
    found = curves(comparison, tuner)
    return found.share[found.exists][:, :, min(budget, found.share.shape[-1]) - 1]


def measurements_to_reach(
    comparison: Comparison, tuner: str, share: float = NEAR_OPTIMUM
) -> int | None:
    """Return the number of measurements until the mean share reaches `share`; None if never."""
    found = curves(comparison, tuner)
    if not found.exists.any():
        return None
    reached = found.share[found.exists].mean(axis=(0, 1)) >= share - 1e-12
    return int(reached.argmax()) + 1 if reached.any() else None


def cost_to_reach(
    comparison: Comparison, tuner: str, share: float = NEAR_OPTIMUM
) -> tuple[float, float]:
    """Return the mean (seconds, joules) of the measurements until `share` is reached.

    Both are NaN if it never is; the joules also where no power was measured.
    """
    count = measurements_to_reach(comparison, tuner, share)
    if count is None:
        return math.nan, math.nan
    found = curves(comparison, tuner)
    spent = (found.spent_s, found.spent_j)
    seconds, joules = (_mean(each[found.exists][:, :, count - 1]) for each in spent)
    return seconds, joules


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(np.mean(np.asarray(values, dtype=np.float64))) if values.size else math.nan
