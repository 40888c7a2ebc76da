"""The parts of a network as files, and the numbers that reach each of them."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.accuracy.reference import ROWS, reason_of, session_of
from envs.accuracy.samples import Samples
from envs.arrays import NamedArrays
from envs.errors import NetworkError, StorageError
from envs.graph.onnx_file import read_whole
from envs.graph.partition import Partition, partition_of
from envs.graph.reading import read_network
from envs.graph.segments import balanced, group_segments
from envs.spec import Accelerator, DeviceSpec, Network

logger = logging.getLogger(__name__)


class Divided(NamedTuple):
    """The parts of a network.

    Attributes:
        paths: [P] ONNX files.
        networks: [P] their descriptions.
        places: [P] the accelerators on which they run.
    """

    paths: list[Path]
    networks: list[Network]
    places: list[Accelerator]


def divided(
    path: Path, network: Network, used: Accelerator, device: DeviceSpec, folder: Path
) -> Divided:
    """Write the parts of a network on a mapping, or its segments, as files, and read them.

    Segments have costs that are as equal as the layer groups allow (`LayerGroup.cost`), and all run
    on one accelerator.

    Args:
        path: the file of the network.
        network: its description.
        used: a mapping, or an accelerator with several segments.
        device: has the parts of the mapping.
        folder: for the files; made if it is missing.

    Raises:
        NetworkError: the network has too few layer groups for that, or a part cannot be read as a
            network of its own.
        StorageError: the folder cannot be written.
    """
    partition = partition_of(path)
    starts = _starts(partition, network, used)
    if used.mapping is None:
        places = [replace(used, name=used.whole, segments=1)] * len(starts)
    else:
        places = list(device.parts(used))
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
    return Divided(paths, networks, places)


def segment_count(path: Path, most: int) -> int:
    """Return in how many segments a network can run on one accelerator, at most `most`.

    Raises:
        NetworkError: the file cannot be read.
    """
    return min(most, len(_cuttable(partition_of(path))) - 1)


def _cuttable(partition: Partition) -> list[int]:
    """Return the layer groups at which segments can begin, and the number of groups as the last.

    Each segment has a layer that multiplies: an engine of others is not worth a launch, and cannot
    be INT8.
    """
    groups = partition.groups
    multiplying = [at for at, group in enumerate(groups) if group.layers.macs.any()]
    return [0, *multiplying[1:], len(groups)]


def _starts(partition: Partition, network: Network, used: Accelerator) -> list[int]:
    """Return the first layer group of each part."""
    groups = partition.groups
    if used.mapping is not None:
        if used.mapping.stops[-1] >= len(groups):
            raise NetworkError(
                f"{network.name} has {len(groups)} layer groups, and the mapping needs more"
                f" than {used.mapping.stops[-1]}: choose a mapping of this network"
            )
        return [0, *used.mapping.stops]
    bounds = _cuttable(partition)
    costs = [sum(group.cost for group in groups[start:stop]) for start, stop in pairwise(bounds)]
    starts = [bounds[at] for at in balanced(costs, used.segments)]
    if len(starts) == 1:
        raise NetworkError(f"{network.name} cannot be cut anywhere: run it on {used.whole}")
    if len(starts) < used.segments:
        logger.warning(
            "%s has %d segments on %s, not %d: it has no more cuts",
            network.name,
            len(starts),
            used.name,
            used.segments,
        )
    return starts


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
