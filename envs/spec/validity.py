"""The one judge of validity.

Masks, enumeration, search, replay and every runtime call `judge`. It is given whole configurations,
because most limits are joint: all tenants share memory and loadables, and a tenant without any
instance is not served.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from envs.arrays import BoolArray, IntArray, Rows
from envs.spec.memory import memory_mib as memory_mib

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace

VALID = 0
UNAVAILABLE, OUTSIDE, UNSERVED, TOTAL, FIXED_BATCH, LOADABLES, MEMORY, PRECISIONS, SEGMENTS = range(
    1, 10
)


def judge(space: ConfigurationSpace, placements: IntArray) -> npt.NDArray[np.int8]:
    """Return why each configuration is impossible, VALID (0) where it is possible.

    Args:
        space: where the configurations are to be served.
        placements: [N, T, A, 2].

    Returns:
        Codes [N], the lowest one that applies; `reason` writes one as text.
    """
    instances = placements[..., 0].astype(np.int64)
    batch = placements[..., 1].astype(np.int64)
    total = instances.sum(axis=(1, 2))
    limit = space.max_total_instances
    faults = {
        UNAVAILABLE: _unavailable(space, instances, batch),
        OUTSIDE: (space.encode(placements) < 0).any(axis=1),
        UNSERVED: _unserved(space, instances),
        TOTAL: total > limit if limit is not None else np.zeros(len(total), bool),
        FIXED_BATCH: _wrong_batch(space, instances, batch),
        LOADABLES: _too_many_loadables(space, instances),
        MEMORY: memory_mib(space, placements) > space.device.memory_mib,
        PRECISIONS: _mixed_precisions(space, instances),
        SEGMENTS: _mixed_segments(space, instances),
    }
    codes = np.zeros(len(placements), dtype=np.int8)
    for code in sorted(faults, reverse=True):  # lower codes overwrite higher ones
        codes[faults[code]] = code
    return codes


def _unavailable(space: ConfigurationSpace, instances: Rows, batch: Rows) -> BoolArray:
    pairs = np.zeros(space.shape, dtype=bool)
    for pair in space.closed:
        pairs[pair] = True
    used = instances > 0
    broken = np.asarray((used & pairs).any(axis=(1, 2)))
    for tenant, accelerator, size in space.unavailable_batches:
        broken |= used[:, tenant, accelerator] & (batch[:, tenant, accelerator] == size)
    return broken


def _unserved(space: ConfigurationSpace, instances: Rows) -> BoolArray:
    """Return where a tenant that has to be served is not, or none is served."""
    without = instances.sum(axis=2) == 0
    needed = [each for each in range(space.shape[0]) if each not in space.optional]
    broken: BoolArray = without[:, needed].any(axis=1) | without.all(axis=1)
    return broken


def _mixed_precisions(space: ConfigurationSpace, instances: Rows) -> BoolArray:
    """Return where a tenant is served at several precisions, one of which nobody judged."""
    mixed = np.zeros(len(instances), dtype=bool)
    devices = space.device.accelerators
    same = [each.weight_bytes if each.mapping is None else each.engine for each in devices]
    for tenant, accelerator in space.unjudged:
        others = [column for column, each in enumerate(same) if each != same[accelerator]]
        mixed |= (instances[:, tenant, accelerator] > 0) & (instances[:, tenant, others] > 0).any(
            axis=1
        )
    return mixed


def _mixed_segments(space: ConfigurationSpace, instances: Rows) -> BoolArray:
    """Return where a tenant runs in several numbers of segments on one accelerator."""
    mixed = np.zeros(len(instances), dtype=bool)
    wholes = [each.whole for each in space.device.accelerators]
    for whole in {each.whole for each in space.device.accelerators if each.segments > 1}:
        same = [column for column, name in enumerate(wholes) if name == whole]
        mixed |= ((instances[:, :, same] > 0).sum(axis=2) > 1).any(axis=1)
    return mixed


def _wrong_batch(space: ConfigurationSpace, instances: Rows, batch: Rows) -> BoolArray:
    broken = np.zeros(len(instances), dtype=bool)
    for position, tenant in enumerate(space.workload.tenants):
        if tenant.network.fixed_batch is not None:
            broken |= (
                (instances[:, position] > 0) & (batch[:, position] != tenant.network.fixed_batch)
            ).any(axis=1)
    return broken


def _too_many_loadables(space: ConfigurationSpace, instances: Rows) -> BoolArray:
    """Return where the plans that are loaded take more loadables than an accelerator holds.

    Each block of a plan that runs on a DLA is one loadable (NVIDIA, TensorRT developer guide,
    "Working with DLA"). All instances of a tenant there share the loadables of one plan. A DLA core
    holds those of whole networks and of mappings together.
    """
    devices = space.device.accelerators
    blocks = np.tile([max(1, each.dla_parts) for each in devices], (space.shape[0], 1))
    for tenant, accelerator, count in space.blocks:
        blocks[tenant, accelerator] = count
    loaded = ((instances > 0) * blocks).sum(axis=1)
    broken = np.zeros(len(instances), dtype=bool)
    for resource in dict.fromkeys(each.resource for each in devices if each.max_loadables):
        same = [column for column, each in enumerate(devices) if each.resource == resource]
        limit = min(devices[column].max_loadables or math.inf for column in same)
        broken |= loaded[:, same].sum(axis=1) > limit
    return broken


def reason(space: ConfigurationSpace, code: int) -> str:
    """Return a code of `judge` as text."""
    fixed = {
        tenant.name: tenant.network.fixed_batch
        for tenant in space.workload.tenants
        if tenant.network.fixed_batch is not None
    }
    names, accelerators = space.workload.names, space.device.accelerator_names
    pairs, unjudged = (
        ", ".join(f"{names[t]} on {accelerators[a]}" for t, a in sorted(each))
        for each in (space.unavailable, space.unjudged)
    )
    pairs = ", ".join(
        [
            *([pairs] if pairs else []),
            *(
                f"{names[t]} on {accelerators[a]} at batch {b}"
                for t, a, b in sorted(space.unavailable_batches)
                if (t, a) not in space.unavailable
            ),
        ]
    )
    return {
        VALID: "valid",
        UNAVAILABLE: f"there is no engine, or none with right answers, for {pairs}"
        + _closed_to_some(space),
        OUTSIDE: f"instances must lie in 0..{space.max_instances} and batch in"
        f" {list(space.batches)} (both 0 where unused){_own_limits(space)}",
        UNSERVED: "a tenant has no instance on any accelerator",
        TOTAL: f"more than {space.max_total_instances} instances in total (max_total_instances)",
        FIXED_BATCH: f"the batch is not the only one that the network can be served with ({fixed});"
        " export it with a symbolic batch, or set batches",
        LOADABLES: "the engines take more loadables than an accelerator holds: each block of layers"
        " on a DLA is one",
        MEMORY: f"the instances do not fit into {space.device.memory_mib:.0f} MiB of memory",
        PRECISIONS: f"the answers of {unjudged} were never compared with FP32, so that no other"
        " precision may serve beside them",
        SEGMENTS: "a tenant runs in several numbers of segments on one accelerator: choose one",
    }[code]


def _closed_to_some(space: ConfigurationSpace) -> str:
    """Return as text what is closed to some tenants: segments to critical ones, and mappings."""
    devices, several = space.device.accelerators, space.shape[0] > 1
    cut = [each.name for each in devices if each.segments > 1]
    mapped = [each.name for each in devices if each.mapping is not None and several]
    return (f"; critical tenants do not run in segments ({', '.join(cut)})" if cut else "") + (
        "; a mapping serves no other network than it was chosen for" if mapped else ""
    )


def _own_limits(space: ConfigurationSpace) -> str:
    """Return as text where an accelerator allows less than the space does."""
    most, largest = space.max_instances, max(space.batches)
    parts = [
        f"{each.name} at most {min(each.max_instances or most, most)} instances of batch"
        f" {each.max_batch or largest}"
        for each in space.device.accelerators
        if each.max_instances is not None or each.max_batch is not None
    ]
    return f"; {', '.join(parts)}" if parts else ""
