"""Engines of the parts of a mapping, or of segments: each part is a network of its own.

The parts are built, kept and loaded like whole networks, each for one accelerator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.runtimes.tensorrt.division import divided, reaching_samples
from envs.runtimes.tensorrt.lane import Lane
from envs.runtimes.tensorrt.progress import Step
from envs.runtimes.tensorrt.staged_lane import StagedLane
from envs.spec import (
    ConfigurationFailed,
    ConfigurationSpace,
    Place,
    Tenant,
    Workload,
)

#: Makes the factory of the parts from their space, their files and what calibrates them.
MakeFactory = Callable[[ConfigurationSpace, Sequence[Path], Sequence[Samples | None]], Any]


class StagedEngines:
    """The engines of the parts of one network on one mapping, or of its segments.

    Args:
        space: of the whole networks.
        tenant: whose network is divided.
        accelerator: the mapping, or the one where it runs in segments.
        path: the file of the network.
        samples: of the network, which run through the parts before an INT8 one to calibrate it.
        folder: where the files of the parts are kept.
        make: makes a factory of engines that have no formats of a DLA at their border.

    Raises:
        NetworkError: the network cannot be divided so.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        tenant: int,
        accelerator: int,
        path: Path,
        samples: Samples,
        folder: Path,
        make: MakeFactory,
    ) -> None:
        used, self._network = (
            space.device.accelerators[accelerator],
            space.workload.tenants[tenant].network,
        )
        self._pair, self._name = (tenant, accelerator), used.name
        self._divided = divided(path, self._network, used, space.device, folder)
        networks, parts = self._divided.networks, self._divided.places
        columns = tuple(dict.fromkeys(parts))
        self.columns = [columns.index(each) for each in parts]
        inner = ConfigurationSpace(
            replace(space.device, accelerators=columns),
            Workload(tuple(Tenant(each.name, each) for each in networks)),
            space.max_instances,
            space.batches_of(tenant, accelerator),
            unavailable=frozenset(
                (part, column)
                for part, own in enumerate(self.columns)
                for column in range(len(columns))
                if column != own
            ),
        )
        calibrated = [each.precision == "int8" for each in parts]
        given: list[Samples | None] = [None] * len(parts)
        if any(calibrated):
            reaching = reaching_samples(self._divided, self._network, samples)
            given = [
                each if needed else None for each, needed in zip(reaching, calibrated, strict=True)
            ]
        self.factory = make(inner, self._divided.paths, given)

    def build(self, batch: int, step: Step | None = None) -> None:
        """Build the engine of each part unless it is there; ConfigurationFailed if one cannot."""
        with self._at(batch):
            for part, column in enumerate(self.columns):
                self.factory.build(part, column, batch, step)

    def built(self, batch: int) -> bool:
        """Return True if the engine of each part is there."""
        return all(self.factory.built(part, col, batch) for part, col in enumerate(self.columns))

    def borrowed(self, batch: int) -> str:
        """Return the power mode of an engine that serves until the own one is built, or ""."""
        modes = (self.factory.borrowed(part, col, batch) for part, col in enumerate(self.columns))
        return next(filter(None, modes), "")

    def renew(self, batch: int, step: Step | None = None) -> None:
        """Build the engines of this power mode where those of another one serve."""
        with self._at(batch):
            for part, column in enumerate(self.columns):
                if self.factory.borrowed(part, column, batch):
                    self.factory.renew(part, column, batch, step)

    def keep_borrowed(self, batch: int, reason: str) -> None:
        """Serve with the engines of another power mode again."""
        for part, column in enumerate(self.columns):
            self.factory.keep_borrowed(part, column, batch, reason)

    def blocks(self) -> int:
        """Return how many loadables of a DLA all parts take."""
        on_dla = [
            (part, column)
            for part, column in enumerate(self.columns)
            if self.factory.builds.spec(part, column, 1).on_dla
        ]
        taken: int = sum(self.factory.blocks(*place) for place in on_dla)
        return max(1, taken)

    def calibration(self) -> tuple[str, int]:
        """Return how the parts in INT8 were calibrated: the methods, and the number of samples."""
        found = [self.factory.calibration(*place) for place in enumerate(self.columns)]
        known = [each for each in found if each[0]]
        methods = dict.fromkeys(method for method, _ in known)
        return ", ".join(methods), max((count for _, count in known), default=0)

    def lane(self, batch: int, stream: Any, graphs: bool) -> StagedLane:
        """Return a lane of all parts on a stream."""
        whole, networks = self._network, self._divided.networks
        outputs = {spec.name for spec in whole.outputs}

        def lane_of(part: int, held: Mapping[str, Any]) -> Lane:
            inner = {spec.name for spec in networks[part].outputs} - outputs
            made: Lane = self.factory.part_lane(
                part, self.columns[part], batch, stream, graphs, held, inner
            )
            return made

        with self._at(batch):
            return StagedLane(whole, networks, lane_of)

    @contextlib.contextmanager
    def _at(self, batch: int) -> Iterator[None]:
        """Let failures of a part in the block name the place of the whole network."""
        try:
            yield
        except ConfigurationFailed as error:
            reason = f"{self._network.name} on {self._name}: {error.failure.reason}"
            failure = replace(error.failure, reason=reason, place=Place(*self._pair, batch))
            raise ConfigurationFailed(failure) from error.__cause__
