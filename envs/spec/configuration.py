"""Configurations: instances and batch sizes of every tenant on every accelerator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from envs.arrays import Placements


@dataclass(frozen=True)
class Configuration:
    """Per tenant and accelerator: (instances, batch), (0, 0) where unused.

    It is hashable; `ConfigurationSpace.describe` writes it as text. One with a `label` prints as
    that; equal configurations may have different labels.
    """

    placements: tuple[tuple[tuple[int, int], ...], ...]
    label: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return self.label or repr(self)

    @classmethod
    def of(cls, placements: npt.ArrayLike) -> Configuration:
        """Return the configuration of an array [T, A, 2]."""
        rows = np.asarray(placements).tolist()
        return cls(tuple(tuple((instances, batch) for instances, batch in row) for row in rows))

    def array(self) -> Placements:
        """Return it as [T, A, 2]."""
        return np.asarray(self.placements, dtype=np.int16)

    def slots(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield (tenant, accelerator, instances, batch) of each knob in use."""
        for tenant, row in enumerate(self.placements):
            for accelerator, (instances, batch) in enumerate(row):
                if instances:
                    yield tenant, accelerator, instances, batch

    @property
    def total_instances(self) -> int:
        """Return the number of instances of all tenants on all accelerators."""
        return sum(instances for _, _, instances, _ in self.slots())
