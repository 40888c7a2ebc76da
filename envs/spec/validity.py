"""The one judge of validity.

Masks, enumeration, search, replay and every runtime ask `judge`. It sees whole configurations, because what makes one
impossible is mostly joint: memory and loadables are shared by all tenants, and a tenant with no instance anywhere is not served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace

VALID = 0
OUTSIDE, UNSERVED, TOTAL, FIXED_BATCH, LOADABLES, MEMORY = range(1, 7)

#: What one instance takes beside its weights and activations (runtime, arena, threads). Measured on ONNX Runtime 1.31 with a
#: 1.2-million-parameter network: 25 to 40 MiB a session; rounded up.
INSTANCE_MIB = 48.0


def judge(space: ConfigurationSpace, placements: npt.NDArray[np.integer]) -> npt.NDArray[np.int8]:
    """Why each configuration is impossible, VALID (0) where it is not.

    Args:
        placements: [N, T, A, 2].

    Returns:
        [N] codes; `reason` puts one in words. The first reason in the order of the codes wins.
    """
    instances = placements[..., 0].astype(np.int64)
    batch = placements[..., 1].astype(np.int64)
    total = instances.sum(axis=(1, 2))
    limit = space.max_total_instances
    faults = (
        (MEMORY, memory_mib(space, placements) > space.device.memory_mib),
        (LOADABLES, _too_many_loadables(space, instances)),
        (FIXED_BATCH, _wrong_batch(space, instances, batch)),
        (TOTAL, total > limit if limit is not None else np.zeros(len(total), bool)),
        (UNSERVED, (instances.sum(axis=2) == 0).any(axis=1)),
        (OUTSIDE, (space.encode(placements) < 0).any(axis=1)),
    )
    codes = np.zeros(len(placements), dtype=np.int8)
    for (
        code,
        broken,
    ) in faults:  # later ones overwrite: the order is from the last reason to the first
        codes[broken] = code
    return codes


def memory_mib(
    space: ConfigurationSpace, placements: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """An estimate of what the instances of [N, T, A, 2] fill, in MiB, [N]: weights and peak activations at each one's precision."""
    instances, batch = placements[..., 0].astype(np.float64), placements[..., 1].astype(np.float64)
    networks = [tenant.network for tenant in space.workload.tenants]
    weights = np.array([network.weight_bytes for network in networks], dtype=np.float64)[:, None]
    activations = np.array([network.activation_bytes for network in networks], dtype=np.float64)[
        :, None
    ]
    share = np.array([accelerator.weight_bytes / 4 for accelerator in space.device.accelerators])[
        None, :
    ]
    each = INSTANCE_MIB + (weights + activations * batch) * share / 2**20
    filled: npt.NDArray[np.float64] = (instances * each).sum(axis=(1, 2))
    return filled


def _wrong_batch(
    space: ConfigurationSpace, instances: npt.NDArray[np.int64], batch: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    broken = np.zeros(len(instances), dtype=bool)
    for position, tenant in enumerate(space.workload.tenants):
        if tenant.network.fixed_batch is not None:
            broken |= (
                (instances[:, position] > 0) & (batch[:, position] != tenant.network.fixed_batch)
            ).any(axis=1)
    return broken


def _too_many_loadables(
    space: ConfigurationSpace, instances: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    held = instances.sum(axis=1)
    limits = np.array(
        [
            np.inf if each.max_loadables is None else each.max_loadables
            for each in space.device.accelerators
        ]
    )
    broken: npt.NDArray[np.bool_] = (held > limits).any(axis=1)
    return broken


def reason(space: ConfigurationSpace, code: int) -> str:
    """A code of `judge` in words."""
    fixed = {
        tenant.name: tenant.network.fixed_batch
        for tenant in space.workload.tenants
        if tenant.network.fixed_batch is not None
    }
    return {
        VALID: "valid",
        OUTSIDE: f"instances must lie in 0..{space.max_instances} and batch in {list(space.batches)} (both 0 where unused){_own_limits(space)}",
        UNSERVED: "a tenant has no instance on any accelerator",
        TOTAL: f"more than {space.max_total_instances} instances in total (space.max_total_instances)",
        FIXED_BATCH: f"the batch is not the one the network was exported with ({fixed}); export it with a symbolic batch, or set space.batches",
        LOADABLES: "more instances than an accelerator holds loadables",
        MEMORY: f"the instances do not fit into {space.device.memory_mib:.0f} MiB of memory",
    }[code]


def _own_limits(space: ConfigurationSpace) -> str:
    """What accelerators allow where that is less than the space does, in words."""
    parts = [
        f"{each.name} at most {min(each.max_instances or space.max_instances, space.max_instances)} instances of batch {each.max_batch or max(space.batches)}"
        for each in space.device.accelerators
        if each.max_instances is not None or each.max_batch is not None
    ]
    return f"; {', '.join(parts)}" if parts else ""
