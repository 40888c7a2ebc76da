"""Whole numbers that stand for configurations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.arrays import IntArray, Rows

#: Multiplies the codes of a space whose settings do not fit into 63 bits (see `codes_of`): an odd
#: number without a pattern, 2^64 over the golden ratio.
HASH_MULTIPLIER = 0x9E37_79B9_7F4A_7C15


def codes_of(options: IntArray, choices: int) -> Rows:
    """Return a whole number [...] for options [..., K] of all knobs; -1 where one is negative.

    Equal options have equal codes. Different ones have different codes where the settings of all
    knobs fit into 63 bits. Otherwise the code is a hash of 63 bits: among a million configurations,
    two share one with a chance of 1 in 20 million.

    Args:
        options: [..., K], each below `choices`.
        choices: how many options a knob has at most.
    """
    knobs = options.shape[-1]
    factor = np.uint64(choices if choices**knobs <= 2**63 else HASH_MULTIPLIER)
    numbers = options.reshape(-1, knobs).astype(np.uint64)
    code: npt.NDArray[np.uint64] = np.zeros(len(numbers), dtype=np.uint64)
    for knob in range(knobs):
        code = code * factor + numbers[:, knob]  # arrays of whole numbers wrap around
    known = (code & np.uint64(2**63 - 1)).astype(np.int64).reshape(options.shape[:-1])
    return np.where((options < 0).any(axis=-1), -1, known)
