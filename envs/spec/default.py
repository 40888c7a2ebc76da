"""The default configuration of a space: the smallest start, found without listing the space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import FloatArray, Placements
from envs.spec.validity import VALID, judge, memory_mib

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace


def default_placements(space: ConfigurationSpace) -> Placements:
    """Return one instance of each tenant at its smallest batch, [T, A, 2].

    Each stands on the first accelerator that can serve it. Where that is too much together, all
    start on the accelerator where they need least memory, and tenants in order move to the first
    one that the others leave room for. The result is invalid where nothing else is valid, either.
    """
    tenants, accelerators = space.shape
    alone = np.zeros((tenants, accelerators, tenants, accelerators, 2), dtype=np.int16)
    for tenant in range(tenants):
        for column in range(accelerators):
            batches = space.batches_of(tenant, column) or space.batches
            alone[tenant, column, tenant, column] = (1, batches[0])
    possible = (space.encode(alone) >= 0).all(axis=-1)
    memory = memory_mib(space, alone.reshape(-1, *space.shape, 2)).reshape(space.shape)

    def cheapest(cost: FloatArray) -> Placements:
        chosen = np.where(possible, cost, np.inf).argmin(axis=1)
        return np.asarray(alone[range(tenants), chosen].sum(axis=0), dtype=np.int16)

    placements = cheapest(np.arange(accelerators, dtype=np.float64))
    if judge(space, placements[None])[0] == VALID:
        return placements
    placements = cheapest(memory)
    for tenant in range(tenants):
        moved = np.repeat(placements[None], accelerators, axis=0)
        moved[:, tenant] = alone[tenant, :, tenant]
        valid = judge(space, moved) == VALID
        if valid.any():
            placements = moved[valid.argmax()]
    return placements
