"""Hill climbing: one knob at a time, as a careful person would."""

from __future__ import annotations

import numpy as np

from envs.arrays import Placements
from tuner.search.candidates import CandidateSearch


class HillClimb(CandidateSearch):
    """Measures the neighbours of the best candidate known, in random order, and moves as soon as one is better.

    Neighbours differ in one knob by one step (an instance, a batch size, a first instance at any batch), or have what a tenant runs
    on two accelerators exchanged (a move, where one of the two is idle): a step at a time would have to pass through worse
    configurations to get there. Feasibility comes first, because candidates are compared by `envs.spec.objective.rank`.

    It takes the first improvement, not the best one, since looking at all neighbours costs 5 to 25 measurements a move. Where every
    neighbour is spent it goes on with the nearest candidates that are not, ties by chance: the ring grows until something is better.
    """

    def _propose(self) -> int:
        best = self.best_row()
        near = self.left(self.rows(self._neighbours(self.candidates[best])))
        return self.any_of(
            near if len(near) else self.nearest_left(self.instances[best], self.levels[best])
        )

    def _neighbours(self, here: Placements) -> Placements:
        """[B, T, A, 2], some of which may be no candidates."""
        space = self.problem.space
        batches = space.batches
        found = []
        for tenant, accelerator in np.ndindex(space.shape):
            instances, batch = (int(value) for value in here[tenant, accelerator])
            if not instances:
                settings = [(1, size) for size in batches]
            else:
                level = batches.index(batch)
                settings = [
                    (instances + 1, batch),
                    (instances - 1, batch) if instances > 1 else (0, 0),
                ]
                settings += [
                    (instances, size)
                    for size in (
                        *batches[max(level - 1, 0) : level],
                        *batches[level + 1 : level + 2],
                    )
                ]
            for setting in settings:
                found.append(here.copy())
                found[-1][tenant, accelerator] = setting
            for other in range(accelerator):
                found.append(here.copy())
                found[-1][tenant, [accelerator, other]] = here[tenant, [other, accelerator]]
        return np.stack(found)
