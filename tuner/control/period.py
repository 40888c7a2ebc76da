"""One control period: what was served, why, and what it gave; as one JSON line."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from envs.errors import StorageError
from envs.spec.measurement import Failure, Measurement, Outcome
from envs.spec.objective import Objective
from envs.spec.space import Configuration, ConfigurationSpace
from tuner.control.guard import Phase


@dataclass(frozen=True)
class Period:
    """What happened in one control period.

    Attributes:
        number: from 1. began_s: on the monotonic clock, since the controller started.
        kept: whether every limit was kept, by measurement. score_ips: weighted throughput; violation: log of measured over allowed, 0 if kept.
        decision_us: what deciding took. events: what was noticed, in words, before or in this period.
    """

    number: int
    began_s: float
    phase: Phase
    configuration: Configuration
    outcome: Outcome
    objective: Objective
    kept: bool
    score_ips: float
    violation: float
    decision_us: float
    events: tuple[str, ...]

    def as_dict(self, space: ConfigurationSpace) -> dict[str, Any]:
        """Ready for JSON: what is missing is null."""
        data: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "uptime_s": self.began_s,
            "period": self.number,
            "phase": self.phase.value,
            "configuration": space.describe(self.configuration),
            "placements": self.configuration.array().tolist(),
            "limits": {"p99_ms": list(self.objective.p99_ms), "power_w": self.objective.power_w},
            "kept": self.kept,
            "violation": self.violation,
            "decision_us": self.decision_us,
            "events": list(self.events),
        }
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
        "apply_s": outcome.apply_s,
        "window_s": outcome.window_s,
        "disturbed": outcome.disturbed,
    }


def finite(data: Any) -> Any:
    """JSON knows neither NaN nor infinity: null."""
    if isinstance(data, dict):
        return {key: finite(each) for key, each in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(each) for each in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _append(path: Path) -> TextIO:
    """The file, to be written at its end. No link is followed: where others may write too, it would lead the lines into a file of their choice."""
    return open(
        path,
        "a",
        opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644),
    )


class Journal:
    """One line a period, onto a file or standard output. A full disk or a closed pipe loses lines, never the service; `lost` counts them.

    The file is opened for each line, so that it may be moved away at any time.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.lost = 0
        self._cut = False
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _append(path).close()
            except OSError as error:
                raise StorageError(
                    f"the journal {path} cannot be opened ({error.strerror or error}): give another --journal"
                ) from error

    def write(self, data: dict[str, Any]) -> None:
        line = ("\n" if self._cut else "") + json.dumps(data) + "\n"
        try:
            if self._path is None:
                print(line, end="", flush=True)
            else:
                with _append(self._path) as file:
                    file.write(line)
            self._cut = False
        except (OSError, ValueError) as error:
            if not self.lost:
                print(
                    f"the journal cannot be written ({error}): serving goes on without it",
                    file=sys.stderr,
                )
            self.lost += 1
            self._cut = True  # part of the line may be there
