"""Axes: from numbers to shares of a length, with round numbers as ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

#: Ticks of an axis: with fewer round numbers a logarithmic one has even steps, more are thinned.
FEWEST_TICKS, MOST_TICKS = 3, 8

#: Larger numbers are drawn as this one, and smaller ones than its inverse as that or as zero.
LARGEST = 1e100


@dataclass(frozen=True)
class Axis:
    """A range of numbers that is drawn as a length.

    Attributes:
        low, high: the ends; low is smaller, and above zero if `is_log`.
        is_log: True for a logarithmic scale.
        is_whole: True for ticks at whole numbers only.
    """

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        *,
        is_log: bool = False,
        from_zero: bool = False,
        room: float = 0.06,
    ) -> Axis:
        """Return an axis with room around the finite values.

        Args:
            values: those that are not finite do not count, nor do those not above zero if `is_log`.
            is_log: True for a logarithmic scale.
            from_zero: True to begin a linear scale at zero, or below it where a value is.
            room: at each end, as a share of the range.
        """
        known = [max(min(each, LARGEST), -LARGEST) for each in values if math.isfinite(each)]
        if is_log:
            known = [max(each, 1 / LARGEST) for each in known if each > 0] or [1.0]
            factor = max((max(known) / min(known)) ** room, 1.03)
            return cls(min(known) / factor, max(known) * factor, True)
        known = [each if abs(each) > 1 / LARGEST else 0.0 for each in known]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        if from_zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            return cls(low, low + 1) if low == 0 else cls(low - abs(low) / 20, low + abs(low) / 20)
        wide = room * (high - low)
        return cls(low if from_zero and low == 0 else low - wide, high + wide)

    def share(self, value: float) -> float:
        """Return where a number lies, from 0 at the low end to 1 at the high one."""
        low, high = self.low, self.high
        if self.is_log:
            value = max(value, low)
            low, high, value = math.log(low), math.log(high), math.log(value)
        return min(max((value - low) / (high - low), 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """Return round numbers within the range, at most `MOST_TICKS`."""
        found = round_numbers(self.low, self.high) if self.is_log else []
        if len(found) < FEWEST_TICKS:
            step = self._step()
            first = math.ceil(self.low / step - 1e-9)
            found = [step * each for each in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decades = [each for each in found if math.log10(each) % 1 == 0] if self.is_log else []
        if len(found) > MOST_TICKS and len(decades) >= FEWEST_TICKS:
            found = decades
        return found[:: math.ceil(len(found) / MOST_TICKS)]

    @property
    def labels(self) -> list[tuple[float, str]]:
        """Return the ticks with their texts."""
        ticks = self.ticks
        step = min((later - each for each, later in pairwise(ticks)), default=1.0)
        return [(each, _text(each, abs(ticks[-1]), step)) for each in ticks]

    def _step(self) -> float:
        """Return a round step that gives about five ticks."""
        least = (self.high - self.low) / 5
        if self.is_whole and least < 1:
            return 1.0
        power = 10.0 ** math.floor(math.log10(least))
        return next(each * power for each in (1, 2, 5, 10) if each * power >= least * (1 - 1e-9))


def round_numbers(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10 and so on between two numbers above zero, for a logarithmic axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [
        step * 10.0**power
        for power in range(first, last + 1)
        for step in (1, 2, 5)
        if low <= step * 10.0**power <= high
    ]


def _text(value: float, largest: float, step: float) -> str:
    """Return the text of a tick, with as many digits as the steps need."""
    scale, unit = (1e6, " M") if largest >= 1e6 else (1.0, "")
    decimals = max(math.ceil(-math.log10(step / scale) - 1e-9), 0)
    if largest >= 1e15 or decimals > 6 or (value and abs(value) < 1e-6):
        digits = math.ceil(math.log10(max(largest / step, 1.0)) - 1e-9) + 1
        return f"{value:.{min(max(digits, 3), 15)}g}"
    return f"{value / scale:,.{decimals}f}{unit}" if value else "0"
