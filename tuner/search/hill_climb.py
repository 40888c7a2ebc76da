"""Hill climbing: one knob at a time, as a careful person would."""

from __future__ import annotations

import numpy as np

from envs.measurement import Failure, Outcome
from tuner.search.candidates import CandidateSearch, IntArray
from tuner.search.protocol import Problem


class HillClimb(CandidateSearch):
    best = False
    momentum = True
    near = False

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._at = self.default_row
        self._came_from = self.default_row
        self._base = -np.inf

    def _propose(self) -> int:
        if self.best:
            nb = self.neighbours(self._at)
            left = nb[~self.spent[nb]]
            if not len(left):
                b = nb[self.worth[nb].argmax()] if len(nb) else self._at
                if self.worth[b] > self.worth[self._at]:
                    self._came_from, self._at = self._at, int(b)
                    return self._propose()
                return self._restart()
            return self.any_of(left)
        nb = self.neighbours(self._at)
        left = nb[~self.spent[nb]]
        if not len(left):
            return self._restart()
        if self.momentum:
            onward = self._onward(left)
            if onward >= 0:
                return onward
        return self.any_of(left)

    def _restart(self):
        left = np.flatnonzero(~self.spent)
        if self.near:
            b = int(self.worth.argmax())
            d = self.steps_from(self.instances[b], self.levels[b])[left]
            left = left[d == d.min()]
        self._restarting = self.any_of(left)
        if not self.near:
            self._at = self._restarting
        else:
            self._at = b
        return self._restarting

    def _onward(self, left):
        di = self.instances[self._at] - self.instances[self._came_from]
        dl = self.levels[self._at] - self.levels[self._came_from]
        if not (di.any() or dl.any()):
            return -1
        d = np.abs(self.instances[left] - self.instances[self._at] - di).sum(1) + np.abs(self.levels[left] - self.levels[self._at] - dl).sum(1)
        return int(left[d.argmin()]) if d.min() == 0 else -1

    def _learn(self, row: int, outcome: Outcome) -> None:
        if not self.best and self.worth[row] > self.worth[self._at]:
            self._came_from, self._at = self._at, row

    def neighbours(self, row: int) -> IntArray:
        near = np.flatnonzero(self.steps_from(self.instances[row], self.levels[row]) == 1)
        return np.unique(np.concatenate([near, self._swaps(row)]))

    def _swaps(self, row: int) -> IntArray:
        here = self.problem.candidates[row]
        tenants, accelerators = self.problem.space.shape
        swapped = []
        for tenant in range(tenants):
            for one in range(accelerators):
                for other in range(one):
                    there = here.copy()
                    there[tenant, [one, other]] = here[tenant, [other, one]]
                    if (there != here).any():
                        swapped.append(there)
        if not swapped:
            return np.empty(0, dtype=np.int64)
        rows = self.rows(np.stack(swapped))
        return rows[rows >= 0]
