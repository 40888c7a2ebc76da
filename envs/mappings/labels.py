"""Labels of time and energy that go from layer group to layer group and are not dominated."""

from __future__ import annotations

from itertools import product

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray
from envs.mappings.shortest import Steps, ToTheEnd

#: Sums of the same numbers in another order differ by less than this share.
ROUNDING = 1e-12


class Labels:
    """The labels of all accelerators and numbers of transitions behind the group that was last.

    A label is dropped where another one on the same accelerator, with no more transitions, takes
    no more time and no more energy; where what follows at least takes it over a limit; and where
    that makes it no better than a mapping that is known.

    Args:
        steps: the costs of the network.
        ends: what is still to come at least.
        known: [M, 2] times and energies of known mappings within the limits.
        limits: [2] of time and energy; infinite for none.
    """

    def __init__(self, steps: Steps, ends: ToTheEnd, known: FloatArray, limits: FloatArray) -> None:
        self._steps, self._ends = steps, ends
        self._known = known[nondominated(known)]
        self._limits = limits * (1 + ROUNDING)
        self._group = 0
        #: Times and energies [N, 2] by level and accelerator.
        self._now: dict[tuple[int, int], FloatArray] = {}
        #: By group: the accelerator [N] of each label, and the label before it.
        self._accelerators: list[IntArray] = []
        self._parents: list[IntArray] = []
        nothing = np.zeros(1, dtype=np.intp)
        self._keep(
            {
                (0, at): (pair[None], nothing)
                for at, pair in enumerate(steps.first.T)
                if np.isfinite(pair).all()
            }
        )

    def advance(self) -> None:
        """Go on to the next group."""
        self._group += 1
        step = self._steps.step[:, self._group]
        offsets = self._offsets()
        accelerators = range(step.shape[-1])
        found: dict[tuple[int, int], tuple[FloatArray, IntArray]] = {}
        for at, level in product(accelerators, range(self._steps.levels)):
            points, parents = [], []
            for before in accelerators:
                key = (level - (self._steps.bounded and before != at), before)
                added = step[:, before, at]
                if key in self._now and np.isfinite(added[0]):
                    points.append(self._now[key] + added)
                    parents.append(np.arange(len(points[-1])) + offsets[key])
            if points:
                found[level, at] = np.concatenate(points), np.concatenate(parents)
        self._keep(found)

    def finish(self) -> IntArray:
        """Return the mappings [N, G] of the labels that no other one dominates at the end."""
        ends = [points + self._steps.end[:, at] for (_, at), points in self._now.items()]
        if not ends:
            return np.empty((0, self._group + 1), dtype=np.intp)
        points = np.concatenate(ends)
        rows = nondominated(points)
        rows = rows[(points[rows] <= self._limits).all(axis=1)]
        chosen = []
        for accelerators, parents in zip(
            reversed(self._accelerators), reversed(self._parents), strict=True
        ):
            chosen.append(accelerators[rows])
            rows = parents[rows]
        return np.stack(chosen[::-1], axis=1)

    def _offsets(self) -> dict[tuple[int, int], int]:
        sizes = [len(points) for points in self._now.values()]
        return dict(zip(self._now, np.cumsum([0, *sizes]).tolist(), strict=False))

    def _keep(self, found: dict[tuple[int, int], tuple[FloatArray, IntArray]]) -> None:
        """Keep those labels that may become members of the front; levels ascend in `found`."""
        self._now = {}
        parents: list[IntArray] = []
        fewer: dict[int, FloatArray] = {}
        for (level, at), (points, before) in found.items():
            promising = np.flatnonzero(self._promising(points, level, at))
            own, older = points[promising], fewer.get(at, np.empty((0, 2)))
            both = np.concatenate([older, own])
            rows = nondominated(both)
            fewer[at] = both[rows]
            rows = rows[rows >= len(older)] - len(older)
            if len(rows):
                self._now[level, at] = own[rows]
                parents.append(before[promising[rows]])
        self._parents.append(np.concatenate(parents) if parents else np.empty(0, dtype=np.intp))
        self._accelerators.append(
            np.repeat([at for _, at in self._now], [len(each) for each in self._now.values()])
        )

    def _promising(self, points: FloatArray, level: int, at: int) -> BoolArray:
        """Return which labels [N] keep the limits and may become better than what is known."""
        least = points + self._ends.cost[self._group, :2, level, at]
        within = np.asarray((least <= self._limits).all(axis=1))
        if len(self._known):
            faster = np.searchsorted(self._known[:, 0], least[:, 0], side="right") - 1
            energy_j = self._known[np.maximum(faster, 0), 1]
            return np.asarray(within & ((faster < 0) | (energy_j > least[:, 1])))
        return within


def nondominated(points: FloatArray) -> IntArray:
    """Return the rows of the points [N, 2] that no other one beats, by ascending first number.

    One row, the first, stands for equal points.
    """
    order = np.argsort(points[:, 0], kind="stable")
    second = points[order, 1]
    best = np.minimum.accumulate(second)
    falls = np.ones(len(order), dtype=bool)
    falls[1:] = second[1:] < best[:-1]
    order = order[falls]
    first = points[order, 0]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = first[1:] > first[:-1]
    return order[last]
