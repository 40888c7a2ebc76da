"""Random search: what any other search has to beat."""

from __future__ import annotations

from tuner.search.candidates import IntArray, OrderedSearch


class RandomSearch(OrderedSearch):
    """The default, then the other candidates in a seeded random order."""

    def _plan(self) -> IntArray:
        return self.rng.permutation(len(self.problem.candidates))
