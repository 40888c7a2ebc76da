"""Tell what a change of configuration costs: seconds, requests that it delays, and joules.

The numbers are those of the table in `envs.spec.change_cost`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.arrays import FloatArray, IntArray
from envs.spec.build_times import common_of
from envs.spec.change_cost import CHANGE_W, DELAYED_SHARE, OTHER_CHANGE_W, change_s

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace

#: Standard deviations of the logarithm of a change's seconds over those of the table: what all
#: changes on a device share, which is that of the table's numbers, and what is a change's own.
#: The latter is assumed.
COMMON_SD, OWN_SD = 0.7, 0.5


class ChangeCost(NamedTuple):
    """The cost of changes, [...].

    Attributes:
        seconds: until the new configuration serves.
        requests: that arrive meanwhile and have to wait.
        joules: beside what serving takes.
    """

    seconds: FloatArray
    requests: FloatArray
    joules: FloatArray


def change_cost(
    space: ConfigurationSpace,
    before: IntArray | None,
    after: IntArray,
    rates_ips: Sequence[float] | None = None,
) -> ChangeCost:
    """Return what changes cost where every engine is built.

    What served goes on serving until the new instances are there. All requests of a tenant that had
    no instance wait for the change, and a share of those of the others (`DELAYED_SHARE`).

    Args:
        space: of the configurations.
        before: [..., T, A, 2], what serves; None for nothing.
        after: [..., T, A, 2], broadcast against `before`.
        rates_ips: [T], what arrives; by default as the workload says. Of a closed loop, whose rate
            is infinite, nothing arrives that could wait.
    """
    seconds = change_s(space, before, after)
    rates = np.array(space.workload.rates_ips if rates_ips is None else rates_ips, dtype=float)
    requests = seconds * (
        delayed_shares(before, after) * np.where(np.isinf(rates), 0.0, rates)
    ).sum(axis=-1)
    return ChangeCost(seconds, requests, seconds * change_w(space))


def delayed_shares(before: IntArray | None, after: IntArray) -> FloatArray:
    """Return the share [..., T] of each tenant's requests that wait while a change lasts."""
    old = np.zeros_like(after) if before is None else before
    had, wanted = (each[..., 0].sum(axis=-1) > 0 for each in (old, after))
    return np.where(wanted, np.where(had, DELAYED_SHARE.value, 1.0), 0.0)


def change_w(space: ConfigurationSpace) -> float:
    """Return the watts that a change takes beside serving."""
    name = space.device.name
    return next((cost for part, cost in CHANGE_W.items() if part in name), OTHER_CHANGE_W).value


@dataclass(frozen=True)
class ChangeTimes:
    """Learn from the changes that were made how long they take on a device, beside the table.

    Attributes:
        count: changes that were seen.
        excess: sum over those of the logarithm of seconds over the seconds of the table.
    """

    count: int = 0
    excess: float = 0.0

    def after(self, table_s: float, took_s: float) -> ChangeTimes:
        """Return what is known after another change; one that took no time tells nothing."""
        if not (table_s > 0 and took_s > 0):
            return self
        return ChangeTimes(self.count + 1, self.excess + math.log(took_s / table_s))

    @property
    def factor(self) -> float:
        """Return the median of the seconds of a change over those of the table; 1 at first."""
        mean, _ = common_of(np.array(self.count), np.array(self.excess), COMMON_SD, OWN_SD)
        return math.exp(float(mean))
