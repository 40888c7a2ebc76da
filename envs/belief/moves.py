"""The moves of a local search: how one configuration becomes another that is like it."""

from __future__ import annotations

import itertools

import numpy as np

from envs.arrays import IntArray, Rows
from envs.spec import ConfigurationSpace

#: The type of knob options where there are many: the smaller, the faster.
OPTION = np.int16


class Moves:
    """The configurations next to others, as knob options.

    A move changes one knob by a step (an instance or a batch size more or less, one for the other,
    none, or a first instance at any batch size), exchanges the settings of a tenant on two
    accelerators (one of which may be unused, so that all its instances move), or lets two tenants
    change places. The last two leave a place that single knobs leave only through worse ones.

    Args:
        space: of the configurations.
    """

    def __init__(self, space: ConfigurationSpace) -> None:
        allowed = np.zeros((space.knobs, len(space.options)), dtype=bool)
        for knob, options in enumerate(space.knob_options):
            allowed[knob, options] = True
        self._allowed = allowed
        self._steps = _steps(space)
        tenants, accelerators = space.shape
        places = np.arange(space.knobs).reshape(tenants, accelerators)
        swapped = []
        for first, second in itertools.combinations(range(accelerators), 2):
            for tenant in range(tenants):
                swapped.append(_exchanged(places, places[tenant, first], places[tenant, second]))
        for one, other in itertools.combinations(range(tenants), 2):
            swapped.append(_exchanged(places, places[one], places[other]))
        self._swapped = np.array(swapped, dtype=np.int64).reshape(-1, space.knobs)

    def near(self, options: IntArray) -> tuple[IntArray, Rows]:
        """Return everything one move from configurations [N, K].

        Returns:
            [N', K] options that the knobs have, as OPTION, and [N'] which of the N each came from.
        """
        knobs = options.shape[1]
        steps = self._steps[options]  # [N, K, n]
        changed = np.repeat(options[:, None, None].astype(OPTION), steps.shape[2], axis=2)
        changed = np.repeat(changed, knobs, axis=1)  # [N, K, n, K]
        own = np.arange(knobs)
        changed[:, own, :, own] = steps.swapaxes(0, 1)
        new = (steps != options[:, :, None]) & self._allowed[own[:, None], steps]
        came, at, step = np.nonzero(new)
        exchanged = options[:, self._swapped]  # [N, S, K]
        differs = (exchanged != options[:, None]).any(axis=2)
        differs &= self._allowed[own, exchanged].all(axis=2)
        from_swap, swap = np.nonzero(differs)
        return (
            np.concatenate([changed[came, at, step], exchanged[from_swap, swap].astype(OPTION)]),
            np.concatenate([came, from_swap]),
        )


def _exchanged(places: Rows, one: Rows, other: Rows) -> Rows:
    """Return the knobs [K] where those of two places have changed."""
    order = places.ravel().copy()
    order[one], order[other] = other, one
    return order


def _steps(space: ConfigurationSpace) -> Rows:
    """Return the options one step from each option, [O, n], filled up with the option itself."""
    levels = len(space.batches)

    def option(instances: int, level: int) -> int:
        return 1 + (instances - 1) * levels + level

    steps = [[option(1, level) for level in range(levels)]]
    for each in range(1, len(space.options)):
        instances, level = (each - 1) // levels + 1, (each - 1) % levels
        next_to = (
            *((instances + more, level + larger) for more in (-1, 0, 1) for larger in (-1, 0, 1)),
            *((instances, level + 2 * larger) for larger in (-1, 1)),
        )
        steps.append(
            [0]
            + [
                option(some, size)
                for some, size in next_to
                if 1 <= some <= space.max_instances and 0 <= size < levels
            ]
        )
    width = max(map(len, steps))
    filled = [each + [own] * (width - len(each)) for own, each in enumerate(steps)]
    return np.array(filled, dtype=OPTION)
