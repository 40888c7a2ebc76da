"""The observation of an agent: the most promising candidates, and how each compares.

Each candidate is described in terms that mean the same on every device: the belief about it,
relative to the limits and to the best result so far. A policy that scores candidates by these
features has no knob of its own, so that boards with other accelerators, other batch sizes or more
tenants are nothing new to it.

A candidate that was measured may be chosen again where that may change the answer, up to
MOST_WINDOWS times: the best so far, and one whose limit is too close to call. While nothing is
worth trying, the device waits with the configuration that keeps its limits most safely, which need
not be the best so far.
"""

import numpy as np

from envs.arrays import BoolArray, Floats, Rows, Single
from envs.belief.assess import CHANCE_WORTH, Assessment, Conditions, normal_chance
from envs.belief.progress import Progress
from envs.belief.risk import BALANCED

#: Features of each candidate: the bounds they are kept within, and the factor they are then
#: multiplied by.
CANDIDATE_FEATURES = {
    "allowed": (0.0, 1.0, 1.0),
    "windows": (0.0, 3.0, 1 / 3),
    "is_best": (0.0, 1.0, 1.0),
    "log_score_over_best": (-3.0, 3.0, 1.0),
    "score_spread": (0.0, 30.0, 1.0),
    "log_chance_feasible": (-8.0, 0.0, 0.25),
    "worst_margin": (-8.0, 8.0, -0.25),
    "worst_distance": (-2.0, 2.0, 1.0),
    "worst_spread": (0.0, 30.0, 1.0),
    "expected_gain": (0.0, 2.0, 1.0),
    "acquisition": (-14.0, 30.0, 0.25),
    "net_gain": (-1.0, 4.0, 1.0),
    "chance_better": (0.0, 1.0, 1.0),
    "log_score_over_promise": (-3.0, 1.0, 1.0),
    "log_cost": (0.0, 5.0, 0.4),
    "gain_per_second": (-1.0, 4.0, 1.0),
    "relative_gain": (-5.0, 0.0, 1.0),
    "relative_gain_per_second": (-5.0, 0.0, 1.0),
}

#: Features that all candidates have in common: of the search, then of the problem.
SEARCH_FEATURES = (
    "used",
    "left",
    "has_best",
    "best_over_promise",
    "power_limited",
    "latency_limited",
    "last_broke",
    "seconds_left",
    "surprise",
    "last_surprise",
    "log_risk",
    "rate_limited",
    "goal_energy",
    "goal_latency",
)
PROBLEM_FEATURES = ("two_tenants", "has_dla", "plain")

FEATURES = (*CANDIDATE_FEATURES, *SEARCH_FEATURES, *PROBLEM_FEATURES)
ALLOWED = FEATURES.index("allowed")
LOW, HIGH, SCALE = np.array(list(CANDIDATE_FEATURES.values()), dtype=np.float32).T

#: Candidates that are proposed for each decision.
PROPOSALS = 24

#: Windows of one configuration at most, and how close to its limit, in standard deviations, a
#: configuration must be to be measured again.
MOST_WINDOWS, TOO_CLOSE = 3, np.float32(2.0)

#: An expected gain beyond this, a factor of 4.5, counts no more: what decides then is the chance to
#: keep the limits.
MAX_GAIN = np.float32(1.5)

#: A gain below this share of the best so far is no gain.
LEAST_GAIN = np.float32(0.002)

#: Puts a candidate that may not be chosen behind all others.
EXCLUDED = np.float32(1e3)

#: Puts the safest candidates before the most promising, and the one to wait with before all.
SAFE_FIRST, WAITING_FIRST = np.float32(100.0), np.float32(1e3)

#: The height of the normal density.
PEAK = np.float32(1 / np.sqrt(2 * np.pi))


def observe(
    assessment: Assessment, conditions: Conditions, progress: Progress, proposals: int
) -> tuple[Single, Rows]:
    """Describe the most promising candidates.

    Args:
        assessment: the belief about the candidates.
        conditions: the noise, limits and weights, which measurements do not change.
        progress: the measurements so far.
        proposals: P, how many candidates to describe.

    Returns:
        Observations [B, P, F], and which candidates they describe, [B, P].
    """
    score, promise = assessment.score, assessment.promise
    has_best = progress.best >= 0
    reference = np.where(has_best, progress.best_score, promise - 1.0)
    above = score - reference[:, None]
    gain, better = expected_gain(above, assessment.spread)
    acquisition = np.maximum(np.log(gain) + assessment.log_chance, -14.0)
    net = net_gain(gain, assessment.chance, conditions.risk[:, None])
    cost = conditions.cost_s / conditions.window_s[:, None]
    # Where seconds are not limited, time is worth nothing: see the reward.
    timed = np.isfinite(conditions.budget_s)[:, None]
    waiting = _waiting(assessment, progress)
    is_best = np.arange(score.shape[1]) == progress.best[:, None]
    again = is_best | (np.abs(assessment.excess) < TOO_CLOSE)
    again &= (progress.windows < MOST_WINDOWS) & (progress.mean_score > -np.inf)
    closed = (progress.measured & ~waiting & ~again) | ~conditions.present
    # The root of the cost, so that neither the cheap nor the promising are left out.
    promising = np.where(net > 0, net / np.sqrt(cost), net) + 1e-3 * acquisition
    shown = _shown(promising, assessment.log_chance, closed, waiting, proposals)

    own = (
        ~closed,
        progress.windows,
        is_best,
        above,
        assessment.spread,
        assessment.log_chance,
        assessment.excess,
        assessment.distance,
        assessment.limit_spread,
        gain,
        acquisition,
        net,
        better,
        score - promise[:, None],
        np.log(cost),
        net / cost,
        _below_best(net, closed),
        _below_best(np.where((net > 0) & timed, net / cost, net), closed),
    )
    rows = np.arange(len(score))[:, None]
    every = np.concatenate(own, dtype=np.float32).reshape(len(own), *score.shape)
    picked = every[:, rows, shown].transpose(1, 2, 0)  # [B, P, ...]
    lead = np.where(has_best, np.clip(reference - promise, -3.0, 1.0), 0.0)
    observations = np.empty((*shown.shape, len(FEATURES)), dtype=np.float32)
    observations[:, :, : len(own)] = np.clip(picked, LOW, HIGH) * SCALE
    observations[:, :, len(own) :] = _common(conditions, progress, has_best, lead)[:, None]
    return observations, shown


def expected_gain(above: Single, spread: Single) -> tuple[Single, Single]:
    """Return the expected improvement, and the chance of one, [B, M] each.

    Args:
        above: [B, M], by how much the expected log score is above the best so far.
        spread: [B, M], its standard deviation.
    """
    unit = above / spread
    better = normal_chance(np.minimum(np.maximum(unit, -8.0), 8.0))  # faster than np.clip
    peak = PEAK * np.exp(-0.5 * np.minimum(unit * unit, 60.0))
    return np.maximum(unit * better + peak, 1e-6) * spread, better


def net_gain(gain: Single, chance: Single, risk: Single | np.float32) -> Single:
    """Return what measuring candidates is expected to gain, as a share of the best so far, [...].

    A measurement that breaks a limit gains nothing and costs `risk`.

    Args:
        gain: [...], the expected improvement of the log score.
        chance: [...], of keeping all limits.
        risk: the cost of a broken limit, as a share of the best so far; it broadcasts.
    """
    return (np.expm1(np.minimum(gain, MAX_GAIN)) + risk) * chance - risk


def _below_best(worth: Single, closed: BoolArray) -> Single:
    """Return by how much each falls short of the best, as a share of the best's worth, [B, M].

    Late in a search what is left to gain is small; whoever chooses at random by these shares still
    chooses among what is nearly as good as the best.
    """
    best = np.where(closed, np.float32(-1.0), worth).max(axis=1, keepdims=True)
    return np.asarray((worth - best) / np.maximum(best, LEAST_GAIN))


def _waiting(assessment: Assessment, progress: Progress) -> BoolArray:
    """Mark the candidate to wait with, [B, M]: fast and safe, and it kept the limits."""
    worth = assessment.score + CHANCE_WORTH * assessment.chance
    safest = np.where(progress.held, worth, -EXCLUDED).argmax(axis=1)
    chosen = np.arange(worth.shape[1]) == safest[:, None]
    return np.asarray(chosen & (progress.best >= 0)[:, None])


def _shown(
    promising: Floats, log_chance: Single, closed: BoolArray, waiting: BoolArray, proposals: int
) -> Rows:
    """Return the candidate to wait with, the two safest and the most promising, [B, P]."""
    key = promising - EXCLUDED * closed + WAITING_FIRST * waiting
    safe = log_chance - EXCLUDED * (closed | waiting)
    every = np.arange(len(key))
    for extra in (2 * SAFE_FIRST, SAFE_FIRST):
        safest = safe.argmax(axis=1)
        key[every, safest] += extra
        safe[every, safest] = -1e4
    return np.argsort(-key, axis=1)[:, :proposals]


def _common(
    conditions: Conditions, progress: Progress, has_best: BoolArray, lead: Single
) -> Single:
    """Return the features that all candidates of a row have in common, [B, ...]."""
    limited, tenants = np.isfinite(conditions.limits), conditions.weights.shape[1]
    search = (
        progress.used / conditions.budget,
        (conditions.budget - progress.used) / 8,
        has_best,
        lead,
        limited[:, -1],
        limited[:, tenants:-1].any(axis=1),
        progress.broke,
        progress.time_left(conditions.budget_s),
        _log_surprise(progress.surprise),
        _log_surprise(progress.last_surprise),
        np.log(conditions.risk / BALANCED),
        limited[:, :tenants].any(axis=1),
        conditions.terms[:, -1] < 0,
        (conditions.terms[:, 1:-1] < 0).any(axis=1),
    )
    own = np.array(search, dtype=np.float32).T
    return np.concatenate([own, conditions.extra_features], axis=1)


def _log_surprise(surprise: Single) -> Single:
    """Return the logarithm, about 0 where the belief is right, [B]; 0 before a measurement."""
    return np.asarray(np.log(np.clip(np.where(np.isnan(surprise), 1.0, surprise), 0.05, 400.0)))
