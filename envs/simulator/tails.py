"""Heavy tails of windows: Tukey's h distribution, sigma z exp(h z^2 / 2) with z normal.

Only p99 has them: it hangs on the few slowest requests of a window.
"""

import numpy as np

from envs.arrays import Floats

#: The largest logarithm by which a tail stretches a number, so that one draw in a million does not
#: count more than all others.
LARGEST_STRETCH = 3.0


def stretched(normals: Floats, weight: Floats | float) -> Floats:
    """Return standard normal numbers with heavy tails.

    Args:
        normals: [...].
        weight: h, broadcast against `normals`; 0 leaves them as they are.
    """
    result: Floats = normals * np.exp(np.minimum(weight * normals**2 / 2, LARGEST_STRETCH))
    return result
