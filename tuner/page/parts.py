"""Draw the parts of the page: each is HTML for the element of its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tuner.charts.curve import curve
from tuner.charts.grid import GridRow, grid
from tuner.charts.text import escape, short
from tuner.page.limit_desk import LimitDesk, name_of
from tuner.page.measured import MeasuredConfigurations
from tuner.page.why import judged, planes_of, table_of, why_of
from tuner.watching.curves import Line, Span
from tuner.watching.grid import accelerators
from tuner.watching.moments import Moment
from tuner.watching.new_limit import LimitNow, limits_of
from tuner.watching.picture import PHASES, Picture, picture_of
from tuner.watching.state import Mood, Watched, load_of

#: Periods that the curves show, and tenants that have one of p99.
MOST_PERIODS, MOST_CURVES = 300, 6

#: The names of all parts, in the order of the page.
PARTS = (
    *("announce", "state", "why", "grid", "curves", "planes", "measured", "facts", "events"),
    *("limits", "choices", "answer"),
)


def parts_of(
    watched: Watched, measured: MeasuredConfigurations, desk: LimitDesk
) -> Mapping[str, str]:
    """Return every part; empty where there is nothing to show."""
    picture = picture_of(watched, size=(400, 40))
    parts = dict.fromkeys(PARTS, "") | {
        "announce": _announcement(picture),
        "state": _state(picture),
        "facts": _facts(picture),
        "events": _events(picture),
    }
    if watched.rows:
        return parts | {"curves": _learning(watched)}
    if not watched.moments:
        return parts
    now = watched.moments[-1]
    recent = watched.moments[-MOST_PERIODS:]
    ranked = judged(now, measured.all())
    return parts | {
        "why": why_of(now, ranked, measured.since),
        "grid": _grid(now, recent),
        "curves": _curves(recent),
        "planes": planes_of(now, ranked),
        "measured": table_of(now, ranked),
        "limits": _limits(now),
        "choices": _choices(now) if desk.path is not None else "",
        "answer": _answer(desk),
    }


def _announcement(picture: Picture) -> str:
    """Return what is read aloud: it changes with the state alone, not with each number."""
    word, mood = picture.badge
    phase = next((words for badge, _, words in PHASES.values() if badge == word), "")
    loud = "Look: " if mood is Mood.BROKEN else ""
    return escape(f"{loud}{word.capitalize()}{': ' if phase else ''}{phase}.")


def _state(picture: Picture) -> str:
    word, mood = picture.badge
    head = " ".join(
        f'<span class="{_kind(each)}">{escape(each[0])}</span>' for each in picture.head
    )
    sentence = picture.sentence
    said = f'<p class="sentence {_kind(sentence)}">{escape(sentence[0])}</p>' if sentence[0] else ""
    return (
        f'<p class="head"><strong id="badge" class="badge {mood.value}">{escape(word)}</strong>'
        f" {head}</p>{said}"
    )


def _facts(picture: Picture) -> str:
    lines = "".join(f"<p>{_line(each)}</p>" for each in picture.facts)
    return f"<h2>Device and answers</h2>{lines}" if lines else ""


def _events(picture: Picture) -> str:
    lines = "".join(f"<li>{_line(each)}</li>" for each in picture.notices)
    return (
        f'<h2>Events</h2><ul class="events" tabindex="0" aria-label="Events">{lines}</ul>'
        if lines
        else ""
    )


def _grid(now: Moment, recent: Sequence[Moment]) -> str:
    rows = [
        GridRow(
            each.name,
            {slot.accelerator: f"{slot.instances}x{slot.batch}" for slot in each.slots},
            load_of(each),
            (short(each.throughput_ips), short(each.p99_ms)),
        )
        for each in now.tenants
    ]
    if not rows:
        return ""
    table = grid(rows, accelerators(recent), ("inferences/s", "p99, ms"), first="network")
    return f"<h2>What serves: instances x batch</h2>{table}"


def _curves(recent: Sequence[Moment]) -> str:
    first, last = recent[0].number, recent[-1].number
    whole = last - first == len(recent) - 1
    counted = "period" if whole else "look"
    first = last - len(recent) + 1
    least = [sum(each.least_ips for each in moment.tenants) for moment in recent]
    charts = [
        curve(
            "Throughput",
            "inferences/s",
            [each.throughput_ips for each in recent],
            limits=least,
            least=True,
            first=first,
            counted=counted,
        )
    ]
    several = len(recent[-1].tenants) > 1
    for tenant in recent[-1].tenants[:MOST_CURVES]:
        of = [each.tenant(tenant.name) for each in recent]
        charts.append(
            curve(
                f"p99 of {tenant.name}" if several else "p99",
                "ms",
                [math.nan if each is None else each.p99_ms for each in of],
                limits=[math.inf if each is None else each.p99_limit_ms for each in of],
                first=first,
                counted=counted,
            )
        )
    if any(math.isfinite(each.power_w) for each in recent):
        charts.append(
            curve(
                "Power",
                "W",
                [each.power_w for each in recent],
                limits=[each.power_limit_w for each in recent],
                first=first,
                counted=counted,
            )
        )
    hidden = len(recent[-1].tenants) - MOST_CURVES
    more = f'<p class="quiet">p99 of {hidden} more networks is not drawn.</p>' if hidden > 0 else ""
    title = f"<h2>The last {len(recent)} periods</h2>"
    return f'{title}<div class="charts">{"".join(charts)}</div>{more}'


def _learning(watched: Watched) -> str:
    rows = watched.rows
    charts = [
        curve("Gain of an episode", "", [each.gain for each in rows], counted="update"),
        curve(
            "Measurements beyond a limit",
            "%",
            [100 * each.broken_share for each in rows],
            counted="update",
        ),
    ]
    return f'<h2>Training</h2><div class="charts">{"".join(charts)}</div>'


def _limits(now: Moment) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(each.words)}</th><td>{escape(_value(each))}</td></tr>'
        for each in limits_of(now)
    )
    return f"<table><caption>The limits of now</caption><tbody>{rows}</tbody></table>"


def _choices(now: Moment) -> str:
    """Return the choices of the form; they change only with the tenants."""
    return "".join(
        f'<option value="{escape(name_of(each))}">{escape(each.words)}'
        f"{', ' * bool(each.unit)}{escape(each.unit)}</option>"
        for each in limits_of(now)
    )


def _answer(desk: LimitDesk) -> str:
    kind = "broken" if desk.is_wrong else "plain"
    return f'<span class="{kind}">{escape(desk.answer)}</span>' if desk.answer else ""


def _value(limit: LimitNow) -> str:
    if not math.isfinite(limit.value) or (limit.key == "min_agreement" and not limit.value):
        return "none"
    return f"{limit.value:g} {limit.unit}".rstrip()


def _line(line: Line) -> str:
    return "".join(_span(each) for each in line if each[0])


def _span(span: Span) -> str:
    return f'<span class="{_kind(span)}">{escape(span[0])}</span>'


def _kind(span: Span) -> str:
    return {Mood.DIM: "quiet", Mood.PLAIN: "plain"}.get(span[1], f"mood-{span[1].value}")
