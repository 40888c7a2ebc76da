"""The candidates of a problem as arrays of knobs, and the row of a configuration among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.arrays import IntArray, Placements, Rows
from envs.belief.local_search import random_placements, valid
from envs.problems.problem import Problem
from envs.spec import ConfigurationSpace

#: An open problem that lists fewer candidates gets random ones up to about this number, so that
#: a random choice, or the nearest candidate, is not confined to the favourites of a model.
OPEN_CANDIDATES = 2000


@dataclass(frozen=True)
class CandidateIndex:
    """Codes and knobs of candidates [N].

    Attributes:
        codes: [N] ascending, as `ConfigurationSpace.codes` gives them.
        order: [N], the row of each code.
        instances: [N, K].
        levels: [N, K], the position of the batch in `space.batches`; -1 where unused.
    """

    codes: Rows
    order: Rows
    instances: IntArray
    levels: IntArray

    @classmethod
    def of(cls, space: ConfigurationSpace, placements: Placements) -> CandidateIndex:
        """Index the candidates [N, T, A, 2]."""
        codes = space.codes(placements)
        order = np.argsort(codes)
        return cls(codes[order], order, *knob_values(space, placements))

    def rows(self, codes: Rows) -> Rows:
        """Return the rows [B] of the candidates with these codes, -1 where there is none."""
        position = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where((self.codes[position] == codes) & (codes >= 0), self.order[position], -1)


def knob_values(space: ConfigurationSpace, placements: Placements) -> tuple[IntArray, IntArray]:
    """Return the instances and the batch levels [N, K] of configurations [N, T, A, 2]."""
    flat = placements.reshape(len(placements), space.knobs, 2).astype(np.int16)
    levels = np.searchsorted(np.asarray(space.batches), flat[..., 1]).astype(np.int16)
    return flat[..., 0], np.where(flat[..., 0] > 0, levels, np.int16(-1))


def listed_candidates(problem: Problem) -> Placements:
    """Return the candidates [N, T, A, 2] of a problem; those of an open one with a sample."""
    missing = OPEN_CANDIDATES - len(problem.candidates)
    if not problem.open or missing <= 0:
        return problem.candidates
    space, rng = problem.space, np.random.default_rng(0)
    tenants, accelerators = space.shape
    # Where memory or the number of instances is short, hardly anything else is valid.
    single = np.zeros((missing, tenants, accelerators, 2), dtype=np.int16)
    where = rng.integers(accelerators, size=(missing, tenants))
    rows, columns = np.arange(missing)[:, None], np.arange(tenants)
    single[rows, columns, where, 0] = 1
    single[rows, columns, where, 1] = rng.choice(space.batches, (missing, tenants))
    drawn = [
        valid(space, each)[: missing // 2]
        for each in (single, random_placements(space, rng, 3 * missing))
    ]
    every = np.concatenate([problem.candidates, *drawn])
    return every[np.sort(np.unique(space.codes(every), return_index=True)[1])]
