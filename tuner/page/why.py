"""Say why the present configuration serves, beside all others that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tuner.charts.plane import Dot, Mark, plane
from tuner.charts.text import escape, short
from tuner.page.measured import Configured, key_of
from tuner.watching.moments import Moment, TenantMoment
from tuner.watching.picture import PHASES
from tuner.watching.state import broken_limits

#: Configurations in the table, and tenants that have a plane and a column.
MOST_ROWS, MOST_PLANES = 20, 4

#: What the goal makes large.
SCORES = {
    "throughput": "throughput",
    "energy": "inferences for a joule",
    "latency": "smallness of p99",
}


def why_of(now: Moment, every: Sequence[Configured], since: int) -> str:
    """Return the reason for the configuration of a moment, as HTML.

    Args:
        now: the moment.
        every: what was measured, the last one at the end.
        since: the first period that counts.
    """
    key = key_of(now)
    name = Configured(key, 0, now).name
    lines = [f'<p class="name">{escape(name)}</p>'] if now.tenants else []
    meaning = PHASES.get(now.phase, ("", None, ""))[2]
    if meaning and not now.why:  # the journal of an earlier version, or metrics
        lines.append(f"<p>The service {escape(meaning)}.</p>")
    if now.why:
        said = now.why[:1].upper() + now.why[1:]
        lines.append(f"<p>{escape(said)}.</p>")
    if every:
        lines.append(f"<p>{escape(_place(now, every, since))}</p>")
    return f"<h2>Why this configuration</h2>{''.join(lines)}" if lines else ""


def _place(now: Moment, every: Sequence[Configured], since: int) -> str:
    """Return where the present configuration stands among those that were measured."""
    count = len(every)
    ranked = _ranked(now, every)
    kept = [each for each in ranked if not _broken(each, now)]
    begin = f"since period {since}" if since > 1 else "so far"
    words = f"Of {count} configurations measured {begin}" if count > 1 else f"Measured {begin}"
    words += f", {len(kept)} {'keep' if len(kept) != 1 else 'keeps'} the limits of now"
    words = words if count > 1 else f"One configuration was measured {begin}"
    keys = [each.key for each in kept]
    key = key_of(now)
    if now.goal in SCORES and key in keys and len(kept) > 1:
        rank = keys.index(key) + 1
        words += f"; by {SCORES[now.goal]} this is number {rank} of them"
        if rank > 1 and now.phase == "holding":
            words += (
                ". The policy also weighs how surely each keeps the limits, and what a change costs"
            )
    return f"{words}."


def planes_of(now: Moment, every: Sequence[Configured]) -> str:
    """Return the planes of throughput and latency, one for each network."""
    ranked = _ranked(now, every)
    if not ranked:
        return ""
    shown = [
        plane(
            f"Throughput against p99 of {tenant.name}" if len(now.tenants) > 1 else "All measured",
            [_dot(now, each, position, row) for row, each in enumerate(ranked, 1)],
            limit_ms=tenant.p99_limit_ms,
        )
        for position, tenant in enumerate(now.tenants[:MOST_PLANES])
    ]
    hidden = len(now.tenants) - MOST_PLANES
    more = f'<p class="quiet">{hidden} more networks have no plane here.</p>' if hidden > 0 else ""
    return (
        '<h2>Throughput and latency</h2><div class="planes">'
        f'{"".join(shown)}</div>{more}<p class="quiet dot-words" aria-hidden="true">'
        "Choose a dot to read what it is.</p>"
    )


def table_of(now: Moment, every: Sequence[Configured]) -> str:
    """Return the measured configurations as a table, the best that keep the limits first."""
    ranked = _ranked(now, every)
    if not ranked:
        return ""
    tenants = now.tenants[:MOST_PLANES]
    several = len(now.tenants) > 1
    heads = ["#", "configuration", "inferences/s"]
    heads += [f"p99 of {each.name}, ms" if several else "p99, ms" for each in tenants]
    heads += ["W", "limits", "windows"]
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(
        _row(now, each, row, len(tenants)) for row, each in enumerate(ranked[:MOST_ROWS], 1)
    )
    hidden = len(ranked) - MOST_ROWS
    more = f'<p class="quiet">and {hidden} more</p>' if hidden > 0 else ""
    return (
        "<h2>Measured configurations</h2>"
        '<p class="quiet">Medians of the last windows of each, at most nine.</p>'
        f'<div class="scroll" tabindex="0" role="group" aria-label="Measured configurations">'
        f'<table class="places"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{more}"
    )


def _row(now: Moment, each: Configured, row: int, tenants: int) -> str:
    present = each.key == key_of(now)
    broken = _broken(each, now)
    moment = each.moment
    cells = [short(moment.throughput_ips)]
    cells += [short(tenant.p99_ms) for tenant in moment.tenants[:tenants]]
    cells += [short(moment.power_w), "broken" if broken else "kept", str(each.windows)]
    marked = ' class="present" aria-current="true"' if present else ""
    name = f"{each.name} (serves now)" if present else each.name
    return (
        f'<tr{marked}><td>{row}</td><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
    )


def _dot(now: Moment, each: Configured, position: int, row: int) -> Dot:
    moment = each.moment
    tenant = moment.tenants[position] if position < len(moment.tenants) else TenantMoment("")
    words = f"{row}. {each.name} ({moment.origin or 'origin unknown'}, {each.windows} windows)"
    mark = Mark.BROKEN if _broken(each, now) else Mark.KEPT
    if each.key == key_of(now):
        mark = Mark.PRESENT
    return Dot(tenant.p99_ms, tenant.throughput_ips, words, mark, str(row))


def _ranked(now: Moment, every: Sequence[Configured]) -> list[Configured]:
    """Return those that keep the limits of now first, and each part by what the goal makes large."""
    fitting = [each for each in every if len(each.key) == len(now.tenants)]
    return sorted(fitting, key=lambda each: (bool(_broken(each, now)), -_score(each, now.goal)))


def _score(each: Configured, goal: str) -> float:
    moment = each.moment
    if goal == "energy":
        score = moment.throughput_ips / moment.power_w if moment.power_w > 0 else math.nan
    elif goal == "latency":
        score = -max((tenant.p99_ms for tenant in moment.tenants), default=math.nan)
    else:
        score = moment.throughput_ips
    return score if math.isfinite(score) else -math.inf


def _broken(each: Configured, now: Moment) -> list[str]:
    """Return the limits of now that the medians of a configuration break."""
    tenants = tuple(
        replace(own, p99_limit_ms=limit.p99_limit_ms, least_ips=limit.least_ips)
        for own, limit in zip(each.moment.tenants, now.tenants, strict=True)
    )
    return broken_limits(
        replace(
            each.moment,
            tenants=tenants,
            power_limit_w=now.power_limit_w,
            min_agreement=now.min_agreement,
        )
    )
