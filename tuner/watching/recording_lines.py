"""Read the journal of a recording, as `envs.traces.writer` writes it beside a trace."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuner.watching.journal_lines import MOST_TENANTS
from tuner.watching.moments import Moment, Notice, Slot, TenantMoment
from tuner.watching.values import entries, mapping, number, text

#: Accelerators of a header that are read.
MOST_ACCELERATORS = 64


@dataclass(frozen=True)
class Recording:
    """The first line of the journal of a recording.

    Attributes:
        tenants: their names, as they are written.
        accelerators: their names, as they are written.
        total: configurations that are to be measured; 0 where nobody knows.
        origin: measured, simulated or replayed.
    """

    tenants: Sequence[str]
    accelerators: Sequence[str]
    total: int
    origin: str


def recording_of(line: bytes) -> Recording | None:
    """Return what the first line says; None if it is not the first line of a recording."""
    data = _data(line)
    space = mapping(data.get("space"))
    listed = entries(mapping(space.get("workload")).get("tenants"))
    tenants = _names([mapping(each).get("name") for each in listed])
    accelerators = _names(entries(mapping(space.get("device")).get("accelerators")))
    if not tenants or not accelerators:
        return None
    total = number(mapping(data.get("plan")).get("configurations"), 0.0)
    return Recording(
        tenants[:MOST_TENANTS],
        accelerators[:MOST_ACCELERATORS],
        int(min(max(total, 0.0), 1e9)),
        text(data.get("origin"), 20),
    )


def row_moment(line: bytes, recording: Recording, row: int) -> Moment | None:
    """Return the moment in a row; None if the line is no row of this recording."""
    data = _data(line)
    if "failure" not in data or "when_unix_s" not in data:
        return None
    when_s, failure = number(data["when_unix_s"]), text(data["failure"], 40)
    clock = time.strftime("%H:%M:%S", time.localtime(when_s)) if 0 < when_s < 1e11 else ""
    words = f"{failure}: {text(data.get('failure_reason'))}" if failure else ""
    notice = Notice(clock, "measurement_failed", f"row {row}: {words}")
    return Moment(
        number=row,
        clock=clock,
        at_s=when_s,
        tenants=tuple(_tenant(name, data, recording.accelerators) for name in recording.tenants),
        power_w=number(data.get("power_w")),
        origin=recording.origin,
        failure=words,
        notices=(notice,) if words else (),
    )


def _tenant(name: str, row: dict[str, Any], accelerators: Sequence[str]) -> TenantMoment:
    placed = (
        (
            text(each, 60),
            number(row.get(f"{name}.{each}.instances"), 0.0),
            number(row.get(f"{name}.{each}.batch"), 0.0),
        )
        for each in accelerators
    )
    return TenantMoment(
        name=text(name, 120),
        slots=tuple(
            Slot(where, int(instances), int(batch))
            for where, instances, batch in placed
            if 0 < instances < 1e9 and 0 < batch < 1e9
        ),
        throughput_ips=number(row.get(f"{name}.throughput_ips")),
        p99_ms=number(row.get(f"{name}.p99_ms")),
        agreement=number(row.get(f"{name}.agreement")),
    )


def _names(listed: list[Any]) -> list[str]:
    return [each for each in listed if isinstance(each, str)]


def _data(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
