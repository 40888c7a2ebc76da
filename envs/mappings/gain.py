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

import numpy as np

from envs.arrays import FloatArray
from envs.mappings.costs import GroupCosts
from envs.mappings.search import MappingCost
from envs.spec.device import Kind, accelerator
from envs.spec.mapping import Mapping

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


def fallbacks(
    costs: GroupCosts, times: FloatArray, energies: FloatArray
) -> tuple[MappingCost, ...]:
    """Return whole networks on DLAs that leave groups to the Tensor Cores.

    Such an engine makes no choice: the DLA takes all that it can. So it counts among the single
    accelerators that a mapping is compared with. It costs what the model says of it, or what its
    groups cost one by one where that is less.

    Args:
        costs: of the groups.
        times: [A, s] of the whole network, as `envs.mappings.model_costs.whole_costs` has them.
        energies: [A, J] of the whole network.
    """
    found = []
    for at, chosen in left_to_the_gpu(costs).items():
        time_s, energy_j = costs.of(chosen)
        least = min(time_s, float(times[at])), min(energy_j, float(energies[at]))
        found.append(MappingCost(Mapping((costs.accelerators[at],)), *least, ()))
    return tuple(found)


def left_to_the_gpu(costs: GroupCosts) -> dict[int, tuple[int, ...]]:
    """Return, by the position of a DLA that does not take all groups, where each group runs.

    The Tensor Cores run what the DLA does not take. DLAs that take nothing are left out.
    """
    kinds = [accelerator(name).kind for name in costs.accelerators]
    if Kind.TENSOR_CORES not in kinds:
        return {}
    tensor, found = kinds.index(Kind.TENSOR_CORES), {}
    for at, kind in enumerate(kinds):
        takes = np.isfinite(costs.time_s[:, at])
        if kind is Kind.DLA and takes.any() and not takes.all():
            found[at] = tuple(np.where(takes, at, tensor).tolist())
    return found
