"""The answer of a search: the best that was measured, what confirmed it, and what it cost."""

import math
from dataclasses import dataclass
from typing import Any

from envs.problems.problem import Problem
from envs.spec import Configuration, Failure, Goal, Measurement, Origin, Outcome, TenantMeasurement
from tuner.confirming import Confirmation

#: A 99th percentile over fewer requests than this is hardly more than the slowest of them.
FEW_REQUESTS = 20


@dataclass(frozen=True)
class Answer:
    """The configuration that tuning found, and the windows that confirmed it.

    Attributes:
        configuration: prints as its description, such as `cpu_fp32 2x4` (instances x batch).
        outcome: the mean of the windows that confirmed it, which the search has not seen; where
            nothing confirmed it, that of its windows in the search.
        violation: of that outcome: the logarithm of measured over allowed; 0 where every limit is
            kept.
        tried: every configuration and its outcome: those of the search, then those that confirmed,
            each in the order of the measurements.
        searched: so many of them, the first ones, are of the search.
        problem: the device's configurations and the objective.
        planned: measurements that the search might have made.
        ended: why it made fewer; empty where it made all of them.
        confirmations: of the answer, and of those that failed theirs, in order; none where no pairs
            were asked for.
        complete: False where tuning was stopped before its end.
    """

    configuration: Configuration
    outcome: Outcome
    violation: float
    tried: list[tuple[Configuration, Outcome]]
    searched: int
    problem: Problem
    planned: int = 0
    ended: str = ""
    confirmations: tuple[Confirmation, ...] = ()
    complete: bool = True

    @property
    def limits_kept(self) -> bool:
        """Return True if the confirmation kept every limit."""
        return self.violation <= 0

    @property
    def confirmation(self) -> Confirmation | None:
        """Return the windows that confirmed the answer; None where nothing did."""
        own = (each for each in self.confirmations if each.configuration == self.configuration)
        return next(own, None)

    @property
    def repeats(self) -> int:
        """Return how many measurements of the search repeated a configuration."""
        return self.searched - len({each for each, _ in self.tried[: self.searched]})

    @property
    def networks(self) -> dict[str, TenantMeasurement]:
        """Return the measurement of each network, by name; empty for a failure."""
        if isinstance(self.outcome, Failure):
            return {}
        return dict(zip(self.problem.space.workload.names, self.outcome.tenants, strict=True))

    @property
    def throughput_ips(self) -> float:
        """Return the throughput of all networks together [inferences/s], NaN for a failure."""
        return sum(each.throughput_ips for each in self.networks.values()) or math.nan

    @property
    def p99_ms(self) -> float:
        """Return the p99 of latency of the slowest network [ms]; NaN where none has one."""
        known = [each.p99_ms for each in self.networks.values() if not math.isnan(each.p99_ms)]
        return max(known, default=math.nan)

    @property
    def latency_quantity(self) -> str:
        """Return the quantity that `p99_ms` holds, see `Measurement.latency_quantity`."""
        return self.outcome.latency_quantity if isinstance(self.outcome, Measurement) else "p99"

    @property
    def power_w(self) -> float:
        """Return the power [W]; NaN where none was read."""
        return self.outcome.power_w if isinstance(self.outcome, Measurement) else math.nan

    @property
    def origin(self) -> str:
        """Return where the numbers come from: `measured`, `simulated` or `replayed`."""
        outcomes = [self.outcome, *(outcome for _, outcome in self.tried)]
        found = (each.origin.value for each in outcomes if isinstance(each, Measurement))
        return next(found, "nothing could be measured")

    def __str__(self) -> str:
        goal, score = self.problem.objective.goal, ""
        if goal is Goal.ENERGY:
            score = f" {self.problem.judge(self.outcome)[0]:.2f} {goal.unit},"
        return (
            f"{self.configuration}:{score} {self.throughput_ips:.1f} inferences/s,"
            f" {self.latency_quantity} {self.p99_ms:.1f} ms ({self.origin})"
        )

    def _agreements(self) -> dict[str, Any]:
        """Return the agreement of every pair that serves, by network and accelerator."""
        space, known = self.problem.space, self.problem.agreements
        found: dict[str, dict[str, Any]] = {}
        for tenant, column, _, _ in self.configuration.slots():
            if (tenant, column) in known:
                row = found.setdefault(space.workload.names[tenant], {})
                row[space.device.accelerator_names[column]] = known[tenant, column].to_dict()
        return found

    def _confirmed(self) -> dict[str, Any] | None:
        """Return the confirmation as data for JSON; None where nothing confirmed the answer."""
        if (found := self.confirmation) is None:
            return None
        ratio, failed = found.ratio, [e for e in self.confirmations if e is not found]
        return {
            "windows": len(found.own),
            "seconds": finite(found.seconds),
            "pairs": ratio.pairs if ratio else 0,
            "times_the_default": ratio and ratio.times,
            "interval_95": [ratio.low, ratio.high] if ratio and ratio.low > 0 else None,
            "failed_before": [str(each.configuration) for each in failed],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return it as data for JSON, as `python -m tuner.export` reads it."""
        space, networks = self.problem.space, list(self.networks.values())
        return {
            "configuration": [
                {
                    "tenant": space.workload.names[tenant],
                    "accelerator": space.device.accelerator_names[accelerator],
                    "instances": instances,
                    "batch": batch,
                }
                for tenant, accelerator, instances, batch in self.configuration.slots()
            ],
            "device": space.device.name,
            "objective": self.problem.objective.describe(space.workload.names),
            "goal": self.problem.objective.goal.value,
            "score": self.problem.judge(self.outcome)[0],
            "score_unit": self.problem.objective.goal.unit,
            "limits_kept": self.limits_kept,
            "throughput_ips": [each.throughput_ips for each in networks] or None,
            "p99_ms": [finite(each.p99_ms) for each in networks] or None,
            "requests": [finite(each.requests) for each in networks] or None,
            "few_requests": [few_requests(self.outcome, each) for each in networks] or None,
            "agreement": [finite(each.agreement) for each in networks] or None,
            "agreement_samples": [finite(each.agreement_samples) for each in networks] or None,
            "agreements": self._agreements(),
            "uncalibrated": space.uncalibrated(self.configuration),
            "latency_quantity": self.latency_quantity,
            "power_w": finite(self.power_w),
            "measurements": len(self.tried),
            "searched": self.searched,
            "repeats": self.repeats,
            "ended": self.ended or None,
            "confirmation": self._confirmed(),
            "complete": self.complete,
            "origin": self.origin,
        }


def finite(number: float) -> float | None:
    """Return the number, or None for NaN and infinity, which JSON does not know."""
    return number if math.isfinite(number) else None


def few_requests(outcome: Outcome, tenant: TenantMeasurement) -> bool:
    """Return True if the 99th percentile is over fewer than `FEW_REQUESTS` real requests."""
    simulated = isinstance(outcome, Measurement) and outcome.origin is Origin.SIMULATED
    return tenant.requests < FEW_REQUESTS and not simulated
