"""The last resort: the processor's cores serve when the GPU and the DLAs cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from envs.accuracy.judging import Examined
from envs.spec import Configuration, ConfigurationSpace, Kind

#: The accelerator of the last resort: ONNX Runtime on the processor's cores.
RESERVE = "cpu_fp32"


def without_reserve(space: ConfigurationSpace, reserve: bool) -> ConfigurationSpace:
    """Return the space in which the processor is no choice, where it is the last resort only."""
    kinds = {each.kind for each in space.device.accelerators}
    if not reserve or Kind.CPU not in kinds or len(kinds) == 1:
        return space
    column = space.device.accelerator_names.index(RESERVE)
    pairs = {(tenant, column) for tenant in range(space.shape[0])}
    return replace(space, unavailable=space.unavailable | pairs)


def reserve_of(space: ConfigurationSpace, examined: Sequence[Examined]) -> Configuration | None:
    """Return one instance of each tenant on the processor; None if it cannot load them."""
    if any(each.unloadable for each in examined):
        return None
    placements = np.zeros((*space.shape, 2), dtype=np.int16)
    column = space.device.accelerator_names.index(RESERVE)
    for tenant, each in enumerate(space.workload.tenants):
        placements[tenant, column] = (1, each.network.fixed_batch or space.batches[0])
    return Configuration.of(placements)
