"""The design space of an elastic kernel: threads of a block, blocks on an SM, length of a shard.

Predicted times are a model. One wave of the original (all blocks that fit on the GPU at once) takes
its share of the kernel's time alone. An elastic block is assumed to take as long, times the logical
threads for which a thread stands, and longer when more warps than the original's share an SM. That
fewer blocks on an SM may each run faster is not counted on, so times are on the safe side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.kernels.occupancy import WARP, BlockNeeds, Room, SmLimits, fitting, footprint, whole
from envs.kernels.syntax import KernelError

#: Why a point of the space is left out, in the order in which it is tested.
REASONS = ("no room", "too slow for critical", "too long", "uneven")


@dataclass(frozen=True)
class Gpu:
    """A GPU: its SMs, and what a launch costs on it.

    Attributes:
        limits: of one SM.
        sms: number of SMs.
        launch_s: time between launch and begin of a kernel.
    """

    limits: SmLimits
    sms: int
    launch_s: float = 5e-6


@dataclass(frozen=True)
class KernelWork:
    """One launch of a kernel.

    Attributes:
        name: of the kernel.
        blocks: logical blocks.
        needs: of one block of the original.
        duration_s: of the original alone on the GPU.
        versions: what a block of the elastic kernel needs, by number of threads; empty if the
            kernel cannot be made elastic.
    """

    name: str
    blocks: int
    needs: BlockNeeds
    duration_s: float
    versions: tuple[BlockNeeds, ...] = ()

    def __post_init__(self) -> None:
        if self.blocks < 1 or not 0 < self.duration_s < math.inf:
            raise KernelError(f"{self.name} has {self.blocks} blocks and {self.duration_s} s")

    def resident(self, gpu: Gpu) -> int:
        """Return the blocks of the original that an SM runs at once when it has nothing else.

        Raises:
            KernelError: a block of the original does not fit on an SM.
        """
        most = fitting(gpu.limits, self.needs)
        if most == 0:
            raise KernelError(f"a block of {self.name} does not fit on an SM")
        return min(most, -(-self.blocks // gpu.sms))

    def wave_s(self, gpu: Gpu) -> float:
        """Return the time of one wave of the original."""
        return self.duration_s / -(-self.blocks // (self.resident(gpu) * gpu.sms))

    def room(self, gpu: Gpu) -> Room:
        """Return what the original takes of an SM while it runs."""
        one = footprint(gpu.limits, self.needs)
        assert one is not None
        return one.times(self.resident(gpu))


@dataclass(frozen=True)
class Shard:
    """Say how a piece of an elastic kernel is launched.

    Attributes:
        needs: of one of its blocks.
        per_sm: blocks on each SM.
        length: logical blocks.
        duration_s: predicted, with the launch.
        room: what it takes of each SM.
    """

    needs: BlockNeeds
    per_sm: int
    length: int
    duration_s: float
    room: Room


@dataclass(frozen=True)
class Space:
    """The points of a design space as arrays [N], and why some are left out.

    Attributes:
        version: index of the version.
        per_sm: blocks on each SM.
        length: logical blocks of a shard.
        duration_s: predicted time of a shard, with its launch.
        pruned: index of the reason in `REASONS`; -1 where a point is kept.
    """

    version: npt.NDArray[np.int64]
    per_sm: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    duration_s: npt.NDArray[np.float64]
    pruned: npt.NDArray[np.int64]

    def pruned_share(self) -> float:
        """Return the share of points that are left out."""
        return float((self.pruned >= 0).mean()) if self.pruned.size else 0.0

    def counts(self) -> dict[str, int]:
        """Return how many points are left out for each reason."""
        return {name: int((self.pruned == index).sum()) for index, name in enumerate(REASONS)}


def lengths(blocks: int) -> npt.NDArray[np.int64]:
    """Return the lengths of shards that cut a number of blocks into 1, 2, 3, ... even parts."""
    return np.unique(-(-blocks // np.arange(1, blocks + 1)))


def design_space(
    gpu: Gpu,
    work: KernelWork,
    critical: KernelWork | None,
    budget_s: float,
    slowdown: float,
    contention: float = 1.0,
) -> Space:
    """Return the space of a kernel beside a critical kernel (None: in a gap).

    Args:
        gpu: where both run.
        work: the best-effort kernel.
        critical: the critical kernel that runs at the same time.
        budget_s: the longest that a shard may take.
        slowdown: the critical kernel's time beside the shard may be this many times its own.
        contention: share of an SM's throughput that the critical kernel loses for each warp's
            share that it gives away: 1 if it could use the whole SM, 0 if it only waits.
    """
    most = gpu.limits.blocks
    shape = np.meshgrid(
        np.arange(len(work.versions)),
        np.arange(1, most + 1),
        lengths(work.blocks),
        indexing="ij",
    )
    version, per_sm, length = (each.ravel() for each in shape)
    duration = np.full(version.shape, np.inf)
    pruned = np.full(version.shape, -1)
    busy = 0 if critical is None else critical.room(gpu).warps
    left = whole(gpu.limits) if critical is None else whole(gpu.limits) - critical.room(gpu)
    for index, needs in enumerate(work.versions):
        mine = version == index
        counts, warps = per_sm[mine], -(-needs.threads // WARP)
        waves = -(-length[mine] // (counts * gpu.sms))
        duration[mine] = gpu.launch_s + waves * _block_s(gpu, work, needs, counts * warps + busy)
        slowed = contention * counts * warps / busy if busy else np.zeros(counts.shape)
        tests = (
            counts > fitting(gpu.limits, needs, left),
            1 + slowed > slowdown,
            duration[mine] > budget_s,
            _uneven(waves, np.unique(length).size),
        )
        pruned[mine] = np.select(tests, range(len(tests)), -1)
    return Space(version, per_sm, length, duration, pruned)


def ranked(space: Space) -> npt.NDArray[np.int64]:
    """Return the kept points, those that work off most logical blocks a second first.

    Of equal ones the shorter shard comes first, then the one that takes fewer blocks of an SM.
    """
    kept = np.flatnonzero(space.pruned < 0)
    rate = space.length[kept] / space.duration_s[kept]
    return kept[np.lexsort((space.per_sm[kept], space.duration_s[kept], -rate))]


def shard_at(gpu: Gpu, work: KernelWork, space: Space, index: int) -> Shard:
    """Return a point of a space as a shard."""
    needs, per_sm = work.versions[space.version[index]], int(space.per_sm[index])
    one = footprint(gpu.limits, needs)
    assert one is not None
    length, duration_s = int(space.length[index]), float(space.duration_s[index])
    return Shard(needs, per_sm, length, duration_s, one.times(per_sm))


def _block_s(
    gpu: Gpu, work: KernelWork, needs: BlockNeeds, warps: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the time of one logical block where an SM has `warps` warps in all."""
    own = -(-work.needs.threads // WARP)
    cover = max(1.0, work.needs.threads / needs.threads)
    usual = work.resident(gpu) * own
    crowded: npt.NDArray[np.float64] = np.maximum(1.0, warps / usual)
    return work.wave_s(gpu) * cover * crowded


def _uneven(waves: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    """Return where the next longer shard, of `count` lengths in order, has as many waves."""
    rows = waves.reshape(-1, count)
    uneven = np.zeros(rows.shape, bool)
    uneven[:, :-1] = rows[:, :-1] == rows[:, 1:]
    return uneven.ravel()
