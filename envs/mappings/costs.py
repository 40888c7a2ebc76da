"""The costs of the layer groups of a network on each accelerator, and of going between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class GroupCosts:
    """Hold what G layer groups of a network cost on A accelerators, for one batch alone.

    A mapping takes the sum of: the start on its first accelerator, its groups, the transitions
    before the groups that run elsewhere than the one before, and the end on its last accelerator.

    Attributes:
        network: its name in reports.
        accelerators: [A] names.
        batch: samples in a batch.
        time_s, energy_j: [G, A]; infinite where an accelerator does not run the group.
        bytes: [G, A] moved from and to DRAM; 0 where it does not run the group.
        transition_s, transition_j: [G, A, A] of going from one accelerator (second axis) to another
            (third) before a group. 0 before the first group and from an accelerator to itself;
            infinite where nothing goes from one to the other.
        start_s, start_j, end_s, end_j: [A] of beginning and ending on an accelerator.
        layers: [G] how many layers each group has.
        crossing_bytes: [G] bytes of the tensors that cross the beginning of each group, FP32.
    """

    network: str
    accelerators: tuple[str, ...]
    batch: int
    time_s: FloatArray
    energy_j: FloatArray
    bytes: FloatArray
    transition_s: FloatArray
    transition_j: FloatArray
    start_s: FloatArray
    start_j: FloatArray
    end_s: FloatArray
    end_j: FloatArray
    layers: IntArray
    crossing_bytes: FloatArray

    @property
    def groups(self) -> int:
        """Return G."""
        return len(self.time_s)

    def of(self, chosen: Sequence[int] | IntArray) -> tuple[float, float]:
        """Return the time [s] and the energy [J] of a batch under one assignment.

        Args:
            chosen: [G] positions in `accelerators`.
        """
        time_s, energy_j = self.totals(np.asarray(chosen)[None])
        return float(time_s[0]), float(energy_j[0])

    def totals(self, chosen: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the times [N, s] and the energies [N, J] of a batch under N assignments.

        Args:
            chosen: [N, G] positions in `accelerators`.
        """
        groups, first, last = np.arange(self.groups), chosen[:, 0], chosen[:, -1]
        moves = groups[1:], chosen[:, :-1], chosen[:, 1:]
        time_s = self.time_s[groups, chosen].sum(axis=1) + self.start_s[first] + self.end_s[last]
        energy_j = self.energy_j[groups, chosen].sum(axis=1)
        energy_j += self.start_j[first] + self.end_j[last]
        time_s += self.transition_s[moves].sum(axis=1)
        energy_j += self.transition_j[moves].sum(axis=1)
        return time_s, energy_j
