"""Every valid configuration of a space that is small enough to be listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import Placements
from envs.errors import ConfigurationError, OptionError
from envs.spec.validity import UNAVAILABLE, UNSERVED, VALID, judge, reason

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace

#: Enumerating more than this many combinations at once would fill the memory of a small computer.
MAX_COMBINATIONS = 4_000_000


def valid_placements(space: ConfigurationSpace) -> Placements:
    """Return every valid configuration, [N, T, A, 2], the last knob changing fastest.

    Raises:
        OptionError: the space has more than `MAX_COMBINATIONS`.
        ConfigurationError: no configuration is valid.
    """
    if not space.enumerable:
        raise OptionError(
            f"the space has {space.combinations:,} combinations, above {MAX_COMBINATIONS:,}:"
            " code that must handle any space searches it instead of listing it"
        )
    sizes = [len(each) for each in space.knob_options]
    positions = np.unravel_index(np.arange(space.combinations), sizes)
    settings = zip(space.knob_options, positions, strict=True)
    placements = space.decode(np.stack([each[at] for each, at in settings], axis=-1))
    codes = judge(space, placements)
    if not (codes == VALID).any():
        served = codes[codes != UNSERVED]  # what most of those break that serve every tenant
        unserved = UNAVAILABLE if space.unavailable else UNSERVED
        fault = int(np.bincount(served).argmax()) if len(served) else unserved
        raise no_configuration(space, fault)
    valid: Placements = placements[codes == VALID]
    return valid


def no_configuration(space: ConfigurationSpace, code: int) -> ConfigurationError:
    """Return the error of a space without a valid configuration, with the code of the judge."""
    return ConfigurationError(
        f"no configuration is valid on {space.device.name}: {reason(space, code)}"
    )
