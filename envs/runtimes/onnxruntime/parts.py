"""Divide a network among accelerators of a processor: a file for each part of a mapping."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from envs.accuracy.quantization import Int8Copy, check_not_quantised, int8_copy
from envs.accuracy.reference import ROWS, reason_of
from envs.accuracy.samples import FEWEST, MAX_BYTES, Samples, invented, positive
from envs.accuracy.schemes import PROCESSOR
from envs.accuracy.store import (
    INVENTED,
    UNCALIBRATED,
    ServedFile,
    check_copied,
    keep_graph,
    kept_graph,
)
from envs.arrays import NamedArrays
from envs.errors import NetworkError, TunerError
from envs.graph.onnx_file import read_whole
from envs.graph.partition import partition_of
from envs.graph.reading import read_network
from envs.graph.segments import Segment, group_segments
from envs.optional import optional_import
from envs.runtimes.onnxruntime.opening import open_on
from envs.runtimes.onnxruntime.sessions import Chain
from envs.spec import Network, accelerator, available_cores
from envs.spec.mapping import Mapping


def parts_of(
    path: Path, network: Network, mapping: Mapping, cache: Path, samples: Samples | None = None
) -> list[ServedFile]:
    """Return the graph of each part [P] of a network that a mapping divides.

    An INT8 part is calibrated on the numbers that reach it from the parts before it, as they run.
    Parts are made at the first call and then kept in `cache`, also for other mappings that have
    the same ones.

    Args:
        path: the file that `network` was read from.
        network: its description.
        mapping: names accelerators of a processor.
        cache: folder of the results; made if it is missing.
        samples: of the network, to calibrate on; None for invented ones, which are right for
            measuring speed and wrong for answers.

    Raises:
        OptionError: the network has too few layer groups for the mapping.
        NetworkError: the network is quantised already, or a part cannot run alone or in INT8.
        StorageError: the cache cannot be written.
        DependencyError: onnx, onnxruntime or openvino is not installed.
    """
    targets = [cache / name for name in _names(network, mapping, samples)]
    kept = [kept_graph(target) for target in targets]
    if None in kept:
        check_copied(path, network)
        return _Divided(path, network, mapping).make(targets, samples)
    return [file for file in kept if file is not None]


def _names(network: Network, mapping: Mapping, samples: Samples | None) -> list[str]:
    """Return the names of the files of the parts [P].

    An INT8 part depends on the parts before it, on the samples, and on the quantiser.
    """
    stem = f"{re.sub(r'[^A-Za-z0-9._-]', '_', network.name)}-{network.sha256[:12]}"
    version = optional_import("onnxruntime", "networks").__version__
    source = samples.sha256 if samples is not None else "invented"
    names, bounds = [], ["0", *map(str, mapping.stops), "end"]
    for position, where in enumerate(mapping.accelerators):
        groups = f"groups{bounds[position]}-{bounds[position + 1]}"
        kind = accelerator(where).precision
        if kind == "int8":
            before = [*mapping.accelerators[: position + 1], *bounds[: position + 2]]
            digest = sha256(" ".join([*before, version, source]).encode()).hexdigest()
            kind = f"int8-{digest[:12]}"
        names.append(f"{stem}-{groups}-{kind}-v1.onnx")
    return names


class _Divided:
    """A network that is being divided."""

    def __init__(self, path: Path, network: Network, mapping: Mapping) -> None:
        model, partition = read_whole(path), partition_of(path)
        check_not_quantised(model, network.name)
        mapping.by_group(len(partition.groups))
        self._network, self._mapping = network, mapping
        self._starts = (0, *mapping.stops)
        self._segments = group_segments(partition, model, self._starts)

    def make(self, targets: Sequence[Path], samples: Samples | None) -> list[ServedFile]:
        """Return the files of the parts; those that are missing are made."""
        files: list[ServedFile] = []
        for segment, target, where in zip(
            self._segments, targets, self._mapping.accelerators, strict=True
        ):
            file = kept_graph(target)
            if file is None and accelerator(where).precision == "int8":
                copy, method, count = self._int8(segment, files, samples)
                file = keep_graph(target, copy.model.SerializeToString(), method, count)
            elif file is None:
                file = keep_graph(target, segment.model.SerializeToString(), "", 0)
            files.append(file)
        return files

    def _int8(
        self, segment: Segment, before: Sequence[ServedFile], samples: Samples | None
    ) -> tuple[Int8Copy, str, int]:
        """Return an INT8 copy of a part, the method of its calibration, and the samples' number."""
        if samples is not None:
            copy = self._quantised(segment, before, samples)
            return copy, copy.method, len(samples)
        try:
            copy = self._quantised(segment, before, invented(self._network, INVENTED))
        except NetworkError:  # normal numbers give NaN in some networks
            copy = self._quantised(segment, before, positive(self._network, INVENTED))
        return copy, UNCALIBRATED, INVENTED

    def _quantised(
        self, segment: Segment, before: Sequence[ServedFile], samples: Samples
    ) -> Int8Copy:
        position = len(before)
        name = f"the part of {self._network.name} from layer group {self._starts[position]} on"
        with tempfile.TemporaryDirectory(prefix="orin-tuner-") as folder:
            alone = Path(folder) / "part.onnx"
            alone.write_bytes(segment.model.SerializeToString())
            try:
                described = read_network(alone, name)
            except NetworkError as error:
                reason = str(error).removeprefix(f"{alone} ").removeprefix(f"{alone}: ")
                reason = reason.partition(": ")[0]  # what to do is about files that one has
                raise NetworkError(
                    f"{name} cannot run in INT8 ({reason}): choose another mapping"
                ) from error
        reaching = self._reaching(segment, before, samples, name)
        return int8_copy(segment.model, described, reaching, PROCESSOR)

    def _reaching(
        self, segment: Segment, before: Sequence[ServedFile], samples: Samples, name: str
    ) -> Samples:
        """Return the numbers that reach a part: the inputs [n, ...] that it reads, by name."""
        size = (
            sum(np.prod(spec.shape, dtype=np.int64) * 4 for spec in self._network.inputs)
            + self._network.activation_bytes
        )
        samples = samples.take(slice(max(FEWEST, int(MAX_BYTES // max(size, 1)))))
        halves = self._network.float_type != "float32"
        sessions = [
            open_on(accelerator(where), file.path, available_cores(), halves)
            for where, file in zip(self._mapping.accelerators, before, strict=False)
        ]
        fixed = self._network.fixed_batch
        found: list[NamedArrays] = []
        for feed in samples.feeds(fixed or ROWS, exact=fixed is not None):
            rows = len(next(iter(feed.values())))
            try:
                values = Chain(sessions, segment.inputs).run(feed, lambda: None)
            except TunerError:
                raise
            except Exception as error:  # the errors of ONNX Runtime have no common base
                raise NetworkError(
                    f"{name} cannot be reached with samples ({reason_of(error)})"
                ) from error
            if any(each.shape[:1] != (rows,) for each in values):
                raise NetworkError(
                    f"{name} cannot run in INT8, since a tensor that reaches it has no batch:"
                    " choose another mapping"
                )
            found.append(dict(zip(segment.inputs, values, strict=True)))
        arrays = {
            key: np.concatenate([each[key] for each in found])[: len(samples)]
            for key in segment.inputs
        }
        return Samples(arrays, samples.origin, samples.total)
