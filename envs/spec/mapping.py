"""Mappings: which layer groups of a network run on which accelerator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from envs.errors import OptionError

#: Joins the parts of a mapping's name: `dla0_to_7_tensor`.
TO = "_to_"

#: A stop in a name, written in one way alone, so that a mapping has one name.
STOP = re.compile("0|[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Mapping:
    """The layer groups of a network, divided among accelerators in the order in which they run.

    Attributes:
        accelerators: [P] names, two neighbours always different. A whole network on one accelerator
            has one.
        stops: [P - 1] ascending, the first group that no longer runs on the accelerator before it.
            Groups count from 0, as in `envs.graph.partition`.

    Raises:
        OptionError: the numbers do not fit together.
    """

    accelerators: tuple[str, ...]
    stops: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        rising = all(before < after for before, after in pairwise((0, *self.stops)))
        changing = all(before != after for before, after in pairwise(self.accelerators))
        if not (rising and changing and len(self.accelerators) == len(self.stops) + 1):
            raise OptionError(
                f"{self.name} is no mapping of layer groups: name an accelerator, the first group"
                " that it does not run, the next accelerator, as in dla0_to_7_tensor"
            )

    @property
    def name(self) -> str:
        """Return its name: `dla0_to_7_tensor` runs groups 0 to 6 on `dla0`, the others on `tensor`.

        A further part adds its stop: `tensor_to_3_dla0_to_9_tensor`.
        """
        parts = [
            f"{name}{TO}{stop}_" for name, stop in zip(self.accelerators, self.stops, strict=False)
        ]
        return "".join([*parts, self.accelerators[-1] if self.accelerators else ""])

    @classmethod
    def parse(cls, name: str) -> Mapping:
        """Return the mapping that has this name.

        Raises:
            OptionError: it is no name of a mapping.
        """
        first, *rest = name.split(TO)
        accelerators, stops = [first], []
        for each in rest:
            stop, _, accelerator = each.partition("_")
            if not (STOP.fullmatch(stop) and accelerator):
                raise OptionError(
                    f"{name!r} is no mapping of layer groups: write it as dla0_to_7_tensor, which"
                    " runs groups 0 to 6 on dla0 and the others on tensor"
                )
            accelerators.append(accelerator)
            stops.append(int(stop))
        return cls(tuple(accelerators), tuple(stops))

    @classmethod
    def of_groups(cls, accelerators: tuple[str, ...]) -> Mapping:
        """Return the mapping that runs each of the groups [G] on the accelerator named for it."""
        stops = [at for at, (a, b) in enumerate(pairwise(accelerators), start=1) if a != b]
        return cls(tuple(accelerators[at] for at in (0, *stops)), tuple(stops))

    def by_group(self, groups: int) -> tuple[str, ...]:
        """Return the name of the accelerator of each of `groups` groups [G].

        Raises:
            OptionError: the network has too few groups for it.
        """
        if self.stops and self.stops[-1] >= groups:
            raise OptionError(
                f"{self.name} needs more than {self.stops[-1]} layer groups; the network has"
                f" {groups}: choose a mapping of this network"
            )
        bounds = (0, *self.stops, groups)
        return tuple(
            name
            for name, (start, stop) in zip(self.accelerators, pairwise(bounds), strict=True)
            for _ in range(start, stop)
        )
