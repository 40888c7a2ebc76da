"""Compute the power of a window from its samples."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from envs.telemetry.protocol import BoardSample

#: A sensor of power is stuck if this many readings over this time are equal to the last bit on all
#: rails. Under load a board moves by a step well within a second. At rest a rail has a few steps
#: (1995 mW of an AGX Orin are five times 20 mA), and all rails may stay equal for some seconds, but
#: not ten.
STUCK_READS = 20
STUCK_S = 10.0


@dataclass(frozen=True)
class PowerWindow:
    """Power over a window. With a `fault` the readings cannot be used, and power is NaN.

    Attributes:
        mean_w: mean power of the total.
        rails_w: mean power of each rail.
        energy_j: energy of the total from the first sample to the last.
        uncertainty_w: one standard deviation of mean_w, from sampling and from the sensor's step.
        temperatures_c: temperatures at the end, by zone.
        throttled: counters of throttling that changed, and causes that lowered clocks at any
            sample.
        fault: why a sensor that measures power gave none; "" if it did.
    """

    mean_w: float = math.nan
    rails_w: dict[str, float] = field(default_factory=dict)
    energy_j: float = math.nan
    uncertainty_w: float = math.nan
    temperatures_c: dict[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] = ()
    fault: str = ""

    @property
    def hottest_c(self) -> float:
        """Return the temperature of the hottest zone; NaN if there is none."""
        return max(self.temperatures_c.values(), default=math.nan)


def power_window(samples: Sequence[BoardSample], has_power: bool, fault: str = "") -> PowerWindow:
    """Return the power over the samples of a window.

    Args:
        samples: in the order in which they were read.
        has_power: the sensor measures the total.
        fault: a fault that is known already.
    """
    temperatures_c = samples[-1].temperatures_c if samples else {}
    throttled = _throttled(samples)
    if not fault and not samples:
        fault = "no reading"
    if fault or not (has_power or samples[0].rails_w):
        return PowerWindow(temperatures_c=temperatures_c, throttled=throttled, fault=fault)
    has_counters = bool(samples[0].energy_j)
    fault = _length_fault(samples) or (
        _counter_fault(samples) if has_counters else _watts_fault(samples, has_power)
    )
    if fault:
        return PowerWindow(temperatures_c=temperatures_c, throttled=throttled, fault=fault)
    span_s = samples[-1].time_s - samples[0].time_s
    if has_counters:
        rails_w = {rail: _counted_j(samples, rail) / span_s for rail in samples[0].energy_j}
        mean_w = math.fsum(rails_w[rail] for rail in samples[0].total_rails)
        uncertainty_w = _counter_uncertainty_w(samples, mean_w)
    else:
        rails_w = {
            rail: _time_mean_w(samples, [sample.rails_w[rail] for sample in samples])
            for rail in samples[0].rails_w
        }
        totals_w = [sample.total_w for sample in samples]
        mean_w = _time_mean_w(samples, totals_w)
        uncertainty_w = math.hypot(
            _sampling_uncertainty_w(samples, totals_w), _step_uncertainty_w(samples[-1])
        )
    return PowerWindow(mean_w, rails_w, mean_w * span_s, uncertainty_w, temperatures_c, throttled)


def _area_j(samples: Sequence[BoardSample], watts: Sequence[float]) -> float:
    """Return the energy under watts [samples], by trapezoids between the times."""
    pairs = zip(itertools.pairwise(samples), itertools.pairwise(watts), strict=True)
    return math.fsum(
        (late.time_s - early.time_s) * (low_w + high_w) / 2
        for (early, late), (low_w, high_w) in pairs
    )


def _time_mean_w(samples: Sequence[BoardSample], watts: Sequence[float]) -> float:
    """Return the mean of watts [samples] over time.

    Equal values give exactly that value, so that windows of a stuck sensor are equal.
    """
    excess_j = _area_j(samples, [each - watts[0] for each in watts])
    return watts[0] + excess_j / (samples[-1].time_s - samples[0].time_s)


def _counted_j(samples: Sequence[BoardSample], rail: str) -> float:
    """Return the energy that a counter counted.

    NaN if a sample lacks the counter, or if it went back and does not wrap around.
    """
    steps_j = []
    for early, late in itertools.pairwise(samples):
        step_j = late.energy_j.get(rail, math.nan) - early.energy_j.get(rail, math.nan)
        steps_j.append(
            step_j if not step_j < 0 else step_j + early.energy_wrap_j.get(rail, math.nan)
        )
    return math.fsum(steps_j)


def _length_fault(samples: Sequence[BoardSample]) -> str:
    stamps_s = [sample.time_s for sample in samples]
    rising = all(early < late for early, late in itertools.pairwise(stamps_s))
    return "" if len(stamps_s) > 1 and rising else "fewer than two readings: take a longer window"


def reading_fault(sample: BoardSample, has_power: bool) -> str:
    """Return why a reading of power cannot be used; "" if it can.

    A monitor that has lost its bus answers zeros: as power they would keep every limit and cost no
    energy.
    """
    is_impossible = has_power and not sample.energy_j and sample.total_w <= 0
    return f"the total was {sample.total_w:g} W, which no board draws" if is_impossible else ""


def _watts_fault(samples: Sequence[BoardSample], has_power: bool) -> str:
    first = samples[0]
    lost = [
        rail
        for rail in first.rails_w
        if not all(math.isfinite(sample.rails_w.get(rail, math.nan)) for sample in samples)
    ]
    if has_power and not all(math.isfinite(sample.total_w) for sample in samples):
        lost.append("the total")
    if lost:
        return f"no number for {', '.join(lost)} in part of the window"
    for sample in samples:
        if fault := reading_fault(sample, has_power):
            return fault
    span_s = samples[-1].time_s - first.time_s
    all_equal = (
        all(sample.rails_w == first.rails_w for sample in samples)
        and len({sample.total_w for sample in samples if has_power}) <= 1
    )
    if all_equal and len(samples) >= STUCK_READS and span_s >= STUCK_S:
        return f"stuck: {len(samples)} readings over {span_s:.1f} s are equal to the last bit"
    return ""


def _counter_fault(samples: Sequence[BoardSample]) -> str:
    span_s = samples[-1].time_s - samples[0].time_s
    for rail in samples[0].energy_j:
        energy_j = _counted_j(samples, rail)
        if not math.isfinite(energy_j):
            return f"the counter of {rail} was lost or went back"
        if energy_j == 0 and rail in samples[0].total_rails:
            return f"stuck: the counter of {rail} did not move in {span_s:.2f} s"
    return ""


def _sampling_uncertainty_w(samples: Sequence[BoardSample], watts: Sequence[float]) -> float:
    """Return the standard error of the mean of watts [samples] from sampling at some moments.

    It uses the differences of neighbours (von Neumann 1941, Annals of Mathematical Statistics 12),
    so that a slow drift, which the trapezoids follow, does not count as noise. Samples have the
    weights of the trapezoids.
    """
    gaps_s = np.diff([sample.time_s for sample in samples])
    weights = np.append(gaps_s, 0.0) + np.append(0.0, gaps_s)
    variance = float(np.mean(np.diff(watts) ** 2)) / 2
    return math.sqrt(variance * float(np.sum(weights**2))) / float(np.sum(weights))


def _step_uncertainty_w(sample: BoardSample) -> float:
    """Return the standard deviation of the total from rounding to steps.

    More samples do not reduce it: a steady load is rounded alike each time.
    """
    return math.sqrt(
        math.fsum(sample.steps_w.get(rail, math.nan) ** 2 for rail in sample.total_rails) / 12
    )


def _counter_uncertainty_w(samples: Sequence[BoardSample], mean_w: float) -> float:
    """Return the standard deviation of the total from the age of counters at both ends."""
    first, last = samples[0], samples[-1]
    age_s = math.hypot(first.refresh_s, last.refresh_s) / math.sqrt(12)
    return mean_w * age_s / (last.time_s - first.time_s)


def _throttled(samples: Sequence[BoardSample]) -> tuple[str, ...]:
    """Return counters that changed in the window, and causes that lowered clocks at any sample."""
    if not samples:
        return ()
    before, after = samples[0].throttle_events, samples[-1].throttle_events
    changed = {name for name, count in after.items() if name in before and count != before[name]}
    return tuple(sorted(changed.union(*(sample.throttling for sample in samples))))
