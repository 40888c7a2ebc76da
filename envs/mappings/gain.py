"""Gain: what the best mapping saves against the best single accelerator.

For a weight w from 0 to 1,

    gain = 1 - exp(min over mappings V - min over single accelerators V),
    V = w log time + (1 - w) log energy.

It is a share: with w = 1 of the time that a batch takes, with w = 0 of its energy, and with w = 0.5
of their geometric mean. It is 0 where no mapping is better than a single accelerator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from envs.mappings.search import MappingCost

#: The weights that reports show, with the names of their gains.
WEIGHTS = {1.0: "latency benefit", 0.5: "trade-off benefit", 0.0: "energy benefit"}


@dataclass(frozen=True)
class Gain:
    """The best mapping and the best single accelerator by one weight.

    Attributes:
        weight: of time against energy.
        mapping: the best one; it is a single accelerator where no other mapping is better. None
            where no mapping runs the network.
        single: the best single accelerator; None where none runs the whole network.
    """

    weight: float
    mapping: MappingCost | None
    single: MappingCost | None

    @property
    def share(self) -> float:
        """Return the gain from 0 to 1; NaN where no single accelerator runs the network."""
        if self.mapping is None or self.single is None:
            return math.nan
        best, single = self.mapping.value(self.weight), self.single.value(self.weight)
        return 0.0 if best >= single else 1 - math.exp(best - single)


def gain_of(front: Sequence[MappingCost], singles: Sequence[MappingCost], weight: float) -> Gain:
    """Return the gain by a weight.

    Args:
        front: the whole front of time and energy: the best mapping by any weight is on it.
        singles: the single accelerators that run the whole network.
        weight: of time against energy, from 0 to 1.
    """

    def best(of: Sequence[MappingCost]) -> MappingCost | None:
        return min(of, key=lambda each: (each.value(weight), each.transitions), default=None)

    return Gain(weight, best([*singles, *front]), best(singles))
