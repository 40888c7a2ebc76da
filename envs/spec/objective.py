"""Objectives: a goal, and limits on latency, power, throughput and agreement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.arrays import FloatArray, Floats
from envs.errors import ObjectiveError
from envs.spec.goal import Goal


@dataclass(frozen=True)
class Objective:
    """A goal, subject to limits on each tenant's p99 latency and throughput, and on power.

    Attributes:
        p99_ms: [T] limits, infinite for none.
        power_w: the limit, infinite for none.
        min_agreement: the least agreement of every answer with FP32, 0 for no limit. An
            accelerator below it is no choice (`envs.spec.narrowed`); a measurement below it breaks
            the limit.
        goal: what is asked for within the limits.
        min_rate_ips: [T], the least inferences a second of each tenant, 0 for no limit; empty for
            no limit of any.

    Raises:
        ObjectiveError: a limit is not above zero, or an agreement not between 0 and 1.
    """

    p99_ms: tuple[float, ...]
    power_w: float = math.inf
    min_agreement: float = 0.0
    goal: Goal = Goal.THROUGHPUT
    min_rate_ips: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.min_rate_ips) not in (0, len(self.p99_ms)):
            raise ObjectiveError(
                f"objective: min_rate_ips has {len(self.min_rate_ips)} values for"
                f" {len(self.p99_ms)} tenants: give one for each"
            )
        for i, rate in enumerate(self.min_rate_ips):
            if not 0 <= rate < math.inf:
                raise ObjectiveError(
                    f"objective: min_rate_ips of tenant {i + 1} is {rate}, it must be a finite"
                    " number of at least 0 (0 for no limit)"
                )
        named = [(f"p99_ms of tenant {i + 1}", limit) for i, limit in enumerate(self.p99_ms)]
        for key, value in [*named, ("power_w", self.power_w)]:
            if not value > 0:
                raise ObjectiveError(
                    f"objective: {key} is {value}, a limit must be above zero "
                    "(leave it out for no limit)"
                )
        if not 0 <= self.min_agreement <= 1:
            raise ObjectiveError(
                f"objective: min_agreement is {self.min_agreement}, it must lie in 0..1 (0 for no"
                " limit)"
            )

    @property
    def log_limits(self) -> FloatArray:
        """Return the logarithms [Q] of the limits, infinite for no limit.

        Those of throughput are lower limits, all others upper ones, see `margins`.
        """
        return np.asarray(self.batch().log_limits[0])

    def batch(self) -> Objectives:
        """Return the objective as a batch of one."""
        rates = np.array([self.min_rate_ips]) if self.min_rate_ips else None
        return Objectives(np.array([self.p99_ms]), np.array([self.power_w]), self.goal, rates)

    def terms(self, weights: Floats) -> Floats:
        """Return the terms [T + 2] of the score, see `Goal.terms`."""
        return self.goal.terms(weights)

    @property
    def needs_power(self) -> bool:
        """Return True if nothing can be judged without the power that was read."""
        return self.goal is Goal.ENERGY or math.isfinite(self.power_w)

    def check_measurable(self, has_power: bool, why: str = "no power sensor was found") -> None:
        """Raise an ObjectiveError if power is limited or asked for where none is measured."""
        if self.goal is Goal.ENERGY and not has_power:
            raise ObjectiveError(
                f"goal=energy needs the power of each configuration: {why}; choose"
                " goal=throughput or goal=latency"
            )
        if math.isfinite(self.power_w) and not has_power:
            raise ObjectiveError(
                f"a power limit of {self.power_w:g} W cannot be kept: {why}; "
                "leave the power limit out"
            )

    def describe(self, names: tuple[str, ...]) -> str:
        """Return the objective in words, units included."""
        parts = [
            f"{name} p99 <= {limit:g} ms"
            for name, limit in zip(names, self.p99_ms, strict=True)
            if math.isfinite(limit)
        ]
        parts += [
            f"{name} >= {rate:g} inferences/s"
            for name, rate in zip(names, self.min_rate_ips, strict=False)
            if rate > 0
        ]
        if math.isfinite(self.power_w):
            parts.append(f"power <= {self.power_w:g} W")
        if self.min_agreement > 0:
            parts.append(f"agreement >= {self.min_agreement:g}")
        return self.goal.words + (f" with {', '.join(parts)}" if parts else ", no limit")

    @classmethod
    def from_dict(cls, data: dict[str, Any], tenants: int) -> Objective:
        """Read an objective from options.

        Args:
            data: `p99_ms` and `min_rate_ips`, one number for all tenants or a list of one each,
                `power_w`, `min_agreement` (None for no limit) and `goal`.
            tenants: number of tenants.

        Raises:
            ObjectiveError: a value is not a limit, or there is not one limit per tenant.
        """
        rates = _each("min_rate_ips", data.get("min_rate_ips"), tenants)
        p99_ms = _each("p99_ms", data.get("p99_ms"), tenants)
        return cls(
            tuple(_limit("p99_ms", limit) for limit in p99_ms),
            _limit("power_w", data.get("power_w")),
            _limit("min_agreement", data.get("min_agreement") or 0.0),
            parse_goal(data.get("goal")),
            tuple(_limit("min_rate_ips", rate or 0.0) for rate in rates) if any(rates) else (),
        )


def _each(key: str, given: Any, tenants: int) -> list[Any]:
    """Return one value for each tenant."""
    values = list(given) if isinstance(given, (list, tuple)) else [given] * tenants
    if len(values) != tenants:
        raise ObjectiveError(
            f"{key} has {len(values)} values for {tenants} tenants: give one for each, "
            "or a single number for all"
        )
    return values


def parse_goal(given: Any) -> Goal:
    """Return the goal of that name; `throughput` for None. ObjectiveError for an unknown one."""
    try:
        return Goal(given or Goal.THROUGHPUT)
    except ValueError:
        raise ObjectiveError(
            f"goal={given!s:.80} is unknown: choose from {', '.join(Goal)}"
        ) from None


def _limit(key: str, given: Any) -> float:
    try:
        return math.inf if given is None else float(given)
    except (TypeError, ValueError, OverflowError):
        raise ObjectiveError(
            f"objective: {key}={given!r:.80} is no number: give a limit above zero, or leave it out"
        ) from None


@dataclass(frozen=True)
class Objectives:
    """A batch of objectives with the same goal.

    Attributes:
        p99_ms: [B, T], infinite where there is no limit.
        power_w: [B], the same.
        goal: of all of them.
        min_rate_ips: [B, T], 0 where there is no limit; None for none at all.
    """

    p99_ms: FloatArray
    power_w: FloatArray
    goal: Goal = Goal.THROUGHPUT
    min_rate_ips: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.power_w)

    @property
    def log_limits(self) -> FloatArray:
        """Return the logarithms [B, Q] of the limits, infinite for no limit."""
        least = np.zeros_like(self.p99_ms) if self.min_rate_ips is None else self.min_rate_ips
        least = np.where(least > 0, least, math.inf)
        return np.asarray(
            np.log(np.concatenate([least, self.p99_ms, self.power_w[:, None]], axis=1))
        )

    def part(self, rows: slice) -> Objectives:
        """Return some of the objectives."""
        rates = None if self.min_rate_ips is None else self.min_rate_ips[rows]
        return Objectives(self.p99_ms[rows], self.power_w[rows], self.goal, rates)

    def row(self, index: int) -> Objective:
        """Return one of the objectives."""
        rates = () if self.min_rate_ips is None else tuple(self.min_rate_ips[index].tolist())
        return Objective(
            tuple(self.p99_ms[index].tolist()),
            float(self.power_w[index]),
            goal=self.goal,
            min_rate_ips=rates if any(rates) else (),
        )
