"""From the samples of a window to its power. Pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from envs.telemetry.protocol import BoardSample

#: A sensor of watts that has told the same to the last bit on all rails so often, over so long, is stuck. Under load a board moves by a step
#: well within a second, but at rest a rail is a few steps high (1995 mW of an AGX Orin are five times 20 mA) and all of them may stay for some.
#: To ask for equal volts and amperes as well would say no more: they make the watts. Ten seconds without one step of any rail are no rest any more.
STUCK_READS = 20
STUCK_S = 10.0


@dataclass(frozen=True)
class PowerWindow:
    """What a sensor told over a window. With a `fault` it told nothing that counts, and watts are NaN.

    Attributes:
        mean_w: of the total; rails_w: of each rail.
        energy_j: of the total, from the first sample to the last.
        uncertainty_w: one standard deviation of mean_w, from sampling and from the sensor's step.
        temperatures_c: at the end, by place.
        throttled: counters that moved, and what held the clocks back at any sample.
        fault: why there is no power although the sensor has it.
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
        return max(self.temperatures_c.values(), default=math.nan)


def power_window(samples: Sequence[BoardSample], has_power: bool, fault: str = "") -> PowerWindow:
    """Power over the samples of a window, in the order in which they were read.

    Args:
        has_power: whether the sensor tells the total.
        fault: what is known to be wrong already.
    """
    heat_c, held = (samples[-1].temperatures_c if samples else {}), throttled(samples)
    if not fault and not samples:
        fault = "no reading"
    if fault or not (has_power or samples[0].rails_w):
        return PowerWindow(temperatures_c=heat_c, throttled=held, fault=fault)
    counted = bool(samples[0].energy_j)
    fault = too_short(samples) or (
        counter_fault(samples) if counted else watts_fault(samples, has_power)
    )
    if fault:
        return PowerWindow(temperatures_c=heat_c, throttled=held, fault=fault)
    span_s = samples[-1].time_s - samples[0].time_s
    if counted:
        rails_w = {rail: used_j(samples, rail) / span_s for rail in samples[0].energy_j}
        mean_w = math.fsum(rails_w[rail] for rail in samples[0].total_rails)
        doubt_w = counter_doubt_w(samples, mean_w)
    else:
        rails_w = {
            rail: weighted_w(samples, [sample.rails_w[rail] for sample in samples])
            for rail in samples[0].rails_w
        }
        totals_w = [sample.total_w for sample in samples]
        mean_w = weighted_w(samples, totals_w)
        doubt_w = math.hypot(sampling_doubt_w(samples, totals_w), step_doubt_w(samples[-1]))
    return PowerWindow(mean_w, rails_w, mean_w * span_s, doubt_w, heat_c, held)


def area_j(samples: Sequence[BoardSample], watts: Sequence[float]) -> float:
    """Energy under watts [samples], by trapezoids between the time stamps."""
    pairs = zip(itertools.pairwise(samples), itertools.pairwise(watts), strict=True)
    return math.fsum(
        (late.time_s - early.time_s) * (low_w + high_w) / 2
        for (early, late), (low_w, high_w) in pairs
    )


def weighted_w(samples: Sequence[BoardSample], watts: Sequence[float]) -> float:
    """Mean of watts [samples] over time. Of equal ones it is exactly that, so that several windows of a sensor that is stuck are equal, too."""
    over_j = area_j(samples, [each - watts[0] for each in watts])
    return watts[0] + over_j / (samples[-1].time_s - samples[0].time_s)


def used_j(samples: Sequence[BoardSample], rail: str) -> float:
    """Energy that a counter went through; NaN if it is missing anywhere, or went back although it does not wrap around."""
    steps_j = []
    for early, late in itertools.pairwise(samples):
        step_j = late.energy_j.get(rail, math.nan) - early.energy_j.get(rail, math.nan)
        steps_j.append(
            step_j if not step_j < 0 else step_j + early.energy_wrap_j.get(rail, math.nan)
        )
    return math.fsum(steps_j)


def too_short(samples: Sequence[BoardSample]) -> str:
    stamps_s = [sample.time_s for sample in samples]
    rising = all(early < late for early, late in itertools.pairwise(stamps_s))
    return "" if len(stamps_s) > 1 and rising else "fewer than two readings: take a longer window"


def reading_fault(sample: BoardSample, has_power: bool) -> str:
    """What is wrong with a single reading of watts, such as that of a monitor that has lost its bus and answers zeros; nothing if it can be used.

    Taken as power it would keep every limit, and cost no energy.
    """
    impossible = has_power and not sample.energy_j and sample.total_w <= 0
    return f"the total was {sample.total_w:g} W, which no board draws" if impossible else ""


def watts_fault(samples: Sequence[BoardSample], has_power: bool) -> str:
    """What is wrong with a window of watts; nothing if it can be used."""
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
    if impossible := [fault for sample in samples if (fault := reading_fault(sample, has_power))]:
        return impossible[0]
    span_s = samples[-1].time_s - first.time_s
    same = (
        all(sample.rails_w == first.rails_w for sample in samples)
        and len({sample.total_w for sample in samples if has_power}) <= 1
    )
    if same and len(samples) >= STUCK_READS and span_s >= STUCK_S:
        return f"stuck: {len(samples)} readings over {span_s:.1f} s are equal to the last bit"
    return ""


def counter_fault(samples: Sequence[BoardSample]) -> str:
    """What is wrong with a window of energy counters; nothing if it can be used."""
    span_s = samples[-1].time_s - samples[0].time_s
    for rail in samples[0].energy_j:
        energy_j = used_j(samples, rail)
        if not math.isfinite(energy_j):
            return f"the counter of {rail} was lost or went back"
        if energy_j == 0 and rail in samples[0].total_rails:
            return f"stuck: the counter of {rail} did not move in {span_s:.2f} s"
    return ""


def sampling_doubt_w(samples: Sequence[BoardSample], watts: Sequence[float]) -> float:
    """Standard error of the mean of watts [samples] from seeing them at some moments only.

    From the differences of neighbours (von Neumann 1941, Annals of Mathematical Statistics 12), so that a slow drift, which the
    trapezoids follow, does not count as noise. Samples weigh as they do in the trapezoids.
    """
    gaps_s = np.diff([sample.time_s for sample in samples])
    weights = np.append(gaps_s, 0.0) + np.append(0.0, gaps_s)
    variance = float(np.mean(np.diff(watts) ** 2)) / 2
    return math.sqrt(variance * float(np.sum(weights**2))) / float(np.sum(weights))


def step_doubt_w(sample: BoardSample) -> float:
    """Standard deviation of the total from rounding to steps. A steady load is rounded alike each time: more samples do not help."""
    return math.sqrt(
        math.fsum(sample.steps_w.get(rail, math.nan) ** 2 for rail in sample.total_rails) / 12
    )


def counter_doubt_w(samples: Sequence[BoardSample], mean_w: float) -> float:
    """Standard deviation of the total from the age of a counter at both ends of the window."""
    first, last = samples[0], samples[-1]
    return (
        mean_w
        * math.hypot(first.refresh_s, last.refresh_s)
        / math.sqrt(12)
        / (last.time_s - first.time_s)
    )


def throttled(samples: Sequence[BoardSample]) -> tuple[str, ...]:
    """Names of the counters that moved from the first sample to the last, and of what held the clocks back at any of them."""
    if not samples:
        return ()
    before, after = samples[0].throttle_events, samples[-1].throttle_events
    moved = {name for name, count in after.items() if name in before and count != before[name]}
    return tuple(sorted(moved.union(*(sample.throttling for sample in samples))))
