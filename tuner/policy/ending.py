"""The end of a search: nothing that can still be measured is worth a measurement."""

from __future__ import annotations

import numpy as np

from envs.arrays import BoolArray, Single
from envs.belief.features import (
    ALLOWED,
    CANDIDATE_FEATURES,
    FEATURES,
    MAX_GAIN,
    MOST_WINDOWS,
    TOO_CLOSE,
)

#: An expected gain below this share of the best score is not worth a window.
SMALL_GAIN = 0.005


def reason_to_end(observation: Single, has_best: bool) -> str:
    """Return why a search ends before the next measurement; empty while one is worth its cost.

    Args:
        observation: [P, F] of the proposals.
        has_best: True if a configuration kept the limits so far.
    """
    if _worthwhile(observation, has_best).any():
        return ""
    if has_best:
        return f"nothing left promises more than {100 * SMALL_GAIN:g} %"
    return "nothing left is likely to keep the limits"


def without_waiting(observation: Single, choice: int, has_best: bool) -> Single:
    """Return an observation [P, F] in which a choice that only waits cannot be made.

    A policy waits with a configuration that it knows, because it may measure others later at no
    loss. Where nobody is served meanwhile, it is asked which of those that are worth a measurement
    it takes. Any other choice, a repeat that may change the answer among them, stands.

    Args:
        observation: [P, F] of the proposals, some of which are worth a measurement.
        choice: what the policy chose.
        has_best: True if a configuration kept the limits so far.
    """
    if not _waits(observation)[choice]:
        return observation
    changed = observation.copy()
    changed[:, ALLOWED] = _worthwhile(observation, has_best)
    return changed


def _worthwhile(observation: Single, has_best: bool) -> BoolArray:
    """Mark what may be measured, does not only wait, and promises more than SMALL_GAIN, [P]."""
    open_to_all = (observation[:, ALLOWED] > 0.5) & ~_waits(observation)
    return np.asarray(open_to_all & (_worth(observation, has_best) > SMALL_GAIN))


def _waits(observation: Single) -> BoolArray:
    """Mark repeats that change nothing, [P]: limits not too close to call, or windows enough."""
    windows = np.rint(_feature(observation, "windows"))
    close = np.abs(_feature(observation, "worst_margin")) < TOO_CLOSE
    return np.asarray((windows > 0) & ~(close & (windows < MOST_WINDOWS)))


def _worth(observation: Single, has_best: bool) -> Single:
    """Return what measuring each proposal is expected to gain, as a share of the best score, [P].

    The best gains nothing from being measured again: its confirmation does that. While nothing
    kept the limits, a broken limit costs nothing more, and a chance to keep them counts alone.
    """
    if has_best:
        net = _feature(observation, "net_gain")
        return np.where(_feature(observation, "is_best") > 0.5, np.float32(0.0), net)
    gain = np.minimum(_feature(observation, "expected_gain"), MAX_GAIN)
    return np.asarray(np.expm1(gain) * np.exp(_feature(observation, "log_chance_feasible")))


def _feature(observation: Single, name: str) -> Single:
    """Return a feature of the proposals, [P], as it was before it was scaled."""
    scale = np.float32(CANDIDATE_FEATURES[name][2])
    return np.asarray(observation[:, FEATURES.index(name)] / scale)
