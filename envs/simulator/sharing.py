"""Sharing of a device by its instances: cycle times and DRAM contention. Pure and batched.

GPU: instances share it by processor sharing. An instance finds on the GPU what the others have
there (the arrival theorem to first order, exact for two equal instances), and all of them together
use at most the whole GPU. So further instances gain the time in which the GPU would wait for the
host, and next to nothing where one instance keeps it busy.
Host: the part of the host's time that only one instance can have at a time (an interpreter's lock)
is shared in the same way.
DLA: one batch at a time, first come first served; a cycle is never shorter than a whole round of
the core. An engine that leaves layers or formats to the GPU waits there for its turn each time.
Mappings: an instance works on the GPU and on a DLA core in turn, see `mapped`.
DRAM: beyond a threshold of traffic, accelerators slow each other in proportion, up to a plateau
(the shape of PCCS, MICRO 2021).

Arrays are [T, X, B] in single precision (a batch of each tenant at each position, for each row),
or [B] where a value belongs to the whole device; sums over instances then run along memory.
"""

import numpy as np

from envs.arrays import IntArray, Single
from envs.errors import ConfigurationError
from envs.simulator.cycles import STEPS, cycles_of
from envs.simulator.in_service import TINY, Batches, Phases, Scalars, Served
from envs.simulator.mapped import Mapped, by_core, gpu_positions
from envs.simulator.priority import (
    classes_of,
    cycles_by_class,
    dla_round_s,
    threads_by_class,
    use_by_class,
)
from envs.simulator.tables import DLA, GPU, Contexts


def served_of(
    contexts: Contexts,
    rows: IntArray,
    instances: IntArray,
    levels: IntArray,
    segments: IntArray | None = None,
) -> Served:
    """Return the instances in service, see `respond` for the arguments.

    Raises:
        ConfigurationError: an instance stands on an accelerator that the device lacks.
    """
    unused = len(contexts.batches)
    number: Single = np.ascontiguousarray(instances.transpose(1, 2, 0)).astype(np.float32)
    level = np.where(number > 0, levels.transpose(1, 2, 0), unused)
    slots = np.arange(contexts.tenants * contexts.positions).reshape(-1, contexts.positions, 1)
    start = (rows * slots.size + slots) * (unused + 1)
    full = batches_at(contexts, start + level)
    if np.isnan(full.gpu_s).any():
        raise ConfigurationError(
            "an instance stands on an accelerator that the device lacks: take configurations from"
            " the device's own space"
        )
    sizes = np.append(contexts.batches, 0).astype(np.float32)[level]
    classes = classes_of(contexts, rows, segments)
    if classes is not None:
        more_s = (classes.segments - 1) * contexts.scalars["segment_s"][rows]
        full = full._replace(host_s=full.host_s + more_s * (number > 0))
    first, mapped = start + np.where(number > 0, 0, unused), _mapped(contexts, rows, full)
    return Served(number, sizes, full, first, classes, mapped=mapped)


def _mapped(contexts: Contexts, rows: IntArray, full: Batches) -> Mapped | None:
    """Return the mappings of B rows; None where there are none."""
    core = contexts.mapped_core[rows].T
    if not len(core):
        return None
    where = contexts.layout.mappings
    gpu_s, dla_s = full.gpu_s[:, where], full.dla_s[:, where]
    on_core = (core == np.arange(2)[:, None, None]).astype(np.float32)
    return Mapped(on_core, gpu_s / np.maximum(gpu_s + dla_s, TINY))


def batches_at(contexts: Contexts, indices: IntArray) -> Batches:
    """Return the batches of indices [T, X, B] into `Contexts.columns`."""
    return Batches(*(column.take(indices) for column in contexts.columns))


def phases_of(served: Served, scalars: Scalars) -> Phases:
    """Return the phases before DRAM contention."""
    number, full, mapped = served.instances, served.full, served.mapped
    gpu = gpu_positions(mapped)
    if served.classes is None:
        threads = np.maximum(
            np.float32(1),
            scalars["threads"] / np.maximum(number[:, gpu].sum(axis=(0, 1)), np.float32(1)),
        )
    else:
        threads = threads_by_class(number[:, gpu], served.classes, scalars)
    alone = threads ** -scalars["threads_exponent"]
    on_gpu = number[:, GPU].sum(axis=(0, 1))
    if mapped is not None:  # they are there for a part of their time
        on_gpu = on_gpu + (number[:, mapped.positions] * mapped.gpu_share).sum(axis=(0, 1))
    crowd = (1 + scalars["interference"] * np.maximum(on_gpu - 1, 0)) / scalars["clock"]
    dla_s = full.dla_s / scalars["clock"]
    phases = Phases(
        host_s=full.host_s,
        gpu_s=full.gpu_s * crowd,
        dla_s=dla_s,
        exclusive_s=full.exclusive_s * (crowd * threads * alone),
        switching_s=np.zeros_like(number),
        round_s=dla_round_s(number * dla_s, served.classes, mapped),
        unused=(number == 0).astype(np.float32),
        stretch=np.broadcast_to(alone, number.shape),
        alone=alone,
        capacity=scalars["capacity"] * (1 - scalars["other_gpu"]),
    )
    return with_waits(served, phases, np.float32(0), scalars)


def with_waits(
    served: Served, phases: Phases, least_s: Single | np.float32, scalars: Scalars
) -> Phases:
    """Return the phases with what each instance waits for others.

    The others have the cycles of instances that run alone, or `least_s` [T, X, B] where that is
    longer. A plain computer's scheduler has no such waits before its cores are all in use.
    """
    number, full, mapped = served.instances, served.full, served.mapped
    gpu = gpu_positions(mapped)
    board = scalars["threads"] == 0
    alone_s = full.host_s + phases.dla_s + phases.gpu_s * phases.alone
    cycle_s = np.maximum(np.maximum(alone_s, phases.round_s), least_s) + phases.unused
    own = phases.exclusive_s / cycle_s
    use = (number * own).sum(axis=0)
    (first, second), on_dla = use[GPU], use[DLA]
    busy = np.minimum(first + second, 1)
    if mapped is not None:
        second = second + use[mapped.positions].sum(axis=0)
    on_gpu = first + second
    overlap = 4 * first * second / np.maximum(on_gpu * on_gpu, TINY)
    overlap = 1 + scalars["pipe_overlap"] * overlap
    stretch = np.broadcast_to(phases.alone, number.shape).copy()
    found: Single = on_gpu
    if served.classes is not None:
        found = use_by_class((number * own)[:, gpu], served.classes)
    others = np.maximum(found - own[:, gpu], 0) * board
    stretch[:, gpu] *= np.maximum(1, (1 + others) / overlap)

    held = full.host_s * scalars["launch_lock"]
    host = held / cycle_s
    queue = np.maximum((number * host).sum(axis=(0, 1)) - host, 0)
    wait_s = held * queue * board

    # A turn on the GPU comes after a slice of an instance there, or after a turn of the other DLA.
    turns = full.turns[:, DLA]
    turn_s = phases.gpu_s[:, DLA] / np.maximum(turns, 1) + scalars["switch_s"]
    other_s = (number[:, DLA] * turn_s).sum(axis=0) / np.maximum(number[:, DLA].sum(axis=0), 1)
    beside_s = (on_dla * other_s)[::-1]
    switching_s = np.zeros_like(number)
    if mapped is not None:
        where = mapped.positions
        slice_s = busy * scalars["slice_s"] + mapped.from_cores(beside_s) * (1 - busy)
        wait_s[:, where] += full.turns[:, where] * slice_s
        switched = np.maximum(on_gpu - own[:, where], 0) + mapped.from_cores(on_dla[::-1])
        switching_s[:, where] = full.turns[:, where] * scalars["switch_s"] * np.minimum(switched, 1)
        piece_s = phases.gpu_s[:, where] / np.maximum(full.turns[:, where], 1)
        beside_s = beside_s + ((number * own)[:, where] * piece_s).sum(axis=(0, 1))
    slice_s = busy * scalars["slice_s"] + beside_s * (1 - busy)
    wait_s[:, DLA] += turns * slice_s
    switching_s[:, DLA] = turns * scalars["switch_s"] * np.minimum(on_gpu + on_dla[::-1], 1)
    return phases._replace(
        host_s=full.host_s + wait_s,
        stretch=stretch,
        switching_s=switching_s,
        capacity=scalars["capacity"] * (1 - scalars["other_gpu"]) * overlap,
    )


def cycles(
    served: Served, phases: Phases, start: Single | float = 0.0, steps: int = STEPS
) -> tuple[Single, Single]:
    """Return cycle times [T, X, B] and the extra stretch [B] at which the GPU is just full.

    With best effort beside critical tenants each class has an extra stretch, [T, 1, B].
    """
    if served.classes is not None:
        return cycles_by_class(served, phases, served.classes)
    return cycles_of(served.instances, phases, start, steps)


def with_contention(served: Served, phases: Phases, cycle_s: Single, scalars: Scalars) -> Phases:
    """Return the phases under the DRAM traffic of the given cycle times [T, X, B]."""
    rate = served.instances / cycle_s
    gpu_traffic = (rate * served.full.gpu_bytes).sum(axis=(0, 1))
    mapped = served.mapped
    dla_traffic = by_core(rate * served.full.dla_bytes, mapped)
    traffic = gpu_traffic + dla_traffic[0] + dla_traffic[1] + scalars["other_byte_s"]
    above = np.minimum(
        np.maximum(traffic / scalars["dram_byte_s"] - scalars["contention_threshold"], 0),
        scalars["contention_plateau"],
    )
    slope = scalars["contention_slope"] * above / np.maximum(traffic, TINY)
    slower = 1 + slope * (traffic - gpu_traffic)
    slower_dla = 1 + slope * (traffic - dla_traffic)
    dla_s = phases.dla_s.copy()
    dla_s[:, DLA] *= slower_dla
    if mapped is not None:  # the parts of an instance do not slow each other
        where = mapped.positions
        own_gpu, own_dla = (
            each[:, where] / cycle_s[:, where]
            for each in (served.full.gpu_bytes, served.full.dla_bytes)
        )
        dla_s[:, where] *= np.maximum(mapped.from_cores(slower_dla) - slope * own_gpu, 1)
        slower = np.broadcast_to(slower, cycle_s.shape).copy()
        slower[:, where] = np.maximum(slower[:, where] - slope * own_dla, 1)
    return phases._replace(
        gpu_s=phases.gpu_s * slower,
        dla_s=dla_s,
        exclusive_s=phases.exclusive_s * slower,
        round_s=dla_round_s(served.instances * dla_s, served.classes, mapped),
    )


def launch_factor(served: Served, cycle_s: Single, scalars: Scalars) -> Single:
    """Return the factor [B] on cycle times where instances wait for each other to launch."""
    launching = (served.instances * served.full.host_s / cycle_s).sum(axis=(0, 1))
    return np.asarray(np.maximum(1, launching * scalars["launch_lock"]))
