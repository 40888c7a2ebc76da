"""What a person does who follows the vendor's guide."""

from __future__ import annotations

import numpy as np

from tuner.search.candidates import IntArray, OrderedSearch


class VendorDefault(OrderedSearch):
    """The default, then one accelerator with one instance and a growing batch, then more instances, then more accelerators.

    That is the order of NVIDIA's Triton guide (user guide, "Optimization": basic configuration, larger batches, then more model
    instances), with the accelerators in the order of the device. It listens to no measurement: the person stops when the budget
    is spent, and keeps the best.
    """

    def _plan(self) -> IntArray:
        # The last key decides first: how many accelerators, how many instances, on the earliest accelerators, at the smallest batches.
        keys = [self.levels.T[::-1], self.levels.sum(axis=1)[None], -self.instances.T[::-1]]
        return np.lexsort(np.concatenate([*keys, self.instances.sum(axis=1)[None], (self.instances > 0).sum(axis=1)[None]]))
