"""Heavy tails of windows: Tukey's h distribution, sigma z exp(h z^2 / 2) with z normal.

Only p99 has them: it hangs on the few slowest requests of a window.
"""

import numpy as np

from envs.arrays import Floats

#: h of windows of p99 on a device that is as believed. By `benchmarks.tails`, 179 windows of a
#: ResNet-18 on an Orin Nano have 0.01 (90 %: 0 to 0.19), those of a detector beside it 0.24 (0.08
#: to 0.38). The data does not tell how it depends on the latency.
TAIL_WEIGHT = 0.1

#: The largest logarithm by which a tail stretches a number, so that one draw in a million does not
#: count more than all others.
LARGEST_STRETCH = 3.0


def stretched(normals: Floats, weight: Floats | float) -> Floats:
    """Return standard normal numbers with heavy tails.

    Up to the usual weight their variance stays 1: the scatter that is believed of a window includes
    its usual tail. A heavier tail comes on top.

    Args:
        normals: [...].
        weight: h, broadcast against `normals`; 0 leaves them as they are.
    """
    core = (1.0 - 2.0 * np.minimum(weight, TAIL_WEIGHT)) ** 0.75  # of the variance (1 - 2 h)^-1.5
    result: Floats = core * normals * np.exp(np.minimum(weight * normals**2 / 2, LARGEST_STRETCH))
    return result
