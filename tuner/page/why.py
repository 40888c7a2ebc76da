"""Say why the present configuration serves, beside all others that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuner.charts.frame import scrolling
from tuner.charts.plane import Dot, Mark, plane
from tuner.charts.text import escape, short
from tuner.page.measured import Configured, key_of
from tuner.watching.moments import Moment
from tuner.watching.picture import PHASES
from tuner.watching.state import broken_limits

#: Configurations in the table, and tenants that have a plane and a column.
MOST_ROWS, MOST_PLANES = 20, 4

#: What the goal makes large or small.
GOALS = {"throughput": "most throughput", "energy": "least energy", "latency": "lowest latency"}


@dataclass(frozen=True)
class Judged:
    """A measured configuration beside the one that serves.

    Attributes:
        configured: what it gave.
        kept: True if that keeps the limits of now.
        serves: True if it is the one that serves.
    """

    configured: Configured
    kept: bool
    serves: bool


def judged(now: Moment, every: Sequence[Configured]) -> list[Judged]:
    """Return what keeps the limits of now first, ordered by what the goal makes large.

    Args:
        now: the moment that is shown.
        every: what was measured; of other networks than now it is left out.
    """
    key = key_of(now)
    found = [
        Judged(each, not _broken(each, now), each.key == key)
        for each in every
        if len(each.key) == len(now.tenants)
    ]
    # Scores of another goal have another unit.
    counted = all(
        each.configured.moment.goal == now.goal and math.isfinite(each.configured.moment.score)
        for each in found
    )

    def order(each: Judged) -> tuple[bool, float]:
        moment = each.configured.moment
        return not each.kept, -(moment.score if counted else _score(moment, now.goal))

    return sorted(found, key=order)


def why_of(now: Moment, ranked: Sequence[Judged], since: int) -> str:
    """Return the reason for the configuration of a moment, as HTML.

    Args:
        now: the moment.
        ranked: what was measured, see `judged`.
        since: the first period that counts.
    """
    name = Configured(key_of(now), 0, now).name
    lines = [f'<p class="name">{escape(name)}</p>'] if now.tenants else []
    meaning = PHASES.get(now.phase, ("", None, ""))[2]
    if meaning and not now.why:  # the journal of an earlier version, or metrics
        lines.append(f"<p>The service {escape(meaning)}.</p>")
    if now.why:
        said = now.why[:1].upper() + now.why[1:]
        lines.append(f"<p>{escape(said)}.</p>")
    if ranked:
        lines.append(f"<p>{escape(_place(now, ranked, since))}</p>")
    return f"<h2>Why this configuration</h2>{''.join(lines)}" if lines else ""


def _place(now: Moment, ranked: Sequence[Judged], since: int) -> str:
    """Return where the present configuration stands among those that were measured."""
    begin = f"since period {since}" if since > 1 else "so far"
    if len(ranked) == 1:
        return f"It is the only configuration that was measured {begin}."
    kept = [each for each in ranked if each.kept]
    words = f"Of {len(ranked)} configurations measured {begin}, {len(kept)}"
    words += " keeps" if len(kept) == 1 else " keep"
    words += " the limits of now"
    rank = next((place for place, each in enumerate(kept, 1) if each.serves), 0)
    if now.goal in GOALS and rank and len(kept) > 1:
        words += f"; by the goal, {GOALS[now.goal]}, this is number {rank} of them"
        if rank > 1 and now.phase == "holding":
            words += (
                ". The policy also weighs how surely each keeps the limits, and what a change costs"
            )
    return f"{words}."


def planes_of(now: Moment, ranked: Sequence[Judged]) -> str:
    """Return the planes of throughput and latency, one for each network."""
    if not ranked:
        return ""
    shown = [
        plane(
            f"Throughput against p99 of {tenant.name}" if len(now.tenants) > 1 else "All measured",
            [_dot(each, position, row) for row, each in enumerate(ranked, 1)],
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


def table_of(now: Moment, ranked: Sequence[Judged]) -> str:
    """Return the measured configurations as a table, the best that keep the limits first."""
    if not ranked:
        return ""
    tenants = now.tenants[:MOST_PLANES]
    several = len(now.tenants) > 1
    own = [f"p99 of {each.name}, ms" if several else "p99, ms" for each in tenants]
    head = "".join(
        f'<th scope="col"{kind}>{escape(each)}</th>'
        for heads, kind in (
            (("#", "configuration", "inferences/s"), ""),
            (own, ' class="of"' * several),
            (("W", "limits", "windows"), ""),
        )
        for each in heads
    )
    body = "".join(_row(each, row, len(tenants)) for row, each in enumerate(ranked[:MOST_ROWS], 1))
    hidden = len(ranked) - MOST_ROWS
    more = f'<p class="quiet">and {hidden} more</p>' if hidden > 0 else ""
    return (
        "<h2>Measured configurations</h2>"
        '<p class="quiet">Medians of the last windows of each, at most nine.</p>'
        + scrolling(
            f'<table class="places"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>',
            "Measured configurations",
        )
        + more
    )


def _row(each: Judged, row: int, tenants: int) -> str:
    configured, moment = each.configured, each.configured.moment
    cells = [short(moment.throughput_ips)]
    cells += [short(tenant.p99_ms) for tenant in moment.tenants[:tenants]]
    cells += [short(moment.power_w), "kept" if each.kept else "broken", str(configured.windows)]
    marked = ' class="present" aria-current="true"' if each.serves else ""
    name = configured.name + " (serves now)" * each.serves
    return (
        f'<tr{marked}><td>{row}</td><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
    )


def _dot(each: Judged, position: int, row: int) -> Dot:
    """Return the dot of a configuration in the plane of the tenant at a position."""
    configured, moment = each.configured, each.configured.moment
    tenant = moment.tenants[position]
    times = f"{configured.windows} window{'s' * (configured.windows > 1)}"
    words = f"{row}. {configured.name} ({moment.origin or 'origin unknown'}, {times})"
    mark = Mark.KEPT if each.kept else Mark.BROKEN
    mark = Mark.PRESENT if each.serves else mark
    return Dot(tenant.p99_ms, tenant.throughput_ips, words, mark, str(row))


def _score(moment: Moment, goal: str) -> float:
    """Return what a goal makes large, by what was measured."""
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
