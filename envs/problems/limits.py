"""Drawing objectives for episodes, with some limits kept out of training.

The axis of limits is cut into bands of equal ratio. Every fourth band is held out: training never
draws a limit from it, and comparisons draw from nowhere else, so that "not seen in training" holds
by construction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray
from envs.errors import OptionError
from envs.spec import MeasurementBatch, Objectives

BAND_RATIO = 1.1
HELD_OUT_EVERY = 4
SPLITS = ("train", "held_out", "all")


@dataclass(frozen=True)
class LimitRange:
    """The lowest and highest limits to draw.

    Attributes:
        p99_ms: [T] pairs (lowest, highest).
        power_w: a pair, or None where no power is measured.
        unlimited: share of draws in which a limit is left out.
    """

    p99_ms: tuple[tuple[float, float], ...]
    power_w: tuple[float, float] | None
    unlimited: float = 0.1

    @classmethod
    def of(cls, batch: MeasurementBatch) -> LimitRange:
        """Return a range from a little below the lowest outcome to a little above the highest.

        Its limits reach from impossible to harmless. Power is not limited where it was read of
        less than half of the configurations: a limit would forbid all the others.
        """
        p99 = tuple(
            (0.95 * float(np.nanmin(column)), 1.1 * float(np.nanmax(column)))
            for column in batch.p99_ms.T
        )
        power = batch.power_w[batch.power_w > 0]
        if not len(power) or 2 * len(power) < (~batch.failed).sum():
            return cls(p99, None)
        return cls(p99, (0.95 * float(power.min()), 1.1 * float(power.max())))

    @classmethod
    def around(cls, p99_ms: FloatArray, power_w: float) -> LimitRange:
        """Return a range around one measurement, where nothing else is known.

        It reaches from half to 16 times its latency, from 0.75 to 4 times its power.
        """
        power = (0.75 * power_w, 4.0 * power_w) if power_w > 0 else None
        return cls(tuple((0.5 * float(value), 16.0 * float(value)) for value in p99_ms), power)


def uniforms_per_draw(tenants: int) -> int:
    """Return the uniform numbers that one objective takes."""
    return 2 * (tenants + 1)


def draw_objectives(limits: LimitRange, uniforms: FloatArray, split: str) -> Objectives:
    """Draw B objectives.

    Args:
        limits: between which to draw.
        uniforms: [B, 2 (T + 1)] in [0, 1): two for each limit, its presence and its place.
        split: `train`, `held_out` or `all`.

    Raises:
        OptionError: the split has another name.
    """
    if split not in SPLITS:
        raise OptionError(f"split={split!r} must be one of {', '.join(SPLITS)}")
    tenants = len(limits.p99_ms)
    # "No limit" is one and the same objective in every draw, so that a held-out objective always
    # has limits.
    unlimited = 0.0 if split == "held_out" else limits.unlimited
    columns = [
        np.where(
            uniforms[:, 2 * i] < unlimited,
            math.inf,
            draw_limits(limits.p99_ms[i], uniforms[:, 2 * i + 1], split),
        )
        for i in range(tenants)
    ]
    power = np.full(len(uniforms), math.inf)
    if limits.power_w is not None:
        power = np.where(
            uniforms[:, -2] < unlimited,
            math.inf,
            draw_limits(limits.power_w, uniforms[:, -1], split),
        )
    return Objectives(np.stack(columns, axis=1), power)


def draw_limits(span: tuple[float, float], uniforms: FloatArray, split: str) -> FloatArray:
    """Draw log-uniform limits [B] from the bands of a split that touch a span (lowest, highest).

    They are infinite where the split has no band there.
    """
    low, high = (math.log(value) / math.log(BAND_RATIO) for value in span)
    bands = np.arange(math.floor(low), math.ceil(high))
    if split != "all":
        bands = bands[held_out_band(bands) == (split == "held_out")]
    if not len(bands):
        return np.full(len(uniforms), math.inf)
    position = uniforms * len(bands)
    whole = np.minimum(position.astype(np.int64), len(bands) - 1)
    return np.asarray(BAND_RATIO ** (bands[whole] + (position - whole)))


def held_out_band(bands: np.ndarray) -> np.ndarray:
    """Return True for the bands that are held out, of whole numbers [...]."""
    return np.asarray(bands % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)
