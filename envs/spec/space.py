"""The space of configurations: encoding, listing, checking and describing them.

A knob is the setting of one tenant on one accelerator: option 0 is "unused", then every pair
(instances, batch). Arrays of configurations are int16 [N, T, A, 2]; the last axis is
(instances, batch), (0, 0) where unused.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import IntArray, Placements, Rows
from envs.errors import ConfigurationError
from envs.files import check_fields
from envs.spec.checks import check_space
from envs.spec.codes import codes_of
from envs.spec.configuration import Configuration as Configuration
from envs.spec.default import default_placements
from envs.spec.device import DeviceSpec
from envs.spec.knob_settings import every_setting, knob_limits, settings_of_knobs
from envs.spec.listing import MAX_COMBINATIONS, no_configuration, valid_placements
from envs.spec.some_tenants import APART, space_of_tenants
from envs.spec.validity import VALID, judge, reason
from envs.spec.workload import Workload


@dataclass(frozen=True)
class ConfigurationSpace:
    """Every configuration of a workload on a device.

    Attributes:
        max_instances: of one tenant on one accelerator.
        batches: batch sizes to choose from, ascending.
        max_total_instances: of all tenants on all accelerators together; None for no such limit.
        unavailable: pairs (tenant, accelerator) that cannot be served: no engine could be built,
            its answers are not those of FP32, or it is a mapping of another tenant's network.
        unjudged: pairs whose answers were never compared with FP32 and that the user allowed all
            the same. A tenant that uses one is served at that precision alone, so that equal
            requests have equal answers.
        unavailable_batches: (tenant, accelerator, batch) that cannot be served, where other batch
            sizes of the pair can.
        blocks: (tenant, accelerator, count), the loadables that one engine takes on a DLA where
            that is known and they are more than one; elsewhere there is one for each part, see
            `Accelerator.dla_parts`.
        optional: tenants that may be without an instance: they come and go while the others are
            served. At least one tenant is always served.
    """

    device: DeviceSpec
    workload: Workload
    max_instances: int
    batches: tuple[int, ...]
    max_total_instances: int | None = None
    unavailable: frozenset[tuple[int, int]] = frozenset()
    unjudged: frozenset[tuple[int, int]] = frozenset()
    unavailable_batches: frozenset[tuple[int, int, int]] = frozenset()
    blocks: frozenset[tuple[int, int, int]] = frozenset()
    optional: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        check_space(self)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (T, A)."""
        return len(self.workload.tenants), len(self.device.accelerators)

    @property
    def knobs(self) -> int:
        """Return K = T x A."""
        return self.shape[0] * self.shape[1]

    @functools.cached_property
    def options(self) -> Placements:
        """Return every setting of a knob, [O, 2], unused first."""
        return every_setting(self.max_instances, self.batches)

    @functools.cached_property
    def knob_options(self) -> tuple[Rows, ...]:
        """Return the options [O'] of each of the K knobs, some of [O] where there are limits."""
        return settings_of_knobs(self)

    @functools.cached_property
    def closed(self) -> frozenset[tuple[int, int]]:
        """Return the pairs (tenant, accelerator) that no configuration uses.

        Beside those that are `unavailable` these are critical tenants in several segments, which
        would give way to themselves.
        """
        cut = [n for n, each in enumerate(self.device.accelerators) if each.segments > 1]
        critical = [n for n, gives in enumerate(self.workload.best_effort) if not gives]
        return self.unavailable.union((t, a) for t in critical for a in cut)

    def batches_of(self, tenant: int, accelerator: int) -> tuple[int, ...]:
        """Return the batch sizes that a tenant may have on an accelerator, ascending."""
        fixed = self.workload.tenants[tenant].network.fixed_batch
        largest = self.device.accelerators[accelerator].max_batch
        return tuple(
            batch
            for batch in self.batches
            if fixed in (None, batch)
            and (largest is None or batch <= largest)
            and (tenant, accelerator, batch) not in self.unavailable_batches
        )

    def with_mappings(self, chosen: Sequence[Collection[str]]) -> ConfigurationSpace:
        """Return the space with mappings as further places, each open to its own tenants alone.

        A mapping is one of layer groups of a network, which have no meaning in another one, so
        that it is `unavailable` to tenants that do not choose it.

        Args:
            chosen: [T] names such as `dla0_to_7_tensor`, for each tenant those of its network.

        Raises:
            OptionError: see `DeviceSpec.with_mappings`.
        """
        first, names = self.shape[1], tuple(dict.fromkeys(name for own in chosen for name in own))
        closed = {
            (tenant, column)
            for tenant, own in enumerate(chosen)
            for column, name in enumerate(names, start=first)
            if name not in own
        }
        device = self.device.with_mappings(names)
        return replace(self, device=device, unavailable=self.unavailable | closed)

    def without_batches(self, places: Collection[tuple[int, int, int]]) -> ConfigurationSpace:
        """Return the space without these (tenant, accelerator, batch).

        A pair that has no batch size left is unavailable.
        """
        gone = self.unavailable_batches.union(places)
        space = replace(self, unavailable_batches=frozenset(gone))
        pairs = {(tenant, accelerator) for tenant, accelerator, _ in gone}
        empty = {pair for pair in pairs if not space.batches_of(*pair)}
        return replace(space, unavailable=space.unavailable | empty)

    def of_tenants(self, tenants: Sequence[int]) -> ConfigurationSpace:
        """Return the space of some tenants alone, each of which has to be served.

        See `envs.spec.some_tenants`.
        """
        return space_of_tenants(self, tenants)

    @property
    def combinations(self) -> int:
        """Return how many settings of all knobs there are, before the judge looks at them."""
        return math.prod(len(each) for each in self.knob_options)

    @property
    def enumerable(self) -> bool:
        """Return True if the space is small enough for `catalogue`."""
        return self.combinations <= MAX_COMBINATIONS

    @functools.cached_property
    def catalogue(self) -> Placements:
        """Return every valid configuration, [N, T, A, 2], the last knob changing fastest.

        Raises:
            OptionError: the space is not `enumerable`; code that takes any space searches it.
            ConfigurationError: no configuration is valid.
        """
        return valid_placements(self)

    def decode(self, choices: npt.NDArray[np.integer]) -> Placements:
        """Return the placements [..., T, A, 2] of knob options [..., K]."""
        placements: Placements = self.options[choices].reshape(*choices.shape[:-1], *self.shape, 2)
        return placements

    def encode(self, placements: IntArray) -> Rows:
        """Return the knob options [..., K] of placements [..., T, A, 2].

        An option is -1 where this space has no such setting of the knob.
        """
        instances, batch = placements[..., 0].astype(np.int64), placements[..., 1].astype(np.int64)
        sizes = np.asarray(self.batches)
        position = np.minimum(np.searchsorted(sizes, batch), len(sizes) - 1)
        option = 1 + (instances - 1) * len(sizes) + position
        most, largest = self._knob_limits
        offered = (instances >= 1) & (instances <= most) & (batch <= largest)
        offered &= sizes[position] == batch
        for tenant, accelerator, size in self.unavailable_batches:
            offered[..., tenant, accelerator] &= batch[..., tenant, accelerator] != size
        option = np.where(offered, option, np.where((instances == 0) & (batch == 0), 0, -1))
        return option.reshape(*placements.shape[:-3], self.knobs)

    @functools.cached_property
    def _knob_limits(self) -> tuple[Rows, Rows]:
        """Return the most instances [T, A] and the largest batch [A]."""
        return knob_limits(self)

    def codes(self, placements: IntArray) -> Rows:
        """Return one whole number a configuration, [...] of [..., T, A, 2]; -1 outside the space.

        Equal configurations have equal codes, and different ones hardly ever, see `codes_of`.
        """
        return self.codes_of(self.encode(placements))

    def codes_of(self, options: IntArray) -> Rows:
        """Return the codes [...] of knob options [..., K], see `envs.spec.codes`."""
        return codes_of(options, len(self.options))

    def check(self, configuration: Configuration) -> None:
        """Raise ConfigurationError, with the reason, unless the configuration is valid here."""
        placements = configuration.array()
        if placements.shape != (*self.shape, 2):
            raise ConfigurationError(
                f"the configuration has shape {placements.shape[:-1]}, the space {self.shape}"
                " (tenants, accelerators)"
            )
        code = int(judge(self, placements[None])[0])
        if code != VALID:
            raise ConfigurationError(f"{self.describe(configuration)}: {reason(self, code)}")

    def default(self) -> Configuration:
        """Return the smallest start: one instance of each tenant, see `default_placements`.

        Raises:
            ConfigurationError: one instance of each tenant is not possible.
        """
        placements = default_placements(self)
        code = int(judge(self, placements[None])[0])
        if code != VALID:
            raise no_configuration(self, code)
        return Configuration.of(placements)

    def describe(self, configuration: Configuration) -> str:
        """Return it as text, instances x batch: `resnet50: cpu_fp32 1x4 + cpu_int8 2x8`."""
        parts = zip(self.workload.names, self.describe_each(configuration), strict=True)
        return "; ".join(f"{name}: {part}" for name, part in parts)

    def describe_each(self, configuration: Configuration) -> list[str]:
        """Return the part of each tenant as text: `cpu_fp32 1x4 + cpu_int8 2x8`, or `none`."""
        names = self.device.accelerator_names
        parts: list[list[str]] = [[] for _ in self.workload.names]
        for tenant, accelerator, instances, batch in configuration.slots():
            parts[tenant].append(f"{names[accelerator]} {instances}x{batch}")
        return [" + ".join(part) or "none" for part in parts]

    def uncalibrated(self, configuration: Configuration | None = None) -> list[str]:
        """Return the pairs whose answers nobody judged, such as `resnet50 on dla0`.

        Args:
            configuration: only those that it uses; None for all of the space.
        """
        used = (
            self.unjudged
            if configuration is None
            else {(tenant, accelerator) for tenant, accelerator, _, _ in configuration.slots()}
        )
        names, accelerators = self.workload.names, self.device.accelerator_names
        return [f"{names[t]} on {accelerators[a]}" for t, a in sorted(self.unjudged & used)]

    def to_dict(self) -> dict[str, Any]:
        """Return the space as plain data that JSON can hold; `from_dict` reads it."""
        data: dict[str, Any] = {
            "device": self.device.to_dict(),
            "workload": self.workload.to_dict(),
            "max_instances": self.max_instances,
            "batches": list(self.batches),
            "max_total_instances": self.max_total_instances,
        }
        for key in APART:
            if pairs := getattr(self, key):
                data[key] = [list(pair) for pair in sorted(pairs)]
        if self.optional:
            data["optional"] = sorted(self.optional)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ConfigurationSpace:
        """Return the space that `to_dict` wrote, with or without what stands apart.

        Raises:
            ValueError, TypeError, KeyError, TunerError: the data is something else.
        """
        pairs = {key: [tuple(pair) for pair in data.get(key, ())] for key in APART}
        optional = list(data.get("optional", ()))
        numbers = [each for group in pairs.values() for pair in group for each in pair] + optional
        if not all(type(each) is int for each in (*data["batches"], *numbers)):
            raise ValueError(f"batches, {', '.join(APART)}, optional must hold whole numbers")
        space = cls(
            DeviceSpec.from_dict(data["device"]),
            Workload.from_dict(data["workload"]),
            data["max_instances"],
            tuple(data["batches"]),
            data["max_total_instances"],
            **{key: frozenset(each) for key, each in pairs.items()},
            optional=frozenset(optional),
        )
        check_fields(space)
        return space
