"""Hill climbing: change one knob at a time, as a careful person does."""

import numpy as np

from envs.arrays import Placements
from tuner.search.candidates import CandidateSearch


class HillClimb(CandidateSearch):
    """Measures neighbours of the best candidate so far, in random order, and moves to a better one.

    A neighbour differs in one knob by one step (an instance, a batch size, a first instance at any
    batch), or exchanges the settings of a tenant on two accelerators, because the way there by
    single steps may lead through worse configurations. Candidates are compared by
    `envs.spec.judging.rank`: those within the limits come first.

    The search takes the first improvement: looking at all neighbours first would cost 5 to 25
    measurements a move. If every neighbour is spent, it continues with the nearest candidates that
    are not, ties at random.
    """

    def _propose(self) -> int:
        best = self.best_row()
        near = self.unspent(self.rows(self._neighbours(self.candidates[best])))
        if not len(near):
            near = self.nearest_unspent(self.instances[best], self.levels[best])
        return self.pick(near)

    def _neighbours(self, here: Placements) -> Placements:
        """Return [B, T, A, 2]; some of them may be no candidates."""
        found = []
        for tenant, accelerator in np.ndindex(self.problem.space.shape):
            for setting in self._next_settings(*here[tenant, accelerator].tolist()):
                found.append(here.copy())
                found[-1][tenant, accelerator] = setting
            for other in range(accelerator):
                found.append(here.copy())
                found[-1][tenant, [accelerator, other]] = here[tenant, [other, accelerator]]
        return np.stack(found)

    def _next_settings(self, instances: int, batch: int) -> list[tuple[int, int]]:
        """Return the settings (instances, batch) that are one step from this one."""
        batches = self.problem.space.batches
        if not instances:
            return [(1, size) for size in batches]
        level = batches.index(batch)
        sizes = (*batches[max(level - 1, 0) : level], *batches[level + 1 : level + 2])
        fewer = (instances - 1, batch) if instances > 1 else (0, 0)
        return [(instances + 1, batch), fewer, *((instances, size) for size in sizes)]
