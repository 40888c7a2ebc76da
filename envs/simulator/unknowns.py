"""Unknowns of a device, and what a recording told of them.

The unknowns of a device are the standard normal numbers behind its parameters and engines. Before
anything was recorded they are independent and standard. A recording moves their mean, and narrows
them along some directions. Beyond that, each configuration departs from the model in its own way;
of those that were recorded it is known how.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from envs.arrays import FloatArray, Placements, Rows


@dataclass(frozen=True, eq=False)
class Unknowns:
    """The D unknowns of a device with its networks after a recording of N configurations.

    Attributes:
        mean: [D], in standard deviations of what was believed before.
        directions: [K, D], orthonormal; across them everything is as uncertain as before.
        spread: [K] standard deviation along each direction, 1 before the recording.
        discrepancy: [Q] standard deviation by which the logarithm of each quantity departs from
            the model with any parameters, a configuration at a time.
        recorded: [N, T, A, 2], the configurations.
        departures, left: [Q, N], by how much their logarithms depart, and the variance of that.
    """

    mean: FloatArray
    directions: FloatArray
    spread: FloatArray
    discrepancy: FloatArray
    recorded: Placements
    departures: FloatArray
    left: FloatArray

    def of(self, normals: FloatArray) -> FloatArray:
        """Return draws [C, D] of this distribution from independent standard normals [C, D]."""
        narrowed = (normals @ self.directions.T) * (self.spread - 1.0)
        return np.asarray(self.mean + normals + narrowed @ self.directions)

    def variance(self) -> FloatArray:
        """Return the variance [D] of each unknown, 1 before the recording."""
        return np.asarray(1.0 - (1.0 - self.spread**2) @ self.directions**2)

    def without_departures(self) -> Unknowns:
        """Return the same where the recorded windows themselves no longer hold."""
        none = slice(0, 0)
        return replace(
            self,
            recorded=self.recorded[none],
            departures=self.departures[:, none],
            left=self.left[:, none],
        )

    def departures_of(self, recorded: Rows, asked: Rows) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance [Q, B] by which configurations depart from the model.

        Args:
            recorded: [N] codes of the recorded configurations.
            asked: [B] codes of those asked about, -1 for one that cannot be.
        """
        shape = (len(self.discrepancy), len(asked))
        mean, variance = np.zeros(shape), np.tile(self.discrepancy[:, None] ** 2, shape[1])
        if len(recorded):
            order = np.argsort(recorded)
            nearest = np.minimum(np.searchsorted(recorded[order], asked), len(recorded) - 1)
            found = order[nearest]
            same = (recorded[found] == asked) & (asked >= 0)
            mean[:, same] = self.departures[:, found[same]]
            variance[:, same] = self.left[:, found[same]]
        return mean, variance
