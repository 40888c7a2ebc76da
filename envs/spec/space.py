"""Configurations, and the space they are chosen from.

Letters: N configurations, T tenants, A accelerators, K = T x A knobs. A knob is what one tenant has on one accelerator:
option 0 is "unused", then every (instances, batch) pair. Arrays of configurations are int16 [N, T, A, 2], the last axis
being (instances, batch), (0, 0) where unused.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import Placements
from envs.errors import ConfigurationError, OptionError
from envs.files import check_fields
from envs.spec.device import DeviceSpec
from envs.spec.validity import UNSERVED, VALID, judge, reason
from envs.spec.workload import Workload

#: The largest batch a DLA takes (NVIDIA, TensorRT developer guide, "Working with DLA"); nothing serves larger ones.
MAX_BATCH = 4096

#: Enumerating more than this many combinations at once would fill the memory of a small computer.
MAX_COMBINATIONS = 4_000_000

#: What one knob can be set to, at most: instances are kept in 16 bits.
MAX_OPTIONS = 32_000


@dataclass(frozen=True)
class Configuration:
    """Per tenant and accelerator: (instances, batch), (0, 0) where unused. Hashable; `space.describe` puts it in words."""

    placements: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, placements: npt.ArrayLike) -> Configuration:
        """From [T, A, 2]."""
        rows = np.asarray(placements).tolist()
        return cls(tuple(tuple((instances, batch) for instances, batch in row) for row in rows))

    def array(self) -> Placements:
        """As [T, A, 2]."""
        return np.asarray(self.placements, dtype=np.int16)

    def slots(self) -> Iterator[tuple[int, int, int, int]]:
        """(tenant, accelerator, instances, batch) of what is used."""
        for tenant, row in enumerate(self.placements):
            for accelerator, (instances, batch) in enumerate(row):
                if instances:
                    yield tenant, accelerator, instances, batch

    @property
    def total_instances(self) -> int:
        return sum(instances for _, _, instances, _ in self.slots())


@dataclass(frozen=True)
class ConfigurationSpace:
    """Every configuration of a workload on a device.

    Attributes:
        max_instances: of one tenant on one accelerator.
        batches: batch sizes to choose from, ascending.
        max_total_instances: of all tenants on all accelerators together; None for no limit of its own.
    """

    device: DeviceSpec
    workload: Workload
    max_instances: int
    batches: tuple[int, ...]
    max_total_instances: int | None = None

    def __post_init__(self) -> None:
        if self.max_instances < 1:
            raise OptionError(f"space.max_instances={self.max_instances} must be at least 1")
        if self.max_total_instances is not None and self.max_total_instances < len(
            self.workload.tenants
        ):
            raise OptionError(
                f"space.max_total_instances={self.max_total_instances} is below the number of tenants, {len(self.workload.tenants)}"
            )
        if (
            not self.batches
            or min(self.batches) < 1
            or max(self.batches) > MAX_BATCH
            or list(self.batches) != sorted(set(self.batches))
        ):
            raise OptionError(
                f"space.batches={list(self.batches)} must be ascending whole numbers from 1 to {MAX_BATCH}"
            )
        if self.max_instances * len(self.batches) > MAX_OPTIONS:
            raise OptionError(
                f"space.max_instances={self.max_instances} with {len(self.batches)} batch sizes is above {MAX_OPTIONS:,} choices: lower it"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(T, A)."""
        return len(self.workload.tenants), len(self.device.accelerators)

    @property
    def knobs(self) -> int:
        return self.shape[0] * self.shape[1]

    @functools.cached_property
    def options(self) -> Placements:
        """What a knob can be set to, [O, 2], unused first."""
        pairs = [
            (instances, batch)
            for instances in range(1, self.max_instances + 1)
            for batch in self.batches
        ]
        return np.array([(0, 0), *pairs], dtype=np.int16)

    @functools.cached_property
    def knob_options(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Which options [O'] each of the K knobs has: fewer where an accelerator has limits of its own."""
        every = []
        for each in self.device.accelerators:
            fits = np.ones(len(self.options), dtype=bool)
            if each.max_instances is not None:
                fits &= self.options[:, 0] <= each.max_instances
            if each.max_batch is not None:
                fits &= self.options[:, 1] <= each.max_batch
            every.append(np.flatnonzero(fits))
        return tuple(every) * self.shape[0]

    @property
    def combinations(self) -> int:
        """How many settings of all knobs there are, before the judge looks at them."""
        return math.prod(len(each) for each in self.knob_options)

    @functools.cached_property
    def catalogue(self) -> Placements:
        """Every valid configuration, [N, T, A, 2], the last knob changing fastest."""
        if self.combinations > MAX_COMBINATIONS:
            raise OptionError(
                f"the space has {self.combinations:,} combinations, above {MAX_COMBINATIONS:,}: lower space.max_instances or give fewer space.batches"
            )
        positions = np.unravel_index(
            np.arange(self.combinations), [len(each) for each in self.knob_options]
        )
        placements = self.decode(
            np.stack(
                [
                    each[position]
                    for each, position in zip(self.knob_options, positions, strict=True)
                ],
                axis=-1,
            )
        )
        codes = judge(self, placements)
        if not (codes == VALID).any():
            served = codes[
                codes != UNSERVED
            ]  # of those that serve everybody, what most of them break
            raise ConfigurationError(
                f"no configuration is valid on {self.device.name}: {reason(self, int(np.bincount(served).argmax()))}"
            )
        valid: Placements = placements[codes == VALID]
        return valid

    def decode(self, choices: npt.NDArray[np.integer]) -> Placements:
        """Knob options [..., K] to placements [..., T, A, 2]."""
        placements: Placements = self.options[choices].reshape(*choices.shape[:-1], *self.shape, 2)
        return placements

    def encode(self, placements: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Placements [..., T, A, 2] to knob options [..., K]; -1 where a placement is no option of this space."""
        instances, batch = placements[..., 0].astype(np.int64), placements[..., 1].astype(np.int64)
        sizes = np.asarray(self.batches)
        position = np.minimum(np.searchsorted(sizes, batch), len(sizes) - 1)
        option = 1 + (instances - 1) * len(sizes) + position
        most = np.array(
            [
                min(self.max_instances, each.max_instances or self.max_instances)
                for each in self.device.accelerators
            ]
        )
        largest = np.array([each.max_batch or MAX_BATCH for each in self.device.accelerators])
        known = (
            (instances >= 1) & (instances <= most) & (batch <= largest) & (sizes[position] == batch)
        )
        option = np.where(known, option, np.where((instances == 0) & (batch == 0), 0, -1))
        return option.reshape(*placements.shape[:-3], self.knobs)

    def codes(self, placements: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """One whole number a configuration, [...]: equal exactly where the configurations are; -1 outside the space."""
        options = self.encode(placements)
        code = np.zeros(options.shape[:-1], dtype=np.int64)
        for knob in range(self.knobs):
            code = code * len(self.options) + options[..., knob]
        return np.where((options < 0).any(axis=-1), -1, code)

    def check(self, configuration: Configuration) -> None:
        """ConfigurationError, with the reason, unless the configuration is valid here."""
        placements = configuration.array()
        if placements.shape != (*self.shape, 2):
            raise ConfigurationError(
                f"the configuration has shape {placements.shape[:-1]}, the space {self.shape} (tenants, accelerators)"
            )
        code = int(judge(self, placements[None])[0])
        if code != VALID:
            raise ConfigurationError(f"{self.describe(configuration)}: {reason(self, code)}")

    def default(self) -> Configuration:
        """What people start from: each tenant one instance at the smallest batch, on the first accelerator that takes it."""
        tenants, accelerators = self.shape
        placements = np.zeros((tenants, accelerators, 2), dtype=np.int16)
        for tenant in range(tenants):
            batch = self.workload.tenants[tenant].network.fixed_batch or self.batches[0]
            placements[tenant, 0] = (1, batch)
        if int(judge(self, placements[None])[0]) == VALID:
            return Configuration.of(placements)
        if self.combinations > MAX_COMBINATIONS:
            raise ConfigurationError(
                f"one instance of each tenant is not possible on {self.device.name}: it is too small for this workload"
            )
        fewest = self.catalogue[..., 0].sum(axis=(1, 2)).argmin()
        return Configuration.of(self.catalogue[fewest])

    def describe(self, configuration: Configuration) -> str:
        """In words: `resnet50: cpu_fp32 1x4 + cpu_int8 2x8` (instances x batch)."""
        names = self.device.accelerator_names
        parts: dict[int, list[str]] = {}
        for tenant, accelerator, instances, batch in configuration.slots():
            parts.setdefault(tenant, []).append(f"{names[accelerator]} {instances}x{batch}")
        return "; ".join(
            f"{name}: {' + '.join(parts.get(tenant, ['none']))}"
            for tenant, name in enumerate(self.workload.names)
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "device": self.device.to_dict(),
            "workload": self.workload.to_dict(),
            "max_instances": self.max_instances,
            "batches": list(self.batches),
            "max_total_instances": self.max_total_instances,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ConfigurationSpace:
        """What `to_dict` gave; ValueError, TypeError, KeyError or a TunerError where it is something else."""
        if not all(type(batch) is int for batch in data["batches"]):
            raise ValueError("batches are no whole numbers")
        space = cls(
            DeviceSpec.from_dict(data["device"]),
            Workload.from_dict(data["workload"]),
            data["max_instances"],
            tuple(data["batches"]),
            data["max_total_instances"],
        )
        check_fields(space)
        return space
