"""The unknowns of a device: the standard normal numbers behind its parameters and engines.

Before anything was recorded they are independent and standard. A recording moves their mean, and
narrows them along some directions.
"""

from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Unknowns:
    """A normal distribution of the D unknowns of a device with its networks, after a recording.

    Attributes:
        mean: [D], in standard deviations of what was believed before.
        directions: [K, D], orthonormal; across them everything is as uncertain as before.
        spread: [K] standard deviation along each direction, 1 before the recording.
        discrepancy: [Q] standard deviation by which the logarithm of each quantity departs from
            the model with any parameters, a configuration at a time.
    """

    mean: FloatArray
    directions: FloatArray
    spread: FloatArray
    discrepancy: FloatArray

    def of(self, normals: FloatArray) -> FloatArray:
        """Return draws [C, D] of this distribution from independent standard normals [C, D]."""
        narrowed = (normals @ self.directions.T) * (self.spread - 1.0)
        return np.asarray(self.mean + normals + narrowed @ self.directions)

    def variance(self) -> FloatArray:
        """Return the variance [D] of each unknown, 1 before the recording."""
        return np.asarray(1.0 - (1.0 - self.spread**2) @ self.directions**2)
