"""The orders in which people measure who follow a vendor's guide; no outcome changes them."""

import itertools
from collections.abc import Iterator

import numpy as np

from envs.arrays import Placements
from envs.spec import ConfigurationSpace, Kind
from tuner.search.candidates import OrderedSearch

#: Batch sizes of DLA engines: NVIDIA's submissions to MLPerf inference 3.0 for AGX Orin use 2 for
#: most throughput and 8 for least energy.
DLA_BATCHES = (2, 8)


class VendorDefault(OrderedSearch):
    """Tries a growing batch, then more instances, then more accelerators.

    That is the order of NVIDIA's Triton guide (user guide, "Optimization": basic configuration,
    larger batches, then more model instances), with the accelerators in the order of the device.
    """

    def _plan(self) -> Iterator[int]:
        space = self.problem.space
        if self.problem.open:  # its sample of the space need not hold the plainest configurations
            ladder = itertools.product(
                range(space.shape[1]), range(1, space.max_instances + 1), space.batches
            )
            rows = self.rows(np.stack([alike(space, *each) for each in ladder]))
            yield from rows[rows >= 0].tolist()
        # The last key decides first: how many accelerators, how many instances, on the earliest
        # accelerators, at the smallest batches.
        keys = [
            *self.levels.T[::-1],
            self.levels.sum(axis=1),
            *-self.instances.T[::-1],
            self.instances.sum(axis=1),
            (self.instances > 0).sum(axis=1),
        ]
        yield from np.lexsort(keys).tolist()


class VendorGpu(VendorDefault):
    """Serves every tenant on the Tensor Cores with one engine at a growing batch.

    Then it continues as `VendorDefault`. On a device without Tensor Cores it uses the first
    accelerator.
    """

    def _plan(self) -> Iterator[int]:
        rows = self.rows(np.stack([self._serving(batch) for batch in self.problem.space.batches]))
        yield from rows[rows >= 0].tolist()
        yield from super()._plan()

    def _serving(self, batch: int) -> Placements:
        """Return the configuration [T, A, 2] whose engines have this batch."""
        space = self.problem.space
        kinds = [each.kind for each in space.device.accelerators]
        position = kinds.index(Kind.TENSOR_CORES) if Kind.TENSOR_CORES in kinds else 0
        return alike(space, position, 1, batch)


class VendorGpuDla(VendorGpu):
    """Does as `VendorGpu`, with one more engine on every DLA, whose batch grows from 2 to 8."""

    def _serving(self, batch: int) -> Placements:
        space = self.problem.space
        placements = super()._serving(batch)
        low, high = DLA_BATCHES
        sizes = [size for size in space.batches if low <= size <= high] or [space.batches[0]]
        size = max((size for size in sizes if size <= batch), default=sizes[0])
        for position, each in enumerate(space.device.accelerators):
            if each.kind is Kind.DLA and each.mapping is None:
                placements[:, position] = (1, size)
        return placements


def alike(space: ConfigurationSpace, accelerator: int, instances: int, batch: int) -> Placements:
    """Return the configuration [T, A, 2] that has the same for every tenant on one accelerator."""
    placements = np.zeros((*space.shape, 2), dtype=np.int16)
    placements[:, accelerator] = (instances, batch)
    return placements
