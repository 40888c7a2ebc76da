"""Show an agent that sets every knob its measurements, the limits, and facts of the space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, Rows, Single
from envs.belief.assess import Conditions
from envs.belief.progress import Progress
from envs.problems.world import ProblemSpec
from envs.spec import MAX_VIOLATION, Goal, log_score, margins
from envs.spec.knob_layout import KnobLayout

#: Measurements of an episode that an observation holds: the default's, the best one that kept the
#: limits, and the last three.
SLOTS = ("default", "best", "last", "last_2", "last_3")

#: Facts of each measurement, before those of its quantities and knobs.
SLOT = (
    *("measured", "kept", "failed", "invalid", "power_read"),
    *("score_over_default", "worst_margin"),
)

#: Facts of the search, of each quantity, of the problem, and of each tenant.
SEARCH = ("used", "left", "time_left", "has_best", "log_risk")
QUANTITY = ("limited", "limit", "default")
PROBLEM = (*(f"goal_{goal.value}" for goal in Goal), "memory")
TENANT = ("present", "weight", "macs", "parameters")

#: What an observation is kept within: logarithms and shares, none of which comes near.
BOUND = 20.0


@dataclass
class Seen:
    """The measurements of B episodes of so many measurements each, changed in place.

    Attributes:
        logs: [B, budget, Q], NaN for what was not read.
        failed, invalid: [B, budget].
        knobs: [B, budget, 2 K], what was asked for, as shares of the most.
        latest: [B, budget], the last measurement of the configuration that this one asked for
            first.
    """

    logs: Single
    failed: BoolArray
    invalid: BoolArray
    knobs: Single
    latest: Rows

    @classmethod
    def start(cls, rows: int, budget: int, quantities: int, knobs: int) -> Seen:
        """Return the state before the first measurement."""
        each = (rows, budget)
        return cls(
            np.full((*each, quantities), np.nan, dtype=np.float32),
            np.zeros(each, dtype=bool),
            np.zeros(each, dtype=bool),
            np.zeros((*each, knobs), dtype=np.float32),
            np.zeros(each, dtype=np.int64),
        )


def names_of(layout: KnobLayout) -> tuple[str, ...]:
    """Return the names [F] of what an observation holds, in order."""
    tenants = range(1, layout.tenants + 1)
    quantities = [*(f"ips_{t}" for t in tenants), *(f"p99_{t}" for t in tenants), "power"]
    knobs = [f"{t}_{name}" for t in tenants for name in layout.accelerators]
    slot = [
        *SLOT,
        *(f"{name}_over_default" for name in quantities),
        *(f"{name}_over_limit" for name in quantities),
        *(f"{kind}_{knob}" for knob in knobs for kind in ("instances", "batch")),
    ]
    return (
        *(f"{each}: {name}" for each in SLOTS for name in slot),
        *SEARCH,
        *(f"{name}: {fact}" for fact in QUANTITY for name in quantities),
        *PROBLEM,
        *(f"tenant_{t}: {fact}" for t in tenants for fact in TENANT),
        *(f"{knob}: most_{kind}" for knob in knobs for kind in ("instances", "batch")),
    )


def describe(
    seen: Seen, conditions: Conditions, progress: Progress, time_left: FloatArray, facts: Single
) -> Single:
    """Return observations [B, F], see `names_of`.

    Args:
        seen: the measurements.
        conditions: limits, weights, goal and risk.
        progress: the best so far; its candidates are first measurements of a configuration.
        time_left: [B], share of the seconds.
        facts: [B, ...], see `facts_of`.
    """
    used, every = progress.used, np.arange(len(facts))
    best = np.where(progress.best >= 0, seen.latest[every, progress.best], -1)
    which = np.stack([np.zeros_like(used), best, used - 1, used - 2, used - 3], axis=1)
    limited = np.isfinite(conditions.limits)
    share = used / conditions.budget
    search = np.stack(
        [share, 1 - share, time_left, progress.best >= 0, np.log(conditions.risk)], axis=1
    )
    parts = [
        _measurements(seen, which, conditions),
        search,
        limited,
        np.where(limited, conditions.limits, 0.0),
        np.nan_to_num(seen.logs[:, 0], nan=0.0),
        facts,
    ]
    observations: Single = np.clip(np.concatenate(parts, axis=1), -BOUND, BOUND).astype(np.float32)
    return observations


def _measurements(seen: Seen, which: Rows, conditions: Conditions) -> Floats:
    """Describe measurements [B, W] of each row, -1 for none; zeros for what is not there."""
    there, rows = which >= 0, np.arange(len(which))[:, None]
    logs, failed = seen.logs[rows, which], seen.failed[rows, which]
    limits, weights, terms = (
        np.repeat(each[:, None], which.shape[1], axis=1)
        for each in (conditions.limits, conditions.weights, conditions.terms)
    )
    beyond = np.where(failed[..., None], np.nan, margins(logs[..., None], limits)[..., 0])
    worst = np.where(failed, MAX_VIOLATION, np.maximum(beyond.max(axis=2), -MAX_VIOLATION))
    score = log_score(logs[..., None], weights, terms)[..., 0]
    scored = np.isfinite(score) & np.isfinite(score[:, :1])
    own = (
        there,
        worst <= 0,
        failed,
        seen.invalid[rows, which],
        np.isfinite(logs[..., -1]),
        np.where(scored, np.where(scored, score, 0.0) - np.where(scored, score[:, :1], 0.0), 0.0),
        worst,
    )
    numbers = np.concatenate(
        [
            np.stack(own, axis=2),
            np.nan_to_num(logs - logs[:, :1], nan=0.0),
            np.where(np.isfinite(beyond), beyond, 0.0),
            seen.knobs[rows, which],
        ],
        axis=2,
    )
    return np.where(there[..., None], numbers, 0.0).reshape(len(which), -1)


def facts_of(spec: ProblemSpec, layout: KnobLayout, masks: BoolArray) -> Single:
    """Return what is known of a problem before the first measurement, `PROBLEM` and on.

    Args:
        spec: of the problem.
        layout: of the knobs.
        masks: of the problem's space, see `KnobLayout.masks`.
    """
    goals = [spec.objective.goal is goal for goal in Goal]
    tenants = np.zeros((layout.tenants, len(TENANT)))
    workload = spec.space.workload
    for row, (tenant, weight) in enumerate(zip(workload.tenants, workload.weights, strict=True)):
        macs, size = tenant.network.macs, tenant.network.weight_bytes
        tenants[row] = 1.0, np.log(weight), np.log(max(macs, 1) / 1e9), np.log(max(size, 1) / 2**20)
    most = [np.flatnonzero(each).max() for each in layout.split(masks)]
    numbers = layout.shares(np.array(most))
    numbers[1::2] *= numbers[::2] > 0  # no batch size where there can be no instance
    problem = [*goals, np.log(spec.space.device.memory_mib)]
    return np.concatenate([problem, tenants.ravel(), numbers]).astype(np.float32)
