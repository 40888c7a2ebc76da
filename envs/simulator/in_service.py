"""Instances in service: the costs of their batches, and the phases of their cycles."""

from typing import NamedTuple

import numpy as np

from envs.arrays import FloatArray, IntArray, Single
from envs.simulator.mapped import Mapped

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
    turns: Single


class Classes(NamedTuple):
    """The two classes of the tenants in service.

    Attributes:
        low: [T, 1, B], 1 for best effort, 0 for the critical.
        segments: [T, X, B], in how many each network runs.
    """

    low: Single
    segments: Single

    @property
    def high(self) -> Single:
        """Return [T, 1, B], 1 for the critical, 0 for best effort."""
        return np.asarray(1 - self.low)

    def choose(self, low: Single | FloatArray, high: Single | FloatArray) -> Single:
        """Return `low` for best effort and `high` for the critical, [T, ., B]."""
        return np.asarray(np.where(self.low > 0, low, high))


class Served(NamedTuple):
    """Instances in service: the configuration of each row, and the costs of their batches.

    Attributes:
        instances: [T, X, B].
        sizes: [T, X, B] batch sizes; 0 where unused.
        full: the batches of these sizes.
        first: [T, X, B] indices into `Contexts.columns` of batches of the smallest size.
        classes: critical tenants and best effort; None where all are critical.
        alone: the batches before `beside` has changed them; None where it has not.
        late_s: [T, B], the least 99th percentile of a tenant whose requests arrive at an Edge TPU.
        mapped: the mappings; None where there are none.
    """

    instances: Single
    sizes: Single
    full: Batches
    first: IntArray
    classes: Classes | None = None
    alone: Batches | None = None
    late_s: Single | float = 0.0
    mapped: Mapped | None = None


class Phases(NamedTuple):
    """The times of one batch beside the others, before the GPU's part is stretched.

    Attributes:
        host_s: [T, X, B] on the host, with what an instance waits for others.
        gpu_s: [T, X, B] on the GPU.
        dla_s: [T, X, B] on the DLA.
        exclusive_s: [T, X, B] GPU time that a batch takes from everybody else.
        switching_s: [T, X, B] the same that its turns on the GPU cost beside their kernels.
        round_s: [T, X, B] the shortest cycle, see `dla_round_s`.
        unused: [T, X, B], 1 where there is no instance, else 0.
        stretch: [T, X, B] the factor on the GPU's part before the GPU is full.
        alone: [B] the stretch of an instance that has its share of the threads to itself, or
            [T, 1, B] by class.
        capacity: [B] of the GPU.
    """

    host_s: Single
    gpu_s: Single
    dla_s: Single
    exclusive_s: Single
    switching_s: Single
    round_s: Single
    unused: Single
    stretch: Single
    alone: Single
    capacity: Single

    def batch_s(self, extra: Single | float = 0.0) -> Single:
        """Return the time [T, X, B] of a batch where a full GPU adds `extra` [B] to stretches."""
        return np.asarray(self.host_s + self.dla_s + self.gpu_s * (self.stretch + extra))
