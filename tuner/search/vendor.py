"""What people do who follow the vendor's guides. They listen to no measurement: they stop when the budget is spent, and keep the best."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from envs.arrays import Placements
from tuner.search.candidates import OrderedSearch

#: Batch sizes that DLA engines get: NVIDIA's submissions to MLPerf inference 3.0 for AGX Orin use 2 for most throughput, 8 for least energy.
DLA_BATCHES = (2, 8)


class VendorDefault(OrderedSearch):
    """The default, then one accelerator with one instance and a growing batch, then more instances, then more accelerators.

    That is the order of NVIDIA's Triton guide (user guide, "Optimization": basic configuration, larger batches, then more model
    instances), with the accelerators in the order of the device.
    """

    def _plan(self) -> Iterator[int]:
        # The last key decides first: how many accelerators, how many instances, on the earliest accelerators, at the smallest batches.
        keys = [self.levels.T[::-1], self.levels.sum(axis=1)[None], -self.instances.T[::-1]]
        order = np.lexsort(
            np.concatenate(
                [*keys, self.instances.sum(axis=1)[None], (self.instances > 0).sum(axis=1)[None]]
            )
        )
        yield from order.tolist()


class VendorGpu(VendorDefault):
    """GPU only: every tenant has one engine for Tensor Cores, at a growing batch; then as `VendorDefault`.

    A device without Tensor Cores has its first accelerator in their place.
    """

    def _plan(self) -> Iterator[int]:
        rows = self.rows(np.stack([self._serving(batch) for batch in self.problem.space.batches]))
        yield from rows[rows >= 0].tolist()
        yield from super()._plan()

    def _serving(self, batch: int) -> Placements:
        """[T, A, 2]"""
        space = self.problem.space
        names = space.device.accelerator_names
        placements = np.zeros((*space.shape, 2), dtype=np.int16)
        placements[:, names.index("tensor") if "tensor" in names else 0] = (1, batch)
        return placements


class VendorGpuDla(VendorGpu):
    """As `VendorGpu`, with one more engine on every DLA core, whose batch grows along from 2 to 8."""

    def _serving(self, batch: int) -> Placements:
        placements = super()._serving(batch)
        low, high = DLA_BATCHES
        sizes = [size for size in self.problem.space.batches if low <= size <= high] or [
            self.problem.space.batches[0]
        ]
        for position, name in enumerate(self.problem.space.device.accelerator_names):
            if name.startswith("dla"):
                placements[:, position] = (
                    1,
                    max([size for size in sizes if size <= batch], default=sizes[0]),
                )
        return placements
