"""Instances of mappings in service: each uses the GPU, and one DLA core or none.

Their batches have the costs of all parts. On the GPU they share it as instances of the GPU do, for
the time that they work there, and wait for turns as engines of a DLA do; on the DLA they queue at
their core with the instances of whole networks there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.arrays import IntArray, Single
from envs.simulator.positions import DLA, GPU, POSITIONS


class Mapped(NamedTuple):
    """The mappings of B rows.

    Attributes:
        on_core: [2, Y, B], 1 where a mapping has a part on this DLA core, else 0.
        gpu_share: [T, Y, B], the share of the working time of a batch that it is on the GPU, or on
            the cores of a plain computer.
    """

    on_core: Single
    gpu_share: Single

    @property
    def positions(self) -> slice:
        """Return the positions of mappings."""
        return slice(POSITIONS, POSITIONS + self.on_core.shape[1])

    @property
    def on_gpu(self) -> IntArray:
        """Return the positions that draw on the GPU: its own and those of mappings."""
        return np.array([*range(GPU.start, GPU.stop), *range(POSITIONS, self.positions.stop)])

    def of_core(self, core: int) -> tuple[IntArray, Single]:
        """Return the positions [1 + Y] that may draw on a DLA core, and [1 + Y, B] if they do."""
        there = np.concatenate([np.ones_like(self.on_core[core, :1]), self.on_core[core]])
        return np.array([DLA.start + core, *range(POSITIONS, self.positions.stop)]), there

    def from_cores(self, values: Single) -> Single:
        """Return values [..., 2, B] of the DLA cores for each mapping, [..., Y, B]; 0 for none."""
        first, second = np.moveaxis(values, -2, 0)
        return np.asarray(
            first[..., None, :] * self.on_core[0] + second[..., None, :] * self.on_core[1]
        )


def gpu_positions(mapped: Mapped | None) -> slice | IntArray:
    """Return the positions that draw on the GPU, or on the cores of a plain computer."""
    return GPU if mapped is None else mapped.on_gpu


def by_core(values: Single, mapped: Mapped | None) -> Single:
    """Return the sums of values [T, X, B] on each DLA core, [2, B], mappings included."""
    found = values[:, DLA].sum(axis=0)
    if mapped is not None:
        found = found + (values[:, mapped.positions].sum(axis=0) * mapped.on_core).sum(axis=1)
    return np.asarray(found)


def put_by_core(target: Single, values: Single, mapped: Mapped | None) -> None:
    """Write values [2, B] or [T, 2, B] of the DLA cores to the positions [T, X, B] on them."""
    target[:, DLA] = values
    if mapped is not None:
        target[:, mapped.positions] = mapped.from_cores(values)
