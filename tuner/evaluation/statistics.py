"""What a comparison says in numbers. Pure functions of the runs; every bootstrap is seeded.

Letters: B contexts, S seeds, M measurements, R resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.spec.objective import rank
from tuner.evaluation.protocol import Comparison

#: Whoever is within 3 % of the optimum has found it, as far as repeated measurements can tell.
NEAR_OPTIMUM = 0.97

#: An answer that without noise is further than this beyond a limit was not within the limits by a hair, but by luck: the logarithm of 5 %.
OVERRUN = math.log(1.05)
RESAMPLES = 2000


@dataclass(frozen=True)
class Curves:
    """How the runs of one tuner went on, [B, S, M] each, best so far or in total up to each measurement.

    Attributes:
        exists: [B], whether the context has a feasible configuration.
        share: throughput of the answer so far (what was best as measured) over the oracle's, both without noise where it is known, and
            never more than 1; 0 while there is no feasible one; NaN where none exists.
        overrun: whether that answer without noise breaks a limit by more than `OVERRUN`.
        feasible: whether a feasible configuration has been found.
        broken: share of the measurements so far that broke a limit.
        excess: by how much the least violation so far exceeds the least possible one (0.1: 10 % further beyond the limit).
        spent_s, spent_j: total cost of the measurements so far.
        decision_s: of each measurement alone.
    """

    exists: npt.NDArray[np.bool_]
    share: FloatArray
    overrun: npt.NDArray[np.bool_]
    feasible: npt.NDArray[np.bool_]
    broken: FloatArray
    excess: FloatArray
    spent_s: FloatArray
    spent_j: FloatArray
    decision_s: FloatArray


@dataclass(frozen=True)
class Summary:
    """One tuner after one budget; shares as fractions. What cannot be said (no power, no such context) is NaN.

    Attributes:
        contexts: those with a feasible configuration, which all shares are about.
        share_mean, share_low, share_high: of the oracle's throughput, with its 95 % bootstrap interval.
        share_p5: its 5th percentile over contexts and seeds.
        feasible_share: of contexts (and seeds) with a feasible answer. overrun_share: with one that breaks a limit by more than 5 % without noise.
        broken_share: of measurements that broke a limit.
        spent_s, spent_j: mean cost of the measurements in all contexts. decision_s: median per measurement.
        impossible_contexts: those without a feasible configuration; excess_violation: how much further beyond the limit
            than necessary the answer is there.
    """

    tuner: str
    budget: int
    contexts: int
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
    impossible_contexts: int
    excess_violation: float


def curves(comparison: Comparison, tuner: str) -> Curves:
    """The runs of one tuner as arrays."""
    runs = comparison.runs(tuner)
    references = [context.best for context in comparison.contexts]
    exists = comparison.exists

    def stack(quantity: str) -> FloatArray:
        return np.array([[getattr(run, quantity) for run in row] for row in runs])

    score, violation = stack("score_ips"), stack("violation")
    kept = violation <= 0
    answer = best_so_far(rank(score, violation))
    feasible = np.logical_or.accumulate(kept, axis=-1)
    given = np.where(feasible, np.take_along_axis(stack("true_ips"), answer, axis=-1), 0.0)
    optimum = np.array([best.score_ips for best in references])
    scale = np.where(exists & (optimum > 0), optimum, np.nan)[:, None, None]
    least = np.minimum.accumulate(violation, axis=-1)
    necessary = np.array([best.violation for best in references])[:, None, None]
    return Curves(
        exists=exists,
        share=np.minimum(given / scale, 1.0),
        overrun=np.take_along_axis(stack("true_violation"), answer, axis=-1) > OVERRUN,
        feasible=feasible,
        broken=np.cumsum(~kept, axis=-1) / np.arange(1, score.shape[-1] + 1),
        excess=np.expm1(least - necessary),
        spent_s=np.cumsum(stack("cost_s"), axis=-1),
        spent_j=np.cumsum(stack("energy_j"), axis=-1),
        decision_s=stack("decision_s"),
    )


def best_so_far(worth: FloatArray) -> npt.NDArray[np.int64]:
    """Which measurement is the best up to each one, the first of equals: [..., M]."""
    highest = np.maximum.accumulate(worth, axis=-1)
    new = np.concatenate(
        [np.ones_like(worth[..., :1], dtype=bool), worth[..., 1:] > highest[..., :-1]], axis=-1
    )
    return np.maximum.accumulate(np.where(new, np.arange(worth.shape[-1]), 0), axis=-1)


def interval(values: FloatArray, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean of [B, S, M] over contexts and seeds with its 95 % bootstrap interval: (mean, low, high), [M] each.

    Contexts are resampled, and within each its seeds, since seeds belong to one context. That errs on the side of a tie: where
    only seeds differ, the interval is up to 1.4 times too wide.
    """
    contexts, seeds = values.shape[:2]
    flat = values.reshape(contexts * seeds, values.shape[2])
    if not len(flat):
        nothing = np.full(flat.shape[1], np.nan)
        return nothing, nothing, nothing
    means = _resampling_weights(contexts, seeds, seed) @ flat
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return flat.mean(axis=0), low, high


@lru_cache(maxsize=8)
def _resampling_weights(contexts: int, seeds: int, seed: int) -> FloatArray:
    """How much each run counts in each resample, [R, B x S], rows summing to 1."""
    random = np.random.default_rng(seed)
    chosen = random.integers(contexts, size=(RESAMPLES, contexts, 1))
    runs = chosen * seeds + random.integers(seeds, size=(RESAMPLES, contexts, seeds))
    flat = runs.reshape(RESAMPLES, -1) + np.arange(RESAMPLES)[:, None] * contexts * seeds
    counts = np.bincount(flat.ravel(), minlength=RESAMPLES * contexts * seeds).reshape(
        RESAMPLES, -1
    )
    return np.asarray(counts / (contexts * seeds))


def summarize(comparison: Comparison, tuner: str, budget: int, seed: int = 0) -> Summary:
    """One tuner after `budget` measurements; ValueError if its runs are shorter."""
    all_curves = curves(comparison, tuner)
    if budget > all_curves.share.shape[-1]:
        raise ValueError(
            f"{tuner} made {all_curves.share.shape[-1]} measurements, fewer than {budget}"
        )
    exists, at = all_curves.exists, budget - 1
    share = all_curves.share[exists][:, :, at]
    mean, low, high = interval(share[:, :, None], seed)
    return Summary(
        tuner=tuner,
        budget=budget,
        contexts=int(exists.sum()),
        share_mean=float(mean[0]),
        share_low=float(low[0]),
        share_high=float(high[0]),
        share_p5=float(np.quantile(share, 0.05)) if share.size else math.nan,
        feasible_share=_mean(all_curves.feasible[exists][:, :, at]),
        overrun_share=_mean(all_curves.overrun[exists][:, :, at]),
        broken_share=_mean(all_curves.broken[exists][:, :, at]),
        spent_s=_mean(all_curves.spent_s[:, :, at]),
        spent_j=_mean(all_curves.spent_j[:, :, at]),
        decision_s=float(np.median(all_curves.decision_s[:, :, :budget])),
        impossible_contexts=int((~exists).sum()),
        excess_violation=_mean(all_curves.excess[~exists][:, :, at]),
    )


def summaries(comparison: Comparison, seed: int = 0) -> list[Summary]:
    """Every tuner after every budget that its runs reach."""
    lengths = {tuner: len(comparison.runs(tuner)[0][0]) for tuner in comparison.tuners}
    pairs = [
        (tuner, budget)
        for tuner in comparison.tuners
        for budget in comparison.budgets
        if budget <= lengths[tuner]
    ]
    return [summarize(comparison, tuner, budget, seed) for tuner, budget in pairs]


def breakdown(
    comparison: Comparison, group: str, budget: int
) -> dict[str, tuple[int, dict[str, float]]]:
    """By each value of a group (`board`, `network`, `tenants`): how many contexts with a feasible configuration, and the mean share of each tuner."""
    shares = {tuner: curves(comparison, tuner).share for tuner in comparison.tuners}
    values = sorted(
        {value for context in comparison.contexts for value in context.groups.get(group, ())}
    )
    found = {}
    for value in values:
        member = (
            np.array([value in context.groups.get(group, ()) for context in comparison.contexts])
            & comparison.exists
        )
        if member.any():
            found[value] = (
                int(member.sum()),
                {
                    tuner: _mean(share[member][:, :, min(budget, share.shape[-1]) - 1])
                    for tuner, share in shares.items()
                },
            )
    return found


def ties(a: FloatArray, b: FloatArray, seed: int = 0) -> str:
    """Whether `a` is 'better' or 'worse' than `b`, or a 'tie': a paired bootstrap of the mean difference.

    Args:
        a, b: [B, S] (or [B]), what two tuners got on the same contexts and seeds; more is better.
    """
    difference = (np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).reshape(
        len(a), -1, 1
    )
    _, low, high = interval(difference, seed)
    if low[0] > 0:
        return "better"
    return "worse" if high[0] < 0 else "tie"


def shares_at(comparison: Comparison, tuner: str, budget: int) -> FloatArray:
    """Share of the oracle after `budget` measurements (or all, in shorter runs), [B, S], of the contexts with a feasible configuration."""
    found = curves(comparison, tuner)
    return found.share[found.exists][:, :, min(budget, found.share.shape[-1]) - 1]


def measurements_to_reach(
    comparison: Comparison, tuner: str, share: float = NEAR_OPTIMUM
) -> int | None:
    """After how many measurements the mean share reaches `share`; None if it never does."""
    found = curves(comparison, tuner)
    if not found.exists.any():
        return None
    reached = found.share[found.exists].mean(axis=(0, 1)) >= share - 1e-12
    return int(reached.argmax()) + 1 if reached.any() else None


def cost_to_reach(
    comparison: Comparison, tuner: str, share: float = NEAR_OPTIMUM
) -> tuple[float, float]:
    """Mean (seconds, joules) of the measurements until `share` is reached; NaN if it never is, or without power."""
    count = measurements_to_reach(comparison, tuner, share)
    if count is None:
        return math.nan, math.nan
    found = curves(comparison, tuner)
    return _mean(found.spent_s[found.exists][:, :, count - 1]), _mean(
        found.spent_j[found.exists][:, :, count - 1]
    )


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(np.mean(np.asarray(values, dtype=np.float64))) if values.size else math.nan
