"""Failures of a window."""

from envs.runtimes.serving.queue import clock
from envs.spec import ConfigurationFailed, Failure, FailureKind, Place, Tenant


def timed_out(reason: str, since_s: float, place: Place | None) -> ConfigurationFailed:
    """Return the error of something, at a place, that took too long since `since_s`."""
    return ConfigurationFailed(Failure(FailureKind.TIMED_OUT, reason, clock() - since_s, place))


def no_request(tenant: Tenant, window_s: float, cost_s: float) -> ConfigurationFailed:
    """Return the error of a window in which a tenant got no request."""
    reason = (
        f"{tenant.name} got no request in {window_s:.1f} s at {tenant.rate_ips:g} a second: "
        "take a longer window"
    )
    return ConfigurationFailed(Failure(FailureKind.TIMED_OUT, reason, cost_s))
