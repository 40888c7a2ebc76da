"""Objectives: as much throughput as the latency and power limits allow. Everything here is a pure function of measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.errors import ObjectiveError
from envs.spec.measurement import Measurement, MeasurementBatch

#: A violation is the logarithm of measured over allowed; one beyond a factor of 20 says no more than that.
MAX_VIOLATION = 3.0


@dataclass(frozen=True)
class Objective:
    """Maximise weighted throughput subject to p99 latency per tenant and to power.

    Attributes:
        p99_ms: [T] limits, infinite for none.
        power_w: limit, infinite for none.
    """

    p99_ms: tuple[float, ...]
    power_w: float = math.inf

    def __post_init__(self) -> None:
        for key, value in [
            *((f"p99_ms of tenant {i + 1}", limit) for i, limit in enumerate(self.p99_ms)),
            ("power_w", self.power_w),
        ]:
            if not value > 0:
                raise ObjectiveError(
                    f"objective: {key} is {value}, a limit must be above zero (leave it out for no limit)"
                )

    def check_measurable(self, has_power: bool, why: str = "no power sensor was found") -> None:
        """ObjectiveError if power is limited where none is measured."""
        if math.isfinite(self.power_w) and not has_power:
            raise ObjectiveError(
                f"a power limit of {self.power_w:g} W cannot be kept: {why}; leave the power limit out"
            )

    def batch(self) -> Objectives:
        """As a batch of one."""
        return Objectives(np.array([self.p99_ms]), np.array([self.power_w]))

    def describe(self, names: tuple[str, ...]) -> str:
        """In words, units included."""
        parts = [
            f"{name} p99 <= {limit:g} ms"
            for name, limit in zip(names, self.p99_ms, strict=True)
            if math.isfinite(limit)
        ]
        if math.isfinite(self.power_w):
            parts.append(f"power <= {self.power_w:g} W")
        return "most throughput" + (f" with {', '.join(parts)}" if parts else ", no limit")

    @classmethod
    def from_dict(cls, data: dict[str, Any], tenants: int) -> Objective:
        """From options: `p99_ms` one number for all tenants or a list of one each, None for no limit."""
        given = data.get("p99_ms")
        limits = given if isinstance(given, (list, tuple)) else [given] * tenants
        if len(limits) != tenants:
            raise ObjectiveError(
                f"p99_ms has {len(limits)} values for {tenants} tenants: give one for each, or a single number for all"
            )
        return cls(
            tuple(_limit("p99_ms", limit) for limit in limits),
            _limit("power_w", data.get("power_w")),
        )


def _limit(key: str, given: Any) -> float:
    """A limit from an option, None being no limit; ObjectiveError names the key."""
    try:
        return math.inf if given is None else float(given)
    except (TypeError, ValueError, OverflowError):
        raise ObjectiveError(
            f"objective: {key}={given!r:.80} is no number: give a limit above zero, or leave it out"
        ) from None


@dataclass(frozen=True)
class Objectives:
    """A batch of objectives: p99_ms [B, T], power_w [B], infinite where there is no limit."""

    p99_ms: FloatArray
    power_w: FloatArray

    def __len__(self) -> int:
        return len(self.power_w)

    def row(self, index: int) -> Objective:
        return Objective(tuple(self.p99_ms[index].tolist()), float(self.power_w[index]))


@dataclass(frozen=True)
class Verdict:
    """What outcomes are worth: score_ips [B] (weighted throughput, 0 for a failure), violation [B] (0 where every limit is kept)."""

    score_ips: FloatArray
    violation: FloatArray

    @property
    def feasible(self) -> npt.NDArray[np.bool_]:
        return self.violation <= 0


def verdict(
    throughput_ips: FloatArray,
    p99_ms: FloatArray,
    power_w: FloatArray,
    weights: FloatArray,
    limits: Objectives,
) -> Verdict:
    """Judge outcomes against limits.

    Args:
        throughput_ips, p99_ms: [..., T], NaN where the configuration failed. power_w: [...]. weights: [T].
        limits: p99_ms [..., T], power_w [...], broadcast against the outcomes.

    A missing power reading under a finite power limit counts as the largest violation: an unread limit is not a kept one.
    """
    with np.errstate(divide="ignore"):
        late = np.log(p99_ms) - np.log(limits.p99_ms)
        hot = np.where(np.isinf(limits.power_w), -np.inf, np.log(power_w) - np.log(limits.power_w))
    worst = np.maximum(late.max(axis=-1), hot)
    violation = np.where(np.isnan(worst), MAX_VIOLATION, np.clip(worst, 0.0, MAX_VIOLATION))
    score = np.nan_to_num((throughput_ips * weights).sum(axis=-1), nan=0.0)
    return Verdict(score, violation)


def verdict_of(batch: MeasurementBatch, weights: FloatArray, limits: Objectives) -> Verdict:
    """`verdict` of a batch row by row."""
    return verdict(batch.throughput_ips, batch.p99_ms, batch.power_w, weights, limits)


def rank(score_ips: FloatArray, violation: FloatArray) -> FloatArray:
    """One number to maximise: any feasible outcome is above any other, among the infeasible the least violating is best."""
    return np.where(violation <= 0, score_ips, -violation - 1e-6)


def judge_measurement(
    measurement: Measurement, objective: Objective, weights: tuple[float, ...]
) -> tuple[float, float]:
    """(score_ips, violation) of one measurement."""
    result = verdict(
        measurement.throughput_ips,
        measurement.p99_ms,
        np.array(measurement.power_w),
        np.array(weights),
        objective.batch(),
    )
    return float(result.score_ips), float(result.violation[0])
