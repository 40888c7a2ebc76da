"""Arrivals at a given rate: the least rate that keeps up with them, and windows that got fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from envs.spec.measurement import Measurement, Origin, Outcome, TenantMeasurement

#: A measured window has ends, at which requests are open that came before or are answered after: so
#: many standard deviations of their number are chance.
ENDS_SIGMAS = 2.0

#: Share of the arrivals that a configuration must serve to keep up with them.
KEPT_UP = 0.95


def keeping_up(rates_ips: Sequence[float]) -> tuple[float, ...]:
    """Return the least rates [T] that keep up with arrivals [T]; 0 for a closed loop."""
    return tuple(KEPT_UP * rate if math.isfinite(rate) else 0.0 for rate in rates_ips)


def at_mean_arrivals(outcome: Outcome, rates_ips: Sequence[float]) -> Outcome:
    """Return a window as if exactly as many requests had come as do on average.

    In a window of three seconds at 30 requests/s, chance alone takes a fifth of them or adds it
    (Poisson). What tells one configuration from another is the share of the arrivals that it
    serves: the throughput becomes this share of the mean rate. A few requests that a measured
    window leaves open at its end are no shortfall, see `ENDS_SIGMAS`. A window without any request
    says nothing and stays as it is, and recorded windows stay as they were recorded.

    Args:
        outcome: of a configuration.
        rates_ips: [T], infinite for a closed loop, whose throughput stays as it is.
    """
    if not isinstance(outcome, Measurement) or outcome.origin is Origin.REPLAYED:
        return outcome
    if all(map(math.isinf, rates_ips)):
        return outcome
    tenants = tuple(
        tenant
        if math.isinf(rate)
        else _at_rate(tenant, rate, outcome.window_s, outcome.origin is Origin.MEASURED)
        for tenant, rate in zip(outcome.tenants, rates_ips, strict=True)
    )
    return replace(outcome, tenants=tenants)


def _at_rate(
    tenant: TenantMeasurement, rate_ips: float, window_s: float, has_ends: bool
) -> TenantMeasurement:
    if not tenant.requests > 0:
        return tenant
    open_by_chance = 0.0
    if has_ends and math.isfinite(tenant.p50_ms):
        in_flight = rate_ips * tenant.p50_ms / 1e3
        open_by_chance = max(1.0, ENDS_SIGMAS * math.sqrt(2.0 * in_flight))
    answered = tenant.throughput_ips * window_s
    share = 1.0 if answered + open_by_chance >= tenant.requests else answered / tenant.requests
    return replace(tenant, throughput_ips=share * rate_ips)
