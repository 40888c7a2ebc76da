"""Sharing of a device by its instances: cycle times, DRAM contention and power. Pure and batched.

GPU: instances share it by processor sharing. The GPU phase of every batch is stretched by one
factor, such that all of them together use the whole GPU. While an instance copies, launches or
waits, and where its kernels leave SMs idle, others run.
DLA: one batch at a time, first come first served; a cycle is never shorter than a whole round of
the core.
DRAM: beyond a threshold of traffic, accelerators slow each other in proportion, up to a plateau
(the shape of PCCS, MICRO 2021).

Arrays are [T, X, B] in single precision (a batch of each tenant at each position, for each row),
or [B] where a value belongs to the whole device; sums over instances then run along memory.
"""

from typing import NamedTuple

import numpy as np

from envs.arrays import IntArray, Single
from envs.errors import ConfigurationError
from envs.simulator.tables import DLA, GPU, POSITIONS, Contexts

#: Newton steps for the stretch; the third moves it by less than 0.1 % (a test compares the result
#: with bisection).
STEPS = 3

TINY = np.float32(1e-30)

Scalars = dict[str, Single]


class Batches(NamedTuple):
    """Costs of one batch that runs alone, [T, X, B] each, in the order of `tables.COSTS`."""

    host_s: Single
    gpu_s: Single
    exclusive_s: Single
    dla_s: Single
    gpu_bytes: Single
    dla_bytes: Single
    gpu_j: Single
    cv_j: Single


class Served(NamedTuple):
    """Instances in service: the configuration of each row, and the costs of their batches.

    Attributes:
        instances: [T, X, B].
        sizes: [T, X, B] batch sizes; 0 where unused.
        full: the batches of these sizes.
        first: [T, X, B] indices into `Contexts.columns` of batches of the smallest size.
    """

    instances: Single
    sizes: Single
    full: Batches
    first: IntArray


class Phases(NamedTuple):
    """The times of one batch beside the others, before the GPU's part is stretched.

    Attributes:
        fixed_s: [T, X, B] on the host and the DLA.
        gpu_s: [T, X, B] on the GPU.
        dla_s: [T, X, B] on the DLA, a part of `fixed_s`.
        demand_s: [T, X, B] GPU time that a batch of each instance takes from everybody else.
        round_s: [T, X, B] the shortest cycle, see `dla_round_s`.
        unused: [T, X, B], 1 where there is no instance, else 0.
        alone: [B] the stretch of an instance that has its share of the threads to itself.
        capacity: [B] of the GPU.
    """

    fixed_s: Single
    gpu_s: Single
    dla_s: Single
    demand_s: Single
    round_s: Single
    unused: Single
    alone: Single
    capacity: Single


def served_of(contexts: Contexts, rows: IntArray, instances: IntArray, levels: IntArray) -> Served:
    """Return the instances in service, see `respond` for the arguments.

    Raises:
        ConfigurationError: an instance stands on an accelerator that the device lacks.
    """
    unused = len(contexts.batches)
    number: Single = np.ascontiguousarray(instances.transpose(1, 2, 0)).astype(np.float32)
    level = np.where(number > 0, levels.transpose(1, 2, 0), unused)
    slots = np.arange(contexts.tenants * POSITIONS).reshape(-1, POSITIONS, 1)
    start = (rows * slots.size + slots) * (unused + 1)
    full = batches_at(contexts, start + level)
    if np.isnan(full.gpu_s).any():
        raise ConfigurationError(
            "an instance stands on an accelerator that the device lacks: take configurations from"
            " the device's own space"
        )
    sizes = np.append(contexts.batches, 0).astype(np.float32)[level]
    return Served(number, sizes, full, start + np.where(number > 0, 0, unused))


def batches_at(contexts: Contexts, indices: IntArray) -> Batches:
    """Return the batches of indices [T, X, B] into `Contexts.columns`."""
    return Batches(*(column.take(indices) for column in contexts.columns))


def phases_of(served: Served, scalars: Scalars) -> Phases:
    """Return the phases before DRAM contention."""
    number, full = served.instances, served.full
    threads = np.maximum(
        np.float32(1), scalars["threads"] / np.maximum(number.sum(axis=(0, 1)), np.float32(1))
    )
    alone = threads ** -scalars["threads_exponent"]
    on_gpu = number[:, GPU].sum(axis=(0, 1))
    crowd = (1 + scalars["interference"] * np.maximum(on_gpu - 1, 0)) / scalars["clock"]
    gpu_s, dla_s = full.gpu_s * crowd, full.dla_s / scalars["clock"]
    demand_s = number * full.exclusive_s * (crowd * threads * alone)
    fixed_s, round_s = full.host_s + dla_s, dla_round_s(number * dla_s)
    unused = (number == 0).astype(np.float32)

    cycle_s = np.maximum(fixed_s + gpu_s * alone, round_s) + unused
    share = (demand_s / cycle_s).sum(axis=0)
    first, second = share[GPU]
    both = first + second
    overlap = 4 * scalars["pipe_overlap"] * first * second / np.maximum(both * both, TINY)
    capacity = scalars["capacity"] * (1 - scalars["other_gpu"]) * (1 + overlap)
    # The GPU's part of a DLA batch waits for a kernel of another instance where one runs.
    gpu_s[:, DLA] *= 1 + np.minimum(share.sum(axis=0) - share[DLA], 1)
    return Phases(fixed_s, gpu_s, dla_s, demand_s, round_s, unused, alone, capacity)


def dla_round_s(work_s: Single) -> Single:
    """Return how long a DLA core takes for one batch of all instances on it, [T, X, B].

    `work_s` is the DLA time of a batch of each; the result is 0 on the GPU.
    """
    rounds = np.zeros_like(work_s)
    rounds[:, DLA] = work_s[:, DLA].sum(axis=0)
    return rounds


def cycles(phases: Phases, start: Single, steps: int = STEPS) -> tuple[Single, Single]:
    """Return cycle times [T, X, B] and the stretch [B] at which all GPU phases fill the capacity.

    Newton's method on the reciprocal of the use, from the stretch `start`. The reciprocal is a
    straight line where one kind of instance runs, so that one step solves that case.
    """
    stretch = start
    for step in range(steps + 1):
        free_s = phases.fixed_s + phases.gpu_s * stretch
        cycle_s = np.maximum(free_s, phases.round_s) + phases.unused
        if step == steps:
            break
        use = phases.demand_s / cycle_s
        total = use.sum(axis=(0, 1))
        steep = use * phases.gpu_s / cycle_s
        falling = (steep * (free_s >= phases.round_s)).sum(axis=(0, 1))
        # Where all instances wait for their DLA core, stretching the GPU's part changes nothing
        # yet: step as if none of them did.
        falling = np.where(falling > 0, falling, steep.sum(axis=(0, 1)))
        excess = total * (total / phases.capacity - 1) / np.maximum(falling, TINY)
        stretch = np.maximum(stretch + excess, phases.alone)
    return cycle_s, stretch


def with_contention(served: Served, phases: Phases, cycle_s: Single, scalars: Scalars) -> Phases:
    """Return the phases under the DRAM traffic of the given cycle times [T, X, B]."""
    rate = served.instances / cycle_s
    gpu_traffic = (rate * served.full.gpu_bytes).sum(axis=(0, 1))
    dla_traffic = (rate * served.full.dla_bytes)[:, DLA].sum(axis=0)
    traffic = gpu_traffic + dla_traffic[0] + dla_traffic[1] + scalars["other_byte_s"]
    above = np.minimum(
        np.maximum(traffic / scalars["dram_byte_s"] - scalars["contention_threshold"], 0),
        scalars["contention_plateau"],
    )
    slope = scalars["contention_slope"] * above / np.maximum(traffic, TINY)
    slower = 1 + slope * (traffic - gpu_traffic)
    dla_s = phases.dla_s.copy()
    dla_s[:, DLA] *= 1 + slope * (traffic - dla_traffic)
    return phases._replace(
        fixed_s=served.full.host_s + dla_s,
        gpu_s=phases.gpu_s * slower,
        dla_s=dla_s,
        demand_s=phases.demand_s * slower,
        round_s=dla_round_s(served.instances * dla_s),
    )


def launch_factor(served: Served, cycle_s: Single, scalars: Scalars) -> Single:
    """Return the factor [B] on cycle times where instances wait for each other to launch."""
    launching = (served.instances * served.full.host_s / cycle_s).sum(axis=(0, 1))
    return np.asarray(np.maximum(1, launching * scalars["launch_lock"]))


def rails_and_share(full: Batches, rate: Single, scalars: Scalars) -> tuple[Single, Single]:
    """Return watts [3, B] by rail and the share [B] of the work that the power limit allows.

    Args:
        full: the batches in service.
        rate: [T, X, B] batches per second, if there were no limit.
        scalars: [B] each.
    """
    added_w = np.stack(
        [
            (rate * full.gpu_j).sum(axis=(0, 1)),
            (rate * full.cv_j).sum(axis=(0, 1)),
            (rate * (full.gpu_bytes + full.dla_bytes)).sum(axis=(0, 1)) * scalars["byte_j"],
        ]
    )
    idle_w = np.stack([scalars[f"idle_{rail}_w"] for rail in ("gpu", "cv", "sys")])
    allowed_w = np.maximum(scalars["max_power_w"] - idle_w.sum(axis=0), 0.1)
    share = np.minimum(1, allowed_w / np.maximum(added_w.sum(axis=0), TINY))
    return idle_w + added_w * share, share
