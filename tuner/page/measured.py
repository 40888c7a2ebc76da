"""Configurations that were measured, since conditions last changed."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from tuner.watching.moments import Moment, TenantMoment

#: Windows of a configuration whose median counts, and configurations that are kept.
MOST_WINDOWS, MOST_CONFIGURATIONS = 9, 400

#: Events after which the controller forgets its measurements; so does the page.
FORGETTING = {
    *("arrivals_changed", "power_mode_changed", "temperature_changed", "device_changed"),
    *("neighbour_gone", "tenants_changed"),
}

#: Names and places of all tenants.
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Configured:
    """A configuration, and the medians of its latest windows.

    Attributes:
        key: tells it from others.
        windows: how many there were.
        moment: the last of them, with medians in place of what it measured.
    """

    key: Key
    windows: int
    moment: Moment

    @property
    def name(self) -> str:
        """Return where it runs, with the names of tenants where there are several."""
        return "; ".join(
            f"{name}: {places}" if len(self.key) > 1 else places for name, places in self.key
        )


class MeasuredConfigurations:
    """Windows by configuration; the ones that served last are kept."""

    def __init__(self) -> None:
        self._windows: OrderedDict[Key, deque[Moment]] = OrderedDict()
        self._counts: dict[Key, int] = {}
        self.since = 1  # the first period that counts

    def add(self, moments: Iterable[Moment]) -> None:
        """Take what a poll found, the oldest first."""
        for moment in moments:
            if any(each.kind in FORGETTING for each in moment.notices):
                self.clear(moment.number)
            if not moment.failure and moment.tenants:
                self._add(moment)

    def clear(self, since: int = 1) -> None:
        """Forget everything before a period."""
        self._windows.clear()
        self._counts.clear()
        self.since = since

    def all(self) -> list[Configured]:
        """Return the configurations, the one that served last at the end."""
        return [
            Configured(key, self._counts[key], _typical(windows))
            for key, windows in self._windows.items()
        ]

    def _add(self, moment: Moment) -> None:
        key = key_of(moment)
        if key not in self._windows:
            self._windows[key] = deque(maxlen=MOST_WINDOWS)
            self._counts[key] = 0
        self._windows.move_to_end(key)
        self._windows[key].append(moment)
        self._counts[key] += 1
        while len(self._windows) > MOST_CONFIGURATIONS:
            oldest, _ = self._windows.popitem(last=False)
            del self._counts[oldest]


def key_of(moment: Moment) -> Key:
    """Return what tells the configuration of a moment from others."""
    return tuple((each.name, places_of(each)) for each in moment.tenants)


def places_of(tenant: TenantMoment) -> str:
    """Return where a tenant runs, such as `tensor 2x8 + dla0 1x4`."""
    places = (f"{each.accelerator} {each.instances}x{each.batch}" for each in tenant.slots)
    return " + ".join(places) or "none"


def _typical(windows: deque[Moment]) -> Moment:
    """Return the last window, with the medians of all in place of its measurements."""
    last = windows[-1]
    tenants = tuple(
        TenantMoment(
            each.name,
            each.slots,
            _median(window.tenants[position].throughput_ips for window in windows),
            _median(window.tenants[position].p99_ms for window in windows),
            each.p99_limit_ms,
            each.least_ips,
            each.agreement,
        )
        for position, each in enumerate(last.tenants)
    )
    return Moment(
        last.number,
        goal=last.goal,
        score=_median(window.score for window in windows if window.goal == last.goal),
        tenants=tenants,
        power_w=_median(window.power_w for window in windows),
        origin=last.origin,
    )


def _median(values: Iterable[float]) -> float:
    known = [each for each in values if not math.isnan(each)]
    return median(known) if known else math.nan
