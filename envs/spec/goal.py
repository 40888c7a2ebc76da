"""Goals: what is made as large or as small as the limits allow."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from envs.arrays import Floats


class Goal(StrEnum):
    """Name what an objective asks for; under every goal a better configuration scores higher.

    - `throughput`: most inferences a second, weighted over the tenants.
    - `energy`: fewest joules for an inference. With arrivals at a given rate that is the least
      power that keeps up with them.
    - `latency`: the lowest p99 latency; of several tenants, the lowest mean of its logarithms by
      the tenants' weights.
    """

    THROUGHPUT = "throughput"
    ENERGY = "energy"
    LATENCY = "latency"

    @property
    def unit(self) -> str:
        """Return the unit of a score."""
        return {
            Goal.THROUGHPUT: "inferences/s",
            Goal.ENERGY: "inferences/J",
            Goal.LATENCY: "1/ms",
        }[self]

    @property
    def words(self) -> str:
        """Return the goal in words, as an objective's description begins."""
        return {
            Goal.THROUGHPUT: "most throughput",
            Goal.ENERGY: "least energy for an inference",
            Goal.LATENCY: "lowest p99 latency",
        }[self]

    def terms(self, weights: Floats) -> Floats:
        """Return the terms [..., T + 2] of the score's logarithm.

        The score's logarithm is linear in the logarithms of the weighted throughput (first term),
        of each tenant's p99 latency (T terms) and of power (last term).

        Args:
            weights: [..., T] of the tenants' throughputs, 0 for a tenant that is not there.
        """
        values = np.zeros((*weights.shape[:-1], weights.shape[-1] + 2), dtype=weights.dtype)
        if self is Goal.LATENCY:
            values[..., 1:-1] = -weights / weights.sum(axis=-1, keepdims=True)
        else:
            values[..., 0] = 1.0
        if self is Goal.ENERGY:
            values[..., -1] = -1.0
        return values
