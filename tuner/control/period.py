"""One control period: what was served, why, and what it gave."""

import math
import time
from dataclasses import dataclass
from typing import Any

from envs.spec import Configuration, ConfigurationSpace, Failure, Measurement, Objective, Outcome
from envs.spec.change import ChangeCost
from tuner.control.events import Event
from tuner.control.guard import Phase


@dataclass(frozen=True)
class Period:
    """One control period and its result.

    Attributes:
        number: from 1.
        began_s: time since the controller started, on the monotonic clock.
        kept: True if every limit was kept, by measurement.
        score: by the goal of the objective, in its unit; 0 for a failure.
        violation: logarithm of measured over allowed; 0 or less if every limit was kept.
        decision_us: how long deciding took.
        events: what was noticed before or in this period.
        expected: what changing to this configuration was expected to cost; None for no change.
        why: the reason for the configuration, for people.
    """

    number: int
    began_s: float
    phase: Phase
    configuration: Configuration
    outcome: Outcome
    objective: Objective
    kept: bool
    score: float
    violation: float
    decision_us: float
    events: tuple[Event, ...]
    expected: ChangeCost | None = None
    why: str = ""

    def as_dict(self, space: ConfigurationSpace) -> dict[str, Any]:
        """Return the period ready for JSON; what is missing is null."""
        data: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "uptime_s": self.began_s,
            "period": self.number,
            "phase": self.phase.value,
            "why": self.why,
            "configuration": space.describe(self.configuration),
            "placements": self.configuration.array().tolist(),
            "uncalibrated": space.uncalibrated(self.configuration),
            "goal": self.objective.goal.value,
            "limits": {
                "p99_ms": list(self.objective.p99_ms),
                "power_w": self.objective.power_w,
                "min_agreement": self.objective.min_agreement,
                "min_rate_ips": list(self.objective.min_rate_ips) or None,
            },
            "score": self.score,
            "score_unit": self.objective.goal.unit,
            "kept": self.kept,
            "violation": self.violation,
            "decision_us": self.decision_us,
            "events": [event.as_dict() for event in self.events],
        }
        if self.expected is not None:
            names = ("seconds", "requests", "joules")
            data["expected_change"] = dict(zip(names, map(float, self.expected), strict=True))
        if isinstance(self.outcome, Failure):
            data |= {"failure": self.outcome.kind.value, "reason": self.outcome.reason}
        else:
            data |= _measured(self.outcome, space.workload.names)
        return {key: finite(value) for key, value in data.items()}


def _measured(outcome: Measurement, names: tuple[str, ...]) -> dict[str, Any]:
    tenants = {
        name: {
            "throughput_ips": each.throughput_ips,
            "p50_ms": each.p50_ms,
            "p95_ms": each.p95_ms,
            "p99_ms": each.p99_ms,
            "requests": each.requests,
            "agreement": each.agreement,
            "agreement_samples": each.agreement_samples,
        }
        for name, each in zip(names, outcome.tenants, strict=True)
    }
    return {
        "origin": outcome.origin.value,
        "tenants": tenants,
        "power_w": outcome.power_w,
        "power_uncertainty_w": outcome.power_uncertainty_w,
        "rails_w": outcome.rails_w,
        "sensor": outcome.sensor,
        "sensor_fault": outcome.sensor_fault,
        "temperature_c": outcome.temperature_c,
        "throttled": list(outcome.throttled),
        "memory_mib": outcome.memory_mib,
        "gpu_free_mib": outcome.gpu_free_mib,
        "available_mib": outcome.available_mib,
        "apply_s": outcome.apply_s,
        "change_requests": outcome.change_requests,
        "change_j": outcome.change_j,
        "window_s": outcome.window_s,
        "disturbed": outcome.disturbed,
    }


def finite(data: Any) -> Any:
    """Return the data with null for NaN and infinity, which JSON does not know."""
    if isinstance(data, dict):
        return {key: finite(each) for key, each in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(each) for each in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
