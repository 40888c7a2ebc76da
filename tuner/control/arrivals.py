"""What a window says of the conditions: who was asked, and how often."""

from __future__ import annotations

import math
from dataclasses import replace

from envs.spec.measurement import Measurement
from envs.spec.workload import Workload

#: Arrivals that differ by more than this factor are believed at once, others when two windows in a row say so: traffic comes in bursts.
PLAIN = 2.0


class Arrivals:
    """Whether arrivals are still what was assumed.

    Args:
        share: by which they must differ.
    """

    def __init__(self, workload: Workload, share: float) -> None:
        self._workload = workload
        self._share = share
        self._suspected = False

    def rates_ips(self, outcome: Measurement) -> tuple[float, ...]:
        """Arrivals of each tenant [T] in a window; infinite for a closed loop, and never 0."""
        return tuple(
            math.inf if tenant.closed_loop else max(each.requests / outcome.window_s, 1e-3)
            for tenant, each in zip(self._workload.tenants, outcome.tenants, strict=True)
        )

    def moved(self, assumed_ips: tuple[float, ...], outcome: Measurement) -> str:
        """In words, what has changed; empty where nothing has."""
        seen = self.rates_ips(outcome)
        pairs = [
            (now, before)
            for now, before in zip(seen, assumed_ips, strict=True)
            if math.isfinite(before)
        ]
        suspected = any(moved(now, before, outcome.window_s, self._share) for now, before in pairs)
        plain = suspected and any(
            not before / PLAIN <= now <= before * PLAIN for now, before in pairs
        )
        certain = plain or (suspected and self._suspected)
        self._suspected = suspected and not certain
        return (
            "arrivals changed: "
            + ", ".join(f"{now:.4g} instead of {before:.4g} 1/s" for now, before in pairs)
            if certain
            else ""
        )


def moved(now_ips: float, assumed_ips: float, window_s: float, share: float) -> bool:
    """Whether an arrival rate differs from what was assumed by more than a share, and by more than Poisson arrivals scatter (4 sigma)."""
    return abs(now_ips - assumed_ips) > max(
        share * assumed_ips, 4.0 * math.sqrt(assumed_ips / window_s)
    )


def idle(outcome: Measurement) -> bool:
    """Whether nobody asked for anything."""
    return not any(tenant.requests for tenant in outcome.tenants)


def without_idle(outcome: Measurement) -> Measurement:
    """The same, where a tenant that nobody asked is not late."""
    if all(tenant.requests for tenant in outcome.tenants):
        return outcome
    return replace(
        outcome,
        tenants=tuple(
            tenant if tenant.requests else replace(tenant, p99_ms=0.0) for tenant in outcome.tenants
        ),
    )
