"""Hold what the view knows: the recent past, and what it says of the present."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from statistics import median

from tuner.watching.moments import LearningRow, Moment, News, TenantMoment

#: Moments and rows that are kept; at a period of 3 s these are three hours.
MOST_MOMENTS = 4000

#: A source is gone after so many of its periods without a change, and after `GONE_S` at least.
GONE_PERIODS, GONE_S = 5, 10.0

#: Share of a limit from which on it is near.
NEAR = 0.8


class Mood(str, Enum):
    """Say how good something is, which decides its colour."""

    PLAIN = "plain"
    DIM = "dim"
    GOOD = "good"
    NEAR = "near"
    BROKEN = "broken"


@dataclass(frozen=True)
class Watched:
    """Everything that was read of a source, as far as it is kept.

    Attributes:
        title: names the source.
        moments: the oldest first, as many as `with_news` keeps.
        rows: of a training, at most `MOST_MOMENTS`.
        unread: lines that were no period and no row.
        skipped: True if there is more before the oldest moment than was read.
        age_s: seconds since the source changed.
        problem: why it cannot be read now.
        ended: the source said that it is complete.
        total: rows that there will be; 0 where nobody knows.
    """

    title: str
    moments: tuple[Moment, ...] = ()
    rows: tuple[LearningRow, ...] = ()
    unread: int = 0
    skipped: bool = False
    age_s: float = math.inf
    problem: str = ""
    ended: bool = False
    total: int = 0


def with_news(watched: Watched, news: News, most: int = MOST_MOMENTS) -> Watched:
    """Return the state with what a poll found; at most so many moments are kept."""
    known = Watched(watched.title) if news.anew else watched
    moments = (*known.moments, *news.moments) if news.moments else known.moments
    rows = (*known.rows, *news.rows) if news.rows else known.rows
    return replace(
        known,
        moments=moments[-most:],
        rows=rows[-MOST_MOMENTS:],
        unread=known.unread + news.unread,
        skipped=known.skipped or news.skipped,
        age_s=news.age_s,
        problem=news.problem,
        ended=known.ended or news.ended,
        total=news.total or known.total,
    )


def period_s(times_s: Sequence[float]) -> float:
    """Return the usual time between moments; NaN where it is not known."""
    recent = times_s[-12:]
    steps = [later - earlier for earlier, later in pairwise(recent)]
    known = [each for each in steps if each > 0]
    return median(known) if known else math.nan


def is_gone(watched: Watched) -> bool:
    """Return True if the source has not changed for longer than is usual."""
    times_s = [each.at_s for each in watched.moments[-12:]]
    times_s = times_s or [each.seconds for each in watched.rows[-12:]]
    usual_s = period_s(times_s)
    patience_s = GONE_S if math.isnan(usual_s) else max(GONE_PERIODS * usual_s, GONE_S)
    return watched.age_s > patience_s


def broken_limits(moment: Moment) -> list[str]:
    """Return each limit that a moment broke, as words with the measured and the allowed number."""
    found = []
    for each in moment.tenants:
        if each.p99_ms > each.p99_limit_ms:
            found.append(f"p99 of {each.name} is {each.p99_ms:.4g} ms, over {each.p99_limit_ms:g}")
        if each.throughput_ips < each.least_ips:
            found.append(
                f"{each.name} gets {each.throughput_ips:.4g} inferences/s, below {each.least_ips:g}"
            )
        if each.agreement < moment.min_agreement:
            found.append(
                f"agreement of {each.name} is {each.agreement:.4g}, below {moment.min_agreement:g}"
            )
    if moment.power_w > moment.power_limit_w:
        found.append(f"power is {moment.power_w:.4g} W, over {moment.power_limit_w:g}")
    return found


def load_of(tenant: TenantMoment) -> float:
    """Return the share of its limits that a tenant uses: 1 is at the limit; NaN without a limit.

    It is the larger of p99 over its limit, and of the least rate over what is served. No command
    writes how busy an accelerator is.
    """
    shares = []
    if math.isfinite(tenant.p99_limit_ms) and tenant.p99_limit_ms > 0:
        shares.append(tenant.p99_ms / tenant.p99_limit_ms)
    if tenant.least_ips > 0 and tenant.throughput_ips > 0:
        shares.append(tenant.least_ips / tenant.throughput_ips)
    known = [each for each in shares if not math.isnan(each)]
    return max(known) if known else math.nan


def mood_of(share: float) -> Mood:
    """Return how good it is to use this share of a limit; plain where there is no limit."""
    if math.isnan(share):
        return Mood.PLAIN
    return Mood.BROKEN if share > 1 else Mood.NEAR if share > NEAR else Mood.GOOD
