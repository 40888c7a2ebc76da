"""Random search, the baseline of every other search."""

from collections.abc import Iterable

from tuner.search.candidates import OrderedSearch


class RandomSearch(OrderedSearch):
    """Tries the default, then the other candidates in a seeded random order."""

    def _plan(self) -> Iterable[int]:
        order: Iterable[int] = self.rng.permutation(len(self.candidates))
        return order
