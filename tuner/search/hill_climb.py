"""Hill climbing: one knob at a time, as a careful person would."""

from __future__ import annotations

import numpy as np

from tuner.search.candidates import CandidateSearch, IntArray


class HillClimb(CandidateSearch):
    """Measures the neighbours of the best candidate known, in random order, and moves as soon as one is better.

    Neighbours differ in one knob by one step (an instance, a batch size, a first instance at any batch), or have what a tenant runs
    on two accelerators exchanged (a move, where one of the two is idle): a step at a time would have to pass through worse
    configurations to get there. Feasibility comes first, because candidates are compared by `envs.objective.rank`.

    It takes the first improvement, not the best one, since looking at all neighbours costs 5 to 25 measurements a move. Where every
    neighbour is spent it goes on with the nearest candidates that are not, ties by chance: the ring grows until something is better.
    """

    def _propose(self) -> int:
        best = int(self.worth.argmax()) if np.isfinite(self.worth).any() else self.default_row
        left = np.flatnonzero(~self.spent)
        steps = self.steps_from(self.instances[best], self.levels[best])
        steps[self._exchanged(best)] = 1
        near = steps[left]
        return self.any_of(left[near == near.min()])

    def _exchanged(self, row: int) -> IntArray:
        """Candidates in which one tenant has the contents of two of its accelerators exchanged."""
        here = self.problem.candidates[row]
        tenants, accelerators = self.problem.space.shape
        pairs = [(tenant, one, other) for tenant in range(tenants) for one in range(accelerators) for other in range(one)]
        if not pairs:
            return np.empty(0, dtype=np.int64)
        swapped = np.repeat(here[None], len(pairs), axis=0)
        for position, (tenant, one, other) in enumerate(pairs):
            swapped[position, tenant, [one, other]] = here[tenant, [other, one]]
        rows = self.rows(swapped)
        return rows[rows >= 0]
