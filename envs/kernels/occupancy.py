"""Count the blocks of a kernel that fit on an SM, alone and beside others.

Sources: CUDA C++ Programming Guide 13.0, table "Technical Specifications per Compute Capability"
(7.2: guide 12.6, which still has it), and `cuda_occupancy.h` of CUDA 13.0 for the units in which
registers and shared memory are given out. A block needs all of what it asks for on one SM.
"""

from __future__ import annotations

from dataclasses import dataclass

WARP = 32


@dataclass(frozen=True)
class SmLimits:
    """Describe what one SM has.

    Attributes:
        capability: compute capability, 87 for 8.7.
        warps: resident warps.
        blocks: resident blocks.
        registers: 32-bit registers.
        shared_bytes: shared memory.
        block_shared_bytes: the most that one block may use.
        register_unit: registers are given to a warp in multiples of this.
        partitions: schedulers, each with its share of registers and warps.
        shared_unit_bytes: shared memory is given to a block in multiples of this.
        reserved_bytes: shared memory of each block that the system keeps.
    """

    capability: int
    warps: int
    blocks: int
    registers: int
    shared_bytes: int
    block_shared_bytes: int
    register_unit: int
    partitions: int
    shared_unit_bytes: int
    reserved_bytes: int


_KIB = 1024
#: Xavier, Orin, and Hopper (on which a test machine may run).
LIMITS = {
    each.capability: each
    for each in (
        SmLimits(72, 64, 32, 65536, 96 * _KIB, 96 * _KIB, 256, 4, 256, 0),
        SmLimits(87, 48, 16, 65536, 164 * _KIB, 163 * _KIB, 256, 4, 128, _KIB),
        SmLimits(90, 64, 32, 65536, 228 * _KIB, 227 * _KIB, 256, 4, 128, _KIB),
    )
}


@dataclass(frozen=True)
class BlockNeeds:
    """Describe what one block of a kernel needs of an SM.

    Attributes:
        threads: of the block.
        registers: of each thread.
        shared_bytes: of the block, static and dynamic.
    """

    threads: int
    registers: int
    shared_bytes: int


@dataclass(frozen=True)
class Room:
    """Count what is used, or left, of an SM: whole warps and the units that it gives out."""

    warps: int
    blocks: int
    registers: int
    shared_bytes: int

    def __add__(self, other: Room) -> Room:
        return Room(
            self.warps + other.warps,
            self.blocks + other.blocks,
            self.registers + other.registers,
            self.shared_bytes + other.shared_bytes,
        )

    def __sub__(self, other: Room) -> Room:
        return self + other.times(-1)

    def times(self, count: int) -> Room:
        """Return the room of `count` of these."""
        return Room(
            self.warps * count,
            self.blocks * count,
            self.registers * count,
            self.shared_bytes * count,
        )

    def holds(self, other: Room) -> bool:
        """Return True if `other` fits in."""
        left = self - other
        return min(left.warps, left.blocks, left.registers, left.shared_bytes) >= 0


def whole(limits: SmLimits) -> Room:
    """Return the room of an empty SM."""
    return Room(limits.warps, limits.blocks, limits.registers, limits.shared_bytes)


def footprint(limits: SmLimits, needs: BlockNeeds) -> Room | None:
    """Return what one block takes; None if no SM of this kind can run it."""
    warps = _up(needs.threads, WARP) // WARP
    warp_registers = _warp_registers(limits, needs)
    shared = _up(needs.shared_bytes + limits.reserved_bytes, limits.shared_unit_bytes)
    taken = Room(warps, 1, warp_registers * warps, shared)
    too_much = needs.shared_bytes > limits.block_shared_bytes or needs.registers > 255
    # A launch is checked as if every scheduler had the same number of the block's warps.
    checked = warp_registers * _up(warps, limits.partitions)
    if too_much or needs.threads > 1024 or checked > limits.registers:
        return None
    return taken if whole(limits).holds(taken) else None


def fitting(limits: SmLimits, needs: BlockNeeds, left: Room | None = None) -> int:
    """Return how many blocks fit into what is left of an SM (None: an empty one).

    Registers belong to schedulers, each of which has its equal part of what is left: a rest that
    holds no whole warp is lost in each.
    """
    one = footprint(limits, needs)
    if one is None:
        return 0
    room = whole(limits) if left is None else left
    warps = room.registers // limits.partitions // _warp_registers(limits, needs)
    counts = [room.warps // one.warps, room.blocks, warps * limits.partitions // one.warps]
    if one.shared_bytes:
        counts.append(room.shared_bytes // one.shared_bytes)
    return max(0, min(counts))


def occupancy(limits: SmLimits, needs: BlockNeeds) -> float:
    """Return the share of an SM's warps that the kernel fills when it has the SM alone."""
    one = footprint(limits, needs)
    return 0.0 if one is None else fitting(limits, needs) * one.warps / limits.warps


def _warp_registers(limits: SmLimits, needs: BlockNeeds) -> int:
    return _up(max(1, needs.registers) * WARP, limits.register_unit)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
