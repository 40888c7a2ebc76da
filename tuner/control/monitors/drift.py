"""Notice a change of the device: configurations that kept the limits break them now."""

import math
from collections import defaultdict

import numpy as np

from envs.belief.assess import normal_chance
from envs.spec import Configuration, Failure, Measurement, Outcome
from tuner.control.events import Event, EventKind
from tuner.policy.thresholds import Thresholds


class DriftMonitor:
    """Count broken limits of configurations that were known to keep them.

    Each counts as much as it is surprising: by the negative logarithm of the chance that the belief
    gives to a window so far beyond its limit. They add up as independent events do, until they are
    as unlikely as `Thresholds.surprising_breaks` windows beyond the usual scatter, or as
    `Thresholds.in_a_row` beside a neighbour, which may be gone in the next window. A period that
    keeps the limits clears its configuration.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._breaks: defaultdict[Configuration, float] = defaultdict(float)

    def update(
        self,
        configuration: Configuration,
        outcome: Outcome,
        *,
        kept: bool,
        was_good: bool,
        sigmas: float,
    ) -> Event | None:
        """Return an event if so many limits were broken that measurements no longer count.

        A failed measurement is counted; the event waits for the next one that succeeds.

        Args:
            configuration: what served.
            outcome: what it gave.
            kept: True if it kept every limit.
            was_good: True if it was known to keep the limits before.
            sigmas: by how many standard deviations it is beyond what was expected of it.
        """
        limits = self._thresholds
        if kept:
            self._breaks.pop(configuration, None)
        elif was_good:
            beside = isinstance(outcome, Measurement) and outcome.disturbed
            surprising = _unlikeliness(limits.surprise_sigmas)
            share = _unlikeliness(min(sigmas, limits.surprise_sigmas)) / surprising
            enough = limits.in_a_row if beside else limits.surprising_breaks
            self._breaks[configuration] += share / enough
        if isinstance(outcome, Failure) or sum(self._breaks.values()) < 1:
            return None
        return Event(
            EventKind.DEVICE_CHANGED,
            "what kept the limits before does so no more: measuring anew",
        )

    @property
    def most_broken(self) -> Configuration:
        """Return the configuration whose broken limits count most."""
        return max(self._breaks, key=self._breaks.__getitem__)

    def clear(self) -> None:
        """Forget all broken limits: conditions are others now."""
        self._breaks.clear()


def _unlikeliness(sigmas: float) -> float:
    """Return the negative logarithm of the chance of a window so far off, or farther."""
    return -math.log(float(normal_chance(np.array(-sigmas))))
