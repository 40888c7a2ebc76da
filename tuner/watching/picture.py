"""Say in lines and curves what a moment was like; `tuner.watching.app` puts them on a screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.watching.curves import Curve, Line, Span, short
from tuner.watching.grid import MOST_ROWS, grid_of
from tuner.watching.moments import LearningRow, Moment
from tuner.watching.state import Mood, Watched, broken_limits, is_gone, mood_of
from tuner.watching.values import width_of

#: Periods that a curve can show: two a column of a very wide screen.
MOST_DOTS = 1000

#: Events that are shown.
MOST_NOTICES = 60

#: The badge, its mood and a sentence for each phase of a service.
PHASES = {
    "searching": ("SEARCHING", Mood.NEAR, "tries a configuration"),
    "holding": ("HOLDING", Mood.GOOD, "serves the best that kept the limits"),
    "returned": ("RETURNED", Mood.NEAR, "is back at the last good configuration"),
    "shed": ("SHED", Mood.NEAR, "best effort has the least, for a critical network was late"),
    "safe": ("SAFE", Mood.NEAR, "serves the safe default"),
}

#: Colours of events whose kind tells that something went wrong.
BAD_KINDS = {
    *("limits_refused", "measurement_failed", "power_unreadable", "engine_refused"),
    *("accelerator_dropped", "memory_ended", "last_resort", "proposal_refused", "policy_failed"),
    *("not_stored", "client_ended"),
}


@dataclass(frozen=True)
class Picture:
    """One screen, without its keys.

    Attributes:
        badge: the state in a word, with its mood.
        head: where it comes from and when it was.
        sentence: what the badge means now.
        grid: tenants by accelerators.
        curves: side by side.
        facts: temperature and the like.
        notices: events, the newest first.
    """

    badge: Span
    head: Line
    sentence: Span
    grid: Sequence[Line] = ()
    curves: Sequence[Curve] = ()
    facts: Sequence[Line] = ()
    notices: Sequence[Line] = ()


def picture_of(
    watched: Watched,
    index: int | None = None,
    tenant: int = 0,
    size: tuple[int, int] = (80, 24),
) -> Picture:
    """Return the screen of a moment.

    Args:
        watched: what was read.
        index: of the moment or row; None for the last one, live.
        tenant: whose p99 is drawn, modulo their number.
        size: columns and rows of the screen.
    """
    width, height = size
    count = len(watched.rows or watched.moments)
    if not count:
        return _idle(watched)
    at = count - 1 if index is None else min(max(index, 0), count - 1)
    badge, sentence = _state(watched, at, live=index is None)
    where = ("the last" if is_gone(watched) else "live", Mood.DIM)
    if index is not None:
        where = (f"LOOKING BACK {count - 1 - at}", Mood.NEAR)
    if watched.rows:
        number = f"{watched.rows[at].steps:,.0f} steps"
        head = _head(badge, number, where, watched.title, width)
        return Picture(badge, head, sentence, (), *_learning(watched.rows[: at + 1]))
    moment = watched.moments[at]
    number = f"{'row' if not moment.phase and watched.total else 'period'} {moment.number}"
    head = _head(badge, f"{number} {moment.clock}".strip(), where, watched.title, width)
    past = watched.moments[: at + 1]
    recent = past[-MOST_DOTS:]
    return Picture(
        badge,
        head,
        sentence,
        grid_of(moment, recent, width, min(max((height - 14) // 2, 2), MOST_ROWS), tenant),
        _curves(recent, tenant),
        _facts(watched, moment, past),
        _notices(past),
    )


def _head(badge: Span, number: str, where: Span, title: str, width: int) -> Line:
    """Return the parts beside the badge, two blanks before each; of a long title only the end."""
    room = max(width - width_of(badge[0]) - 2 - len(number) - len(where[0]) - 6, 8)
    while width_of(title) > room:
        title = "…" + title.lstrip("…")[1:]
    return (number, Mood.PLAIN), where, (title, Mood.DIM)


def _idle(watched: Watched) -> Picture:
    words = watched.problem or "nothing has come yet"
    title = ((watched.title, Mood.PLAIN),)
    if watched.ended:
        words = "the recording is complete: its journal has become the trace"
        return Picture(("COMPLETE", Mood.GOOD), title, (words, Mood.PLAIN))
    if watched.unread:
        words += f"; {watched.unread} lines could not be read"
    return Picture(("IDLE", Mood.DIM), title, (words, Mood.PLAIN))


def _state(watched: Watched, at: int, live: bool) -> tuple[Span, Span]:
    """Return the badge and its sentence."""
    if live and watched.ended:
        return ("COMPLETE", Mood.GOOD), ("the recording is complete", Mood.PLAIN)
    if live and is_gone(watched):
        words = f"nothing new for {_duration(watched.age_s)}: it has ended, stands still, or builds"
        words += f" an engine; {watched.problem}" if watched.problem else " an engine"
        if math.isinf(watched.age_s) and watched.problem:  # nobody knows when it last changed
            words = f"{watched.problem}: this is the last that it showed"
        return ("GONE", Mood.BROKEN), (words, Mood.BROKEN)
    if watched.rows:
        return ("TRAINING", Mood.GOOD), ("a row for each update of the policy", Mood.DIM)
    moment = watched.moments[at]
    if moment.failure:
        return ("NOT MEASURED", Mood.BROKEN), (moment.failure, Mood.BROKEN)
    if moment.kept is False:
        broken = "; ".join(broken_limits(moment)) or "a limit was broken"
        phase = f" (phase: {moment.phase})" if moment.phase else ""
        return ("LIMIT BROKEN", Mood.BROKEN), (broken + phase, Mood.BROKEN)
    if moment.phase in PHASES:
        word, mood, words = PHASES[moment.phase]
        return (word, mood), (words, Mood.DIM)
    if watched.total:
        done = f"{moment.number} of {watched.total} configurations"
        return ("RECORDING", Mood.GOOD), (done, Mood.PLAIN)
    return (moment.phase.upper() or "SERVING", Mood.PLAIN), ("", Mood.DIM)


def _curves(past: Sequence[Moment], tenant: int) -> list[Curve]:
    last = past[-1]
    least = [sum(each.least_ips for each in moment.tenants) for moment in past]
    throughput = Curve(
        (("throughput ", Mood.DIM), (f"{short(last.throughput_ips)} inf/s", Mood.PLAIN)),
        [each.throughput_ips for each in past],
        least if any(least) else (),
        least=True,
    )
    power = Curve(
        (
            ("power ", Mood.DIM),
            (short(last.power_w), mood_of(_share(last.power_w, last.power_limit_w))),
            *(_limit(last.power_limit_w, "W") or ((" W", Mood.PLAIN),)),
        ),
        [each.power_w for each in past],
        [each.power_limit_w for each in past],
    )
    if not last.tenants:
        return [throughput, power]
    shown = last.tenants[tenant % len(last.tenants)]
    of = [each.tenant(shown.name) for each in past]
    p99 = Curve(
        (
            ("p99 ", Mood.DIM),
            (short(shown.p99_ms), mood_of(_share(shown.p99_ms, shown.p99_limit_ms))),
            *(_limit(shown.p99_limit_ms, "ms") or ((" ms", Mood.PLAIN),)),
            *(((f" {shown.name}", Mood.DIM),) if len(last.tenants) > 1 else ()),
        ),
        [math.nan if each is None else each.p99_ms for each in of],
        [math.inf if each is None else each.p99_limit_ms for each in of],
    )
    return [throughput, p99, power]


def _facts(watched: Watched, moment: Moment, past: Sequence[Moment]) -> list[Line]:
    warm = "-" if math.isnan(moment.temperature_c) else f"{moment.temperature_c:.0f} °C"
    held = moment.throttled
    words = "-" if held is None else ", ".join(held) or "no"
    known = sorted((e.agreement, e.name) for e in moment.tenants if e.agreement >= 0)
    answers = [f"{short_share(share)} {name}" for share, name in known]  # the worst comes first
    judged = [each.kept for each in past if each.kept is not None]
    first: list[Span] = [
        ("temperature ", Mood.DIM),
        (warm, Mood.PLAIN),
        ("  throttled ", Mood.DIM),
        (words, Mood.BROKEN if held else Mood.PLAIN),
    ]
    if judged:
        first += [
            ("  limits kept ", Mood.DIM),
            (f"{sum(judged)} of {len(judged)}", Mood.GOOD if all(judged) else Mood.NEAR),
        ]
    if moment.origin:
        first += [("  origin ", Mood.DIM), (moment.origin, Mood.PLAIN)]
    agreement = ", ".join(answers) or "not measured"
    lines: list[Line] = [tuple(first), (("agreement ", Mood.DIM), (agreement, Mood.PLAIN))]
    if moment.remark:
        lines.append((("power sensor: ", Mood.DIM), (moment.remark, Mood.NEAR)))
    if watched.unread or watched.skipped:
        parts = [f"{watched.unread} lines could not be read"] * bool(watched.unread)
        parts += ["older periods are in the file, and were not read"] * watched.skipped
        lines.append((("; ".join(parts), Mood.DIM),))
    return lines


def _notices(past: Sequence[Moment]) -> list[Line]:
    lines: list[Line] = []
    for moment in reversed(past):
        for each in reversed(moment.notices):
            mood = Mood.BROKEN if each.kind in BAD_KINDS else Mood.PLAIN
            lines.append(((f"{each.clock or '-':8} ", Mood.DIM), (each.text or each.kind, mood)))
        if len(lines) >= MOST_NOTICES:
            break
    if not lines:
        metrics_alone = past[-1].throttled is None and bool(past[-1].phase)
        words = "metrics have none: the journal has them" if metrics_alone else "none yet"
        return [((words, Mood.DIM),)]
    return lines[:MOST_NOTICES]


def _learning(past: Sequence[LearningRow]) -> tuple[list[Curve], list[Line]]:
    last = past[-1]
    curves = [
        Curve(
            (("gain of an episode ", Mood.DIM), (short(last.gain), Mood.PLAIN)),
            [each.gain for each in past],
            whole=True,
        ),
        Curve(
            (("measurements beyond a limit ", Mood.DIM), (f"{last.broken_share:.1%}", Mood.PLAIN)),
            [each.broken_share for each in past],
            whole=True,
        ),
    ]
    numbers = f"{last.episodes:,.0f} episodes, {_duration(last.seconds)}"
    words = "the whole run; neighbouring updates are averaged where they do not fit"
    return curves, [((numbers, Mood.PLAIN),), ((words, Mood.DIM),)]


def short_share(share: float) -> str:
    """Return an agreement with as many digits as tell it from 1."""
    return f"{share:.4f}".rstrip("0").rstrip(".") if share <= 1 else short(share)


def _share(value: float, limit: float) -> float:
    return value / limit if math.isfinite(limit) and limit > 0 else math.nan


def _limit(limit: float, unit: str) -> tuple[Span, ...]:
    return ((f" of {limit:g} {unit}".rstrip(), Mood.DIM),) if math.isfinite(limit) else ()


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "an unknown time"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
