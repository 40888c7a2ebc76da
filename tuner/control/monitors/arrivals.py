"""Compare the requests that arrive with the rates that were assumed."""

import math
from collections.abc import Sequence
from dataclasses import replace

from envs.spec import Measurement, Workload
from tuner.control.events import Event, EventKind
from tuner.policy.thresholds import Thresholds

#: Rate assumed of a tenant without any request, in requests per second: models need one above 0.
LEAST_RATE_IPS = 1e-3


class ArrivalsMonitor:
    """Watch for arrivals that differ from the assumed rates.

    Args:
        workload: the tenants; their rates are assumed at first. A closed loop has none to watch.

    Attributes:
        rates_ips: the assumed rate of each tenant, [T], infinite for a closed loop.
    """

    def __init__(self, workload: Workload, thresholds: Thresholds) -> None:
        self.rates_ips = workload.rates_ips
        self._thresholds = thresholds
        self._suspected = False

    def update(self, outcome: Measurement, kept: bool = True) -> Event | None:
        """Return an event if arrivals changed; the rates of this window are assumed from then on.

        A change is believed in the second window in a row, for traffic comes in bursts; one that
        would be surprising twice over, at once. Fewer
        answers than expected show fewer arrivals only where the limits were kept: a configuration
        that is too small answers fewer than arrive.

        Args:
            outcome: of the period.
            kept: True if it kept every limit.
        """
        observed = self._observed_ips(outcome)
        if not kept:
            observed = tuple(map(max, observed, self.rates_ips))
        pairs = [
            (now, assumed)
            for now, assumed in zip(observed, self.rates_ips, strict=True)
            if math.isfinite(assumed)
        ]
        differences = [self.difference(now, assumed, outcome.window_s) for now, assumed in pairs]
        most = max(differences, default=0.0)
        suspected, certain = most > 1, most > (1 if self._suspected else 2)
        self._suspected = suspected and not certain
        if not certain:
            return None
        self.rates_ips = observed
        rates = ", ".join(f"{now:.4g} instead of {assumed:.4g} 1/s" for now, assumed in pairs)
        return Event(EventKind.ARRIVALS_CHANGED, f"arrivals changed: {rates}")

    def told(self, rates_ips: Sequence[float]) -> Event | None:
        """Assume other arrivals [T] from now on, which somebody said; return an event if they are.

        Nothing is said of a tenant whose rate is the one that was assumed.
        """
        before, self.rates_ips = self.rates_ips, tuple(rates_ips)
        if self.rates_ips == before:
            return None
        self._suspected = False
        pairs = zip(self.rates_ips, before, strict=True)
        rates = ", ".join(f"{now:.4g} instead of {old:.4g} 1/s" for now, old in pairs if now != old)
        return Event(EventKind.ARRIVALS_CHANGED, f"arrivals are expected to change: {rates}")

    def resumed(self, rates_ips: Sequence[float]) -> tuple[float, ...]:
        """Return what to assume [T] where others watched meanwhile: their rates, if clearly others.

        Args:
            rates_ips: [T], as others saw them.
        """
        share = self._thresholds.arrivals_share
        return tuple(
            now if math.isfinite(assumed) and abs(now - assumed) > share * assumed else assumed
            for now, assumed in zip(rates_ips, self.rates_ips, strict=True)
        )

    def difference(self, now_ips: float, assumed_ips: float, window_s: float) -> float:
        """Return by how much two rates differ, as a multiple of what is no change.

        That is a share of the assumed rate, or the noise of Poisson arrivals if it is more.
        """
        noise_ips = self._thresholds.surprise_sigmas * math.sqrt(assumed_ips / window_s)
        share_ips = self._thresholds.arrivals_share * assumed_ips
        return abs(now_ips - assumed_ips) / max(share_ips, noise_ips)

    def _observed_ips(self, outcome: Measurement) -> tuple[float, ...]:
        return tuple(
            assumed
            if math.isinf(assumed)
            else max(tenant.requests / outcome.window_s, LEAST_RATE_IPS)
            for assumed, tenant in zip(self.rates_ips, outcome.tenants, strict=True)
        )


def is_idle(outcome: Measurement) -> bool:
    """Return True if no tenant had a request in the window."""
    return not any(tenant.requests for tenant in outcome.tenants)


def without_idle(outcome: Measurement, rates_ips: Sequence[float]) -> Measurement:
    """Return the measurement as if tenants without requests had served all of them at once.

    They are not late, and keep up with their arrivals.

    Args:
        outcome: of the period.
        rates_ips: [T], the assumed arrivals.
    """
    if all(tenant.requests for tenant in outcome.tenants):
        return outcome
    return replace(
        outcome,
        tenants=tuple(
            tenant
            if tenant.requests
            else replace(
                tenant,
                p99_ms=0.0,
                throughput_ips=tenant.throughput_ips if math.isinf(rate) else rate,
            )
            for tenant, rate in zip(outcome.tenants, rates_ips, strict=True)
        ),
    )
