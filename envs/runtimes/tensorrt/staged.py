"""Engines of the parts of a mapping: each part is a network of its own, built for one accelerator.

The parts are built, kept and loaded like whole networks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.accuracy.reference import ROWS, reason_of, session_of
from envs.accuracy.samples import Samples
from envs.arrays import NamedArrays
from envs.errors import NetworkError, StorageError
from envs.graph.onnx_file import read_whole
from envs.graph.partition import partition_of
from envs.graph.reading import read_network
from envs.graph.segments import group_segments
from envs.runtimes.tensorrt.lane import Lane
from envs.runtimes.tensorrt.progress import Step
from envs.runtimes.tensorrt.staged_lane import StagedLane
from envs.spec import ConfigurationSpace, Network, Tenant, Workload

#: Makes the factory of the parts from their space, their files and what calibrates them.
MakeFactory = Callable[[ConfigurationSpace, Sequence[Path], Sequence[Samples | None]], Any]


class Divided(NamedTuple):
    """The parts of a network.

    Attributes:
        paths: [P] ONNX files.
        networks: [P] their descriptions.
    """

    paths: list[Path]
    networks: list[Network]


class StagedEngines:
    """The engines of the parts of one network on one mapping.

    Args:
        space: of the whole networks.
        tenant: whose network is divided.
        accelerator: the mapping.
        path: the file of the network.
        samples: of the network, which run through the parts before an INT8 one to calibrate it.
        folder: where the files of the parts are kept.
        make: makes a factory of engines that have no formats of a DLA at their border.

    Raises:
        NetworkError: the network cannot be divided so.
        OptionError: it has too few layer groups for the mapping.
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
        used, self._network = space.device.accelerators[accelerator], space.workload.tenants[tenant]
        parts = space.device.parts(used)
        assert used.mapping is not None, "a whole network has no parts"
        starts = (0, *used.mapping.stops)
        self._divided = divided(path, self._network.network, starts, folder)
        networks = self._divided.networks
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
            reaching = reaching_samples(self._divided, self._network.network, samples)
            given = [
                each if needed else None for each, needed in zip(reaching, calibrated, strict=True)
            ]
        self.factory = make(inner, self._divided.paths, given)

    def build(self, batch: int, step: Step | None = None) -> None:
        """Build the engine of each part unless it is there; ConfigurationFailed if one cannot."""
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
        whole, networks = self._network.network, self._divided.networks
        outputs = {spec.name for spec in whole.outputs}

        def lane_of(part: int, held: Mapping[str, Any]) -> Lane:
            inner = {spec.name for spec in networks[part].outputs} - outputs
            made: Lane = self.factory.part_lane(
                part, self.columns[part], batch, stream, graphs, held, inner
            )
            return made

        return StagedLane(whole, networks, lane_of)


def divided(path: Path, network: Network, starts: Sequence[int], folder: Path) -> Divided:
    """Write the parts of a network that begin with these layer groups as files, and read them.

    Raises:
        NetworkError: a part cannot be read as a network of its own.
        OptionError: the network has too few layer groups.
        StorageError: the folder cannot be written.
    """
    partition = partition_of(path)
    if starts[-1] >= len(partition.groups):
        raise NetworkError(
            f"{network.name} has {len(partition.groups)} layer groups, and the mapping needs more"
            f" than {starts[-1]}: choose a mapping of this network"
        )
    segments = group_segments(partition, read_whole(path), starts)
    bounds = [*map(str, starts), "end"]
    paths, networks = [], []
    for position, segment in enumerate(segments):
        name = f"{network.sha256[:12]}-groups{bounds[position]}-{bounds[position + 1]}.onnx"
        content = segment.model.SerializeToString(deterministic=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / name).exists() or (folder / name).read_bytes() != content:
                with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                    file.write(content)
                Path(file.name).replace(folder / name)
        except OSError as error:
            raise StorageError(
                f"cannot keep the parts of {network.name} in {folder}"
                f" ({error.strerror or error}): give a folder with room"
            ) from error
        paths.append(folder / name)
        networks.append(read_network(folder / name, f"{network.name} part {position + 1}"))
    return Divided(paths, networks)


def reaching_samples(parts: Divided, network: Network, samples: Samples) -> list[Samples]:
    """Return the numbers that reach each part [P] in FP32, on this processor.

    Raises:
        NetworkError: a part cannot be run, or a tensor that reaches it has no batch.
    """
    sessions = [session_of(path, path.name) for path in parts.paths]
    found: list[list[NamedArrays]] = [[] for _ in sessions]
    fixed = network.fixed_batch
    for feed in samples.feeds(fixed or ROWS, exact=fixed is not None):
        alive, rows = dict(feed), len(next(iter(feed.values())))
        for position, (session, part) in enumerate(zip(sessions, parts.networks, strict=True)):
            given = {spec.name: alive[spec.name] for spec in part.inputs}
            if any(each.shape[:1] != (rows,) for each in given.values()):
                raise NetworkError(
                    f"{part.name} cannot run in INT8, since a tensor that reaches it has no batch:"
                    " choose another mapping"
                )
            found[position].append(given)
            names = [spec.name for spec in part.outputs]
            try:
                alive |= dict(zip(names, session.run(names, given), strict=True))
            except Exception as error:  # the errors of ONNX Runtime have no common base
                raise NetworkError(f"{part.name} cannot be run ({reason_of(error)})") from error
    return [
        Samples(
            {
                name: np.concatenate([each[name] for each in batches])[: len(samples)]
                for name in batches[0]
            },
            samples.origin,
            samples.total,
        )
        for batches in found
    ]
