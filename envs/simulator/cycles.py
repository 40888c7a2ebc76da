"""Cycle times of instances that share a GPU: a full GPU stretches its part of each."""

import numpy as np

from envs.arrays import Single
from envs.simulator.in_service import TINY, Phases

#: Newton steps for the stretch; the third moves it by less than 0.1 % (a test compares the result
#: with bisection).
STEPS = 3


def cycles_of(
    instances: Single, phases: Phases, start: Single | float = 0.0, steps: int = STEPS
) -> tuple[Single, Single]:
    """Return cycle times [T, X, B] and the extra stretch [B] of instances [T, X, B] of one class.

    Newton's method on the reciprocal of the use, from `start`. The reciprocal is a straight line
    where one kind of instance runs, so that one step solves that case.
    """
    extra: Single | float = start
    for step in range(steps + 1):
        free_s = phases.batch_s(extra)
        cycle_s = np.maximum(free_s, phases.round_s) + phases.unused
        if step == steps:
            break
        use = instances * (phases.exclusive_s + phases.switching_s) / cycle_s
        total = use.sum(axis=(0, 1))
        steep = use * phases.gpu_s / cycle_s
        falling = (steep * (free_s >= phases.round_s)).sum(axis=(0, 1))
        # Where all instances wait for their DLA core, stretching the GPU's part changes nothing
        # yet: step as if none of them did.
        falling = np.where(falling > 0, falling, steep.sum(axis=(0, 1)))
        more = total * (total / phases.capacity - 1) / np.maximum(falling, TINY)
        extra = np.maximum(extra + more, 0)
    return cycle_s, np.asarray(extra)
