"""Shed best effort: what it has becomes the least, so that critical tenants keep their limits."""

from __future__ import annotations

import numpy as np

from envs.spec import Configuration, ConfigurationSpace
from envs.spec.validity import VALID, judge


def without_best_effort(
    space: ConfigurationSpace, configuration: Configuration
) -> Configuration | None:
    """Return the configuration in which best effort has the least; None where it has that already.

    The critical tenants keep what they have. A tenant of best effort that need not be served has
    nothing; another one has a single instance at its smallest batch, on an accelerator that serves
    it now, away from the critical tenants if it can be, in as many segments as there are.
    """
    placements = configuration.array()
    accelerators = space.device.accelerators
    critical = [row for row, low in enumerate(space.workload.best_effort) if not low]
    used = {
        name for column in _used(placements[critical]) for name in accelerators[column].resources
    }
    for tenant, low in enumerate(space.workload.best_effort):
        if not low or not placements[tenant].any():
            continue
        own = _used(placements[[tenant]])
        placements[tenant] = 0
        if tenant in space.optional:
            continue
        column = min(
            own, key=lambda each: (bool(used.intersection(accelerators[each].resources)), each)
        )
        same = [
            other
            for other, each in enumerate(accelerators)
            if each.whole == accelerators[column].whole and (tenant, other) not in space.closed
        ]
        column = max(same, key=lambda each: accelerators[each].segments)
        placements[tenant, column] = (1, (space.batches_of(tenant, column) or space.batches)[0])
    least = Configuration.of(placements)
    if least == configuration or judge(space, placements[None])[0] != VALID:
        return None
    return least


def _used(placements: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> list[int]:
    """Return the columns [A] in which some of the tenants [T, A, 2] have instances."""
    return [int(each) for each in np.flatnonzero(placements[:, :, 0].any(axis=0))]
