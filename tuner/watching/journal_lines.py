"""Read lines of the journal of a service, as `tuner.control.period` writes them."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from tuner.watching.moments import Moment, Notice, Slot, TenantMoment
from tuner.watching.values import clock_of, entries, mapping, number, text

#: Tenants and events of one line that are read; a service has a handful.
MOST_TENANTS, MOST_EVENTS = 64, 50


def moment_of(line: bytes, names: Sequence[str]) -> tuple[Moment, list[str]] | None:
    """Return the period in a line, and the names of the tenants as they are written.

    Args:
        line: of the journal.
        names: of the tenants in the line before, which a period without a measurement lacks.

    Returns:
        None if the line is no period: it was cut, or another program wrote it.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or type(data.get("period")) is not int:
        return None
    measured, limits = mapping(data.get("tenants")), mapping(data.get("limits"))
    known = list(measured)[:MOST_TENANTS] or list(names)
    served = slots_of(data.get("configuration"), known)
    clock = clock_of(data.get("time"))
    kept = data.get("kept")
    throttled = tuple(text(each, 40) for each in entries(data.get("throttled"))[:8])
    moment = Moment(
        number=int(number(data["period"], 0)),
        clock=clock,
        at_s=number(data.get("uptime_s")),
        phase=text(data.get("phase"), 20),
        why=text(data.get("why")),
        goal=text(data.get("goal"), 20),
        score=number(data.get("score")),
        tenants=tuple(
            _tenant(name, position, measured, limits, served.get(name, ()))
            for position, name in enumerate(known)
        ),
        kept=kept if isinstance(kept, bool) else None,
        power_w=number(data.get("power_w")),
        power_limit_w=number(limits.get("power_w"), math.inf),
        min_agreement=number(limits.get("min_agreement"), 0.0),
        temperature_c=number(data.get("temperature_c")),
        throttled=throttled if isinstance(data.get("throttled"), list) else None,
        origin=text(data.get("origin"), 20),
        failure=_failure(data),
        remark=text(data.get("sensor_fault")),
        notices=tuple(notices_of(data.get("events"), clock)),
    )
    return moment, known


def notices_of(events: Any, clock: str) -> list[Notice]:
    """Return the events of a line; those beyond `MOST_EVENTS` are one notice that counts them."""
    every = entries(events)
    found = [
        Notice(clock, text(mapping(each).get("kind"), 40), text(mapping(each).get("text")))
        for each in every[:MOST_EVENTS]
    ]
    if len(every) > MOST_EVENTS:
        found.append(Notice(clock, "", f"and {len(every) - MOST_EVENTS} more events"))
    return found


def slots_of(described: Any, names: Sequence[str]) -> dict[str, tuple[Slot, ...]]:
    """Return where each tenant runs, from `a: tensor 1x1 + dla0 2x8; b: none`.

    The names are needed because one may hold `: ` or `; ` itself. What does not fit is left out.

    Args:
        described: a configuration, as `ConfigurationSpace.describe` writes it.
        names: of the tenants, in their order.
    """
    found: dict[str, tuple[Slot, ...]] = {}
    rest = described if isinstance(described, str) else ""
    for position, name in enumerate(names):
        if not rest.startswith(f"{name}: "):
            break
        rest = rest[len(name) + 2 :]
        part, end = rest, ""
        if position + 1 < len(names):
            part, end, rest = rest.partition(f"; {names[position + 1]}: ")
            rest = f"{names[position + 1]}: {rest}" if end else ""
        matches = (re.fullmatch(r"(\S+) (\d{1,9})x(\d{1,9})", each) for each in part.split(" + "))
        found[name] = tuple(Slot(text(m[1], 60), int(m[2]), int(m[3])) for m in matches if m)
    return found


def _tenant(
    name: str, position: int, measured: Any, limits: Any, slots: tuple[Slot, ...]
) -> TenantMoment:
    of = mapping(measured.get(name))
    p99_ms, least = entries(limits.get("p99_ms")), entries(limits.get("min_rate_ips"))
    return TenantMoment(
        name=text(name, 120),
        slots=slots,
        throughput_ips=number(of.get("throughput_ips")),
        p99_ms=number(of.get("p99_ms")),
        p99_limit_ms=number(p99_ms[position], math.inf) if position < len(p99_ms) else math.inf,
        least_ips=number(least[position], 0.0) if position < len(least) else 0.0,
        agreement=number(of.get("agreement")),
    )


def _failure(data: dict[str, Any]) -> str:
    if "failure" not in data:
        return ""
    return ": ".join(each for each in (text(data["failure"], 40), text(data.get("reason"))) if each)
