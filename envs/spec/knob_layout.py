"""Configurations as whole numbers: the action of an agent that sets every knob by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, IntArray, Placements, Rows, Single
from envs.errors import ConfigurationError
from envs.spec.configuration import Configuration
from envs.spec.measurement import Failure, FailureKind
from envs.spec.memory import memory_mib
from envs.spec.space import ConfigurationSpace


@dataclass(frozen=True)
class KnobLayout:
    """The knobs of one space, or of several side by side.

    An action is 2 K whole numbers: for each tenant in order, and for each of its accelerators in
    order, the number of instances and the index of the batch size in `batches`. The index means
    nothing where there are no instances. Reshaped to [T, A, 2] it stands as `Configuration.array`.

    Attributes:
        tenants: T, of the space that has the most.
        accelerators: [A] names, each once.
        max_instances: [A], the most instances of a tenant on each of them.
        batches: [Z] batch sizes of all spaces, ascending.
    """

    tenants: int
    accelerators: tuple[str, ...]
    max_instances: tuple[int, ...]
    batches: tuple[int, ...]

    @classmethod
    def of(cls, spaces: Sequence[ConfigurationSpace]) -> KnobLayout:
        """Return the layout that holds the knobs of all of the spaces."""
        most: dict[str, int] = {}
        for space in spaces:
            for each in space.device.accelerators:
                own = min(each.max_instances or space.max_instances, space.max_instances)
                most[each.name] = max(own, most.get(each.name, 0))
        return cls(
            max(space.shape[0] for space in spaces),
            tuple(most),
            tuple(most.values()),
            tuple(sorted({batch for space in spaces for batch in space.batches})),
        )

    @property
    def sizes(self) -> Rows:
        """Return the number of options of each number of an action, [2 K]."""
        pairs = [(most + 1, len(self.batches)) for most in self.max_instances]
        return np.array(pairs * self.tenants, dtype=np.int64).ravel()

    def split(self, options: BoolArray) -> list[BoolArray]:
        """Return the options of each number of an action, of those of all numbers in a row."""
        return np.split(options, np.cumsum(self.sizes)[:-1])

    def shares(self, action: IntArray) -> Single:
        """Return the numbers of an action as shares of the largest, [2 K]."""
        return np.asarray(action / np.maximum(self.sizes - 1, 1), dtype=np.float32)

    def placements(self, action: IntArray) -> Placements:
        """Return the instances and batch sizes [T, A, 2] that an action asks for.

        Raises:
            ConfigurationError: the action has another length, or a number beyond its options.
        """
        numbers = np.asarray(action)
        if numbers.shape != self.sizes.shape:
            raise ConfigurationError(
                f"an action has the shape {numbers.shape}, it must have {self.sizes.shape}"
            )
        if (numbers < 0).any() or (numbers >= self.sizes).any():
            raise ConfigurationError(
                f"an action holds {numbers.tolist()}, each number must lie below that of"
                f" {self.sizes.tolist()} and not below 0"
            )
        instances, index = numbers.reshape(self.tenants, len(self.accelerators), 2).T
        batch = np.where(instances > 0, np.asarray(self.batches)[index], 0)
        return np.stack([instances, batch], dtype=np.int16, casting="unsafe").T

    def configuration(self, space: ConfigurationSpace, action: IntArray) -> Configuration | Failure:
        """Return the configuration that an action asks for, or why a space has none such."""
        asked = self.placements(action)
        own = asked[: space.shape[0], self._columns(space)]
        if own[..., 0].sum() < asked[..., 0].sum():
            return Failure(
                FailureKind.INVALID,
                f"instances are asked for beyond the {space.shape[0]} tenants and the accelerators"
                f" {', '.join(space.device.accelerator_names)} of this problem",
            )
        configuration = Configuration.of(own)
        try:
            space.check(configuration)
        except ConfigurationError as error:
            return Failure(FailureKind.INVALID, str(error))
        return configuration

    def action(self, space: ConfigurationSpace, configuration: Configuration) -> Rows:
        """Return the action [2 K] that asks for a valid configuration of a space.

        Where there are no instances, the batch size is the first one that `masks` allows.
        """
        numbers = np.zeros((self.tenants, len(self.accelerators), 2), dtype=np.int64)
        first = [each.argmax() for each in self.split(self.masks(space))[1::2]]
        numbers[..., 1] = np.reshape(first, numbers.shape[:2])
        columns = self._columns(space)
        for tenant, accelerator, instances, batch in configuration.slots():
            numbers[tenant, columns[accelerator]] = instances, self.batches.index(batch)
        return numbers.ravel()

    def masks(self, space: ConfigurationSpace) -> BoolArray:
        """Return the options that may be part of a valid configuration, [sum of `sizes`].

        The options of each number of an action follow one another (the convention of sb3-contrib
        for `MultiDiscrete`). What is wrong only together is not masked: memory and loadables that
        several knobs fill, tenants that none of several accelerators serves.
        """
        places = [
            [self._open(space, tenant, name) for name in self.accelerators]
            for tenant in range(self.tenants)
        ]
        flags = []
        for row in places:
            alone = sum(len(open_) > 0 for open_ in row) == 1
            for open_, most in zip(row, self.max_instances, strict=True):
                instances = np.isin(np.arange(most + 1), open_[:, 0])
                instances[0] = not (alone and len(open_))
                batches = np.isin(self.batches, open_[:, 1])
                batches[0] |= not len(open_)
                flags += [instances, batches]
        return np.concatenate(flags)

    def _columns(self, space: ConfigurationSpace) -> list[int]:
        """Return where the accelerators of a space stand in the layout."""
        return [self.accelerators.index(name) for name in space.device.accelerator_names]

    def _open(self, space: ConfigurationSpace, tenant: int, accelerator: str) -> Placements:
        """Return the settings (instances, batch) [O', 2] that a knob can have by itself, in use."""
        names = space.device.accelerator_names
        if tenant >= space.shape[0] or accelerator not in names:
            return np.zeros((0, 2), dtype=np.int16)
        column = names.index(accelerator)
        options = space.options[space.knob_options[tenant * len(names) + column]]
        options = options[np.isin(options[:, 1], space.batches_of(tenant, column))]
        alone = np.zeros((len(options), *space.shape, 2), dtype=np.int16)
        alone[:, tenant, column] = options
        fits = memory_mib(space, alone) <= space.device.memory_mib
        if space.max_total_instances is not None:
            fits &= options[:, 0] <= space.max_total_instances - (space.shape[0] - 1)
        return options[fits]
