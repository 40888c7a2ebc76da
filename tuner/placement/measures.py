"""Measures of several networks that share a device: pure functions of rates, times and windows.

Progress is the rate of a tenant beside the others over its rate alone. System throughput and the
average normalised turnaround time are those of Eyerman and Eeckhout (IEEE Micro 28(3), 2008), the
fairness is that of Jain, Chiu and Hawe (DEC TR-301, 1984).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.arrays import FloatArray
from envs.belief.local_search import LocalSearch, starts
from envs.simulator.device_model import DeviceModel
from envs.spec import Objective

#: Windows of tenants that overlap less than this measure a tenant alone for part of the time.
ENOUGH_OVERLAP = 0.9


def progress(shared_ips: FloatArray, alone_ips: FloatArray) -> FloatArray:
    """Return the rates [..., T] beside the others as shares of those alone [..., T]."""
    return np.asarray(np.asarray(shared_ips) / np.asarray(alone_ips))


def system_throughput(shared_ips: FloatArray, alone_ips: FloatArray) -> FloatArray:
    """Return the sum of the tenants' progress [...]: how many devices of their own they are worth.

    Args:
        shared_ips: [..., T] beside the others.
        alone_ips: [..., T] alone.
    """
    return np.asarray(progress(shared_ips, alone_ips).sum(axis=-1))


def average_normalised_turnaround(shared_ips: FloatArray, alone_ips: FloatArray) -> FloatArray:
    """Return the mean [...] of how many times longer an inference takes a tenant than alone.

    It is infinite where a tenant is not served. Arguments as of `system_throughput`.
    """
    with np.errstate(divide="ignore"):
        return np.asarray((1.0 / progress(shared_ips, alone_ips)).mean(axis=-1))


def fairness(shared_ips: FloatArray, alone_ips: FloatArray) -> FloatArray:
    """Return Jain's index [...] of the tenants' progress: 1 where equal, 1/T where one has all.

    It is NaN where no tenant is served. Arguments as of `system_throughput`.
    """
    each = progress(shared_ips, alone_ips)
    with np.errstate(invalid="ignore"):
        return np.asarray(each.sum(axis=-1) ** 2 / (each.shape[-1] * (each**2).sum(axis=-1)))


def inferences_per_joule(throughput_ips: FloatArray, power_w: FloatArray) -> FloatArray:
    """Return all tenants' inferences per joule [...], NaN where no power was read.

    Args:
        throughput_ips: [..., T].
        power_w: [...].
    """
    return np.asarray(np.asarray(throughput_ips).sum(axis=-1) / np.asarray(power_w))


def overlap(starts_s: FloatArray, ends_s: FloatArray) -> FloatArray:
    """Return the share [...] of the time from the first start to the last end in which all run.

    Args:
        starts_s: [..., T], of the tenants' windows.
        ends_s: [..., T], after the starts.
    """
    first, last = np.asarray(starts_s), np.asarray(ends_s)
    common = np.maximum(last.min(axis=-1) - first.max(axis=-1), 0.0)
    return np.asarray(common / (last.max(axis=-1) - first.min(axis=-1)))


def overlap_warning(starts_s: FloatArray, ends_s: FloatArray) -> str:
    """Return a sentence where windows [T] overlap too little; empty where they are as one."""
    share = float(overlap(starts_s, ends_s))
    if share >= ENOUGH_OVERLAP:
        return ""
    return (
        f"the tenants' windows overlap by {100 * share:.0f} %, below {100 * ENOUGH_OVERLAP:.0f} %:"
        " some of them ran alone for part of the time"
    )


def calibrated_counts(alone_ips: FloatArray, window_s: float) -> Sequence[int]:
    """Return how many inferences of each tenant [T] fill a common window, at least one each.

    The rates are those at which they run in that window; where only rates alone are known, windows
    of tenants that slow down differently overlap less, see `overlap`.
    """
    return [max(1, round(float(rate) * window_s)) for rate in np.asarray(alone_ips)]


def rates_alone(model: DeviceModel, objective: Objective) -> FloatArray:
    """Return the most [T] that each tenant reaches alone on the device, by the fitted model.

    It keeps its own limits; where it cannot, it is the rate of what comes closest.

    Args:
        model: of the device with all tenants.
        objective: the limits of all tenants.
    """
    rates = np.zeros(model.space.shape[0])
    for tenant in range(len(rates)):
        own = model.of_tenants([tenant])
        limits = Objective((objective.p99_ms[tenant],), objective.power_w)
        found = LocalSearch(own, own.nominal(), limits)
        found.add(starts(own.space, np.random.default_rng(0)))
        found.run()
        best = found.placements(found.best(0, 0.0)[:1])
        rates[tenant] = float(np.exp(own.logarithms(own.nominal(), best)[0, 0, 0]))
    return rates
