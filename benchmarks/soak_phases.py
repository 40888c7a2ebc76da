"""The sides that `benchmarks.soak` compares: fixed configurations, and phases under control."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from envs.runtimes.protocol import try_configuration
from envs.spec import Configuration, Measurement
from tuner.console import progress_bar
from tuner.control.period import Period
from tuner.device import Device

#: Positions along the front of throughput and p99, from slow to fast. The limit of a phase is one
#: that the configuration there keeps, so that limits bind.
PLACES = (1.0, 0.5, 0.75, 0.25, 1.0, 0.6)

#: A limit is this multiple of that configuration's p99 in the grid, because a computer that shares
#: its host with others is not equally fast for half an hour.
ROOM = 2.0


def measured(served: Device, configuration: Configuration, window_s: float) -> tuple[float, float]:
    """Measure throughput [1/s] and p99 [ms]; both are NaN where it failed."""
    outcome = try_configuration(served.runtime, configuration, window_s)
    return (
        (outcome.throughput_ips[0], outcome.p99_ms[0])
        if isinstance(outcome, Measurement)
        else (np.nan, np.nan)
    )


class Grid:
    """Throughput and p99 of every configuration in some windows [N, W]; NaN where it failed."""

    def __init__(self, served: Device, window_s: float, windows: int) -> None:
        self.configurations = [Configuration.of(row) for row in served.space.catalogue]
        shape = (len(self.configurations), windows)
        self.ips, self.p99_ms = np.empty(shape), np.empty(shape)
        with progress_bar("grid", shape[0] * windows) as advance:
            for window in range(windows):
                for row, configuration in enumerate(self.configurations):
                    self.ips[row, window], self.p99_ms[row, window] = measured(
                        served, configuration, window_s
                    )
                    advance(served.space.describe(configuration))

    def front(self) -> list[int]:
        """Return the rows that no other beats in both throughput and p99, the slowest first."""
        return front_of(self.ips.mean(axis=1), self.p99_ms.max(axis=1))

    def limits_ms(self) -> list[float]:
        """Return the limit of each phase."""
        front = self.front()
        return [ROOM * float(np.median(self.p99_ms[row])) for row in at_places(front)]

    def best_first(self, limit_ms: float) -> list[Configuration]:
        """Return the configurations that kept the limit in every window, the fastest first."""
        kept = (self.p99_ms <= limit_ms).all(axis=1)
        rows = np.flatnonzero(kept)
        return [self.configurations[row] for row in rows[np.argsort(-self.ips[rows].mean(axis=1))]]


def front_of(ips: np.ndarray, p99_ms: np.ndarray) -> list[int]:
    """Return the rows [N] that no other beats in both throughput and p99, the slowest first."""
    order = [row for row in np.lexsort((-ips, p99_ms)) if np.isfinite(ips[row] + p99_ms[row])]
    return [
        int(row)
        for place, row in enumerate(order)
        if all(ips[row] > ips[other] for other in order[:place])
    ]


def at_places(front: list[int]) -> list[int]:
    """Return the row of a front that each phase's limit comes from."""
    return [front[round(place * (len(front) - 1))] for place in PLACES]


def levelled(logs: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Separate what configurations give from how fast the computer was, by least squares.

    Windows scatter as much as the computer changes between them.

    Args:
        logs: logarithms of throughput [N], in the order of time.
        which: configuration of each window [N], 0 to K - 1.

    Returns:
        The logarithm of each configuration's throughput [K], and of the computer's level at the
        time of each window [N].
    """
    count, kinds = len(logs), int(which.max()) + 1
    own, moves = np.eye(kinds)[which], np.diff(np.eye(count), axis=0)
    rows = [
        np.hstack([own, np.eye(count)]),
        np.hstack([np.zeros((count - 1, kinds)), moves]),
        np.r_[np.zeros(kinds), np.ones(count)][None],
    ]
    found = np.linalg.lstsq(np.vstack(rows), np.r_[logs, np.zeros(count)], rcond=None)[0]
    return found[:kinds], found[kinds:]


@dataclass(frozen=True)
class Phase:
    """One limit for a while.

    Attributes:
        periods: under control.
        rounds: after how many periods each round came.
        rivals: the configurations that were measured in the rounds.
        rivals_ips, rivals_p99_ms: [RIVALS, rounds], NaN where one failed.
        memory_mib: resident at the end.
    """

    limit_ms: float
    periods: list[Period]
    rounds: list[int]
    rivals: list[Configuration]
    rivals_ips: np.ndarray
    rivals_p99_ms: np.ndarray
    memory_mib: float

    @property
    def served_ips(self) -> float:
        """Return the mean throughput of all periods; a period that broke the limit counts as 0."""
        return float(np.mean([period.score * period.kept for period in self.periods]))

    @cached_property
    def fixed(self) -> tuple[float, float]:
        """Return throughput of the best fixed configuration, and the share of broken rounds.

        It is the best of those that kept the limit in every round. If none did, a round that broke
        the limit counts as 0, as a period does.
        """
        kept = (self.rivals_p99_ms <= self.limit_ms).mean(axis=1)
        ips = self._rivals_at_all_times()
        worth = np.where(kept == 1, ips, np.nan) if (kept == 1).any() else ips * kept
        best = int(np.nanargmax(worth))
        return float(worth[best]), float(1 - kept[best])

    def _rivals_at_all_times(self) -> np.ndarray:
        """Return the mean throughput that each rival would have had in the periods [RIVALS].

        It allows for how fast the computer was at the time.
        """
        windows = [
            (at, period.configuration, period.score)
            for at, period in enumerate(self.periods)
            if period.score > 0
        ]
        for rival, row in zip(self.rivals, self.rivals_ips, strict=True):
            windows += [
                (at - 0.5, rival, ips)
                for at, ips in zip(self.rounds, row, strict=True)
                if np.isfinite(ips)
            ]
        windows.sort(key=lambda window: window[0])
        at, configurations, ips = zip(*windows, strict=True)
        kinds = {
            configuration: kind for kind, configuration in enumerate(dict.fromkeys(configurations))
        }
        own, level = levelled(
            np.log(ips), np.array([kinds[configuration] for configuration in configurations])
        )
        in_periods = np.exp(level[np.array(at) % 1 == 0]).mean()
        return np.array(
            [
                np.exp(own[kinds[rival]]) * in_periods if rival in kinds else np.nan
                for rival in self.rivals
            ]
        )

    @property
    def share(self) -> float:
        """Return served throughput over the best fixed one; NaN if none of those served."""
        fixed_ips = self.fixed[0]
        return self.served_ips / fixed_ips if fixed_ips > 0 else math.nan

    @property
    def broken(self) -> int:
        """Return the number of periods that broke the limit."""
        return sum(not period.kept for period in self.periods)
