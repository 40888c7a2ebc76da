"""Configurations that serve when nothing better is known: small ones, the first that works."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from envs.arrays import Placements
from envs.problems.world import default_of
from envs.spec import Configuration, ConfigurationSpace
from envs.spec.validity import VALID, judge


class Ladder:
    """The safe default, what serves if it fails, and the last resort.

    Args:
        rungs: from the safe default on.
        reserve: serves when every rung has failed; None for nothing.
        ready: tells whether a configuration can serve at once; engines of others take minutes.
    """

    def __init__(
        self,
        rungs: list[Configuration],
        reserve: Configuration | None = None,
        ready: Callable[[Configuration], bool] = lambda configuration: True,
    ) -> None:
        self.rungs, self.reserve, self._ready = rungs, reserve, ready
        self._failed: set[Configuration] = set()

    @property
    def current(self) -> Configuration:
        """Return the first that has not failed; the first of all where all have."""
        return self.next_of(()) or self.rungs[0]

    def next_of(self, tried: Collection[Configuration]) -> Configuration | None:
        """Return the first that has not failed and was not tried; None if there is none."""
        reserve = [] if self.reserve is None else [self.reserve]
        ready = [each for each in self.rungs if self._ready(each)]
        others = [each for each in self.rungs if each not in ready]
        left = (*ready, *reserve, *others)
        return next((each for each in left if each not in {*tried, *self._failed}), None)

    @property
    def exhausted(self) -> bool:
        """Return True if every rung has failed."""
        return all(each in self._failed for each in self.rungs)

    def record(self, configuration: Configuration, failed: bool) -> None:
        """Take note of whether a configuration could be measured."""
        if failed:
            self._failed.add(configuration)
        else:
            self._failed.discard(configuration)

    def restore(self) -> None:
        """Forget what failed, so that it is tried again."""
        self._failed.clear()


def rungs_of(
    space: ConfigurationSpace, candidates: Placements | None = None
) -> list[Configuration]:
    """Return the smallest configurations, the safe default first.

    The first is one instance of each tenant at its smallest batch, on the GPU where it can. Then
    all tenants stand on another accelerator, as far as it serves them: first those of the GPU,
    then the processor, then DLAs.

    Args:
        space: to choose from.
        candidates: [N, T, A, 2], all that can be served; None for every valid configuration.

    Raises:
        ConfigurationError: one instance of each tenant is not possible.
    """
    if candidates is not None:
        return [default_of(space, candidates)]
    devices = space.device.accelerators
    columns = sorted(range(len(devices)), key=lambda each: devices[each].start_rank)
    chosen = []
    for preferred in columns:
        placements = np.zeros((*space.shape, 2), dtype=np.int16)
        for tenant in range(space.shape[0]):
            for column in (preferred, *columns):
                batches = space.batches_of(tenant, column)
                if batches and (tenant, column) not in space.unavailable:
                    placements[tenant, column] = (1, batches[0])
                    break
        if judge(space, placements[None])[0] == VALID:
            chosen.append(Configuration.of(placements))
    return list(dict.fromkeys(chosen)) or [space.default()]
