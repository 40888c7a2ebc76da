"""Say what each knob of a space can be set to: one tenant on one accelerator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import Placements, Rows
from envs.spec.checks import MAX_BATCH

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace


def every_setting(max_instances: int, batches: Sequence[int]) -> Placements:
    """Return every pair of instances and batch, [O, 2], unused first."""
    pairs = [(instances, batch) for instances in range(1, max_instances + 1) for batch in batches]
    return np.array([(0, 0), *pairs], dtype=np.int16)


def settings_of_knobs(space: ConfigurationSpace) -> tuple[Rows, ...]:
    """Return the options [O'] of each of the K knobs, some of [O] where there are limits."""
    fitting = []
    for each in space.device.accelerators:
        fits = np.ones(len(space.options), dtype=bool)
        if each.max_instances is not None:
            fits &= space.options[:, 0] <= each.max_instances
        if each.max_batch is not None:
            fits &= space.options[:, 1] <= each.max_batch
        fitting.append(np.flatnonzero(fits))
    tenants, accelerators = space.shape
    return tuple(
        fitting[accelerator][:1]
        if (tenant, accelerator) in space.closed
        else _with_batches(space, fitting[accelerator], tenant, accelerator)
        for tenant in range(tenants)
        for accelerator in range(accelerators)
    )


def knob_limits(space: ConfigurationSpace) -> tuple[Rows, Rows]:
    """Return the most instances [T, A] and the largest batch [A]."""
    devices, most = space.device.accelerators, space.max_instances
    instances = np.tile(
        [min(most, each.max_instances or most) for each in devices], (space.shape[0], 1)
    )
    for pair in space.closed:
        instances[pair] = 0
    return instances, np.array([each.max_batch or MAX_BATCH for each in devices])


def _with_batches(space: ConfigurationSpace, options: Rows, tenant: int, accelerator: int) -> Rows:
    """Return the options whose batch the pair can have."""
    gone = [b for t, a, b in space.unavailable_batches if (t, a) == (tenant, accelerator)]
    return options[~np.isin(space.options[options, 1], gone)] if gone else options
