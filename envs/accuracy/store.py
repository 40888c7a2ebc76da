"""Keep the INT8 copies of networks for processors from one run to the next."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from envs.accuracy.quantization import int8_copy, uncalibrated_copy
from envs.accuracy.samples import Samples
from envs.accuracy.schemes import PROCESSOR
from envs.errors import NetworkError, StorageError
from envs.files import parse_json, read_small, sha256_of
from envs.graph.onnx_file import MAX_MESSAGE_BYTES, open_model, read_whole
from envs.optional import optional_import
from envs.spec import Network, local_computer

#: Invented samples that calibrate where nobody gave any.
INVENTED = 16

#: How the ranges were found, of a copy that was calibrated on invented samples.
UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True)
class ServedFile:
    """A graph that a processor serves.

    Attributes:
        path: the ONNX file.
        calibration: the method, see `envs.accuracy.calibration.METHODS`; `uncalibrated`, or empty
            for a file that the user quantised.
        calibrated_on: the number of samples.
    """

    path: Path
    calibration: str = ""
    calibrated_on: int = 0


def quantized(
    path: Path, network: Network, cache: Path, samples: Samples | None = None
) -> ServedFile:
    """Return the INT8 graph of the network in `path`; the file itself if it is quantised.

    It is made at the first call and then kept in `cache`; a damaged one is made again.

    Args:
        path: the file that `network` was read from.
        network: gives the inputs, and the name of the result.
        cache: folder of the results; made if it is missing.
        samples: to calibrate on; without them the ranges come from invented ones, which is right
            for measuring speed and wrong for answers.

    Raises:
        NetworkError: the file has changed since it was read, or cannot be quantised.
        StorageError: the cache cannot be written.
        DependencyError: onnx or onnxruntime is not installed.
    """
    if network.quantised:
        return ServedFile(path)
    runtime = optional_import("onnxruntime", "networks")
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", network.name)
    source = samples.sha256[:12] if samples is not None else "invented"
    target = cache / f"{stem}-{network.sha256[:12]}-int8-ort{runtime.__version__}-{source}-v2.onnx"
    if (kept := kept_graph(target)) is not None:
        return kept
    check_copied(path, network)
    model = read_whole(path)
    if samples is None:
        copy = uncalibrated_copy(model, network, INVENTED, PROCESSOR)
        method, count = UNCALIBRATED, INVENTED
    else:
        copy = int8_copy(model, network, samples, PROCESSOR)
        method, count = copy.method, len(samples)
    found: bytes = copy.model.SerializeToString()
    del model, copy
    return keep_graph(target, found, method, count)


def keep_graph(target: Path, found: bytes, method: str, count: int) -> ServedFile:
    """Write a graph to `target`, with notes beside it that `kept_graph` checks.

    Args:
        target: the ONNX file; its folder is made if it is missing.
        found: the serialised graph.
        method: of its calibration.
        count: of the samples that calibrated it.

    Raises:
        StorageError: the folder cannot be written.
    """
    notes, cache = {"calibration": method, "calibrated_on": count}, target.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Beside its target, so that one step moves it there: two processes may make it at once.
        with tempfile.TemporaryDirectory(prefix=".int8-", dir=cache) as folder:
            made, facts = Path(folder) / "int8.onnx", Path(folder) / "notes.json"
            made.write_bytes(found)
            facts.write_text(json.dumps(notes | {"sha256": sha256_of(made).hex()}))
            os.replace(facts, _notes_of(target))
            os.replace(made, target)
    except OSError as error:
        raise StorageError(
            f"cannot keep the INT8 graph in {cache} ({error.strerror or error}): "
            "give a folder with room"
        ) from error
    return ServedFile(target, method, count)


def check_copied(path: Path, network: Network) -> None:
    """Raise NetworkError where no copy of a network can be made: no room, or another file."""
    needed_mib = (
        network.weight_bytes + network.activation_bytes * (network.fixed_batch or 1)
    ) / 2**20
    if needed_mib > local_computer().memory_mib:
        raise NetworkError(
            f"{path} needs {needed_mib:,.0f} MiB to be quantised, more than there is here: "
            "serve it in FP32 only"
        )
    if network.weight_bytes > MAX_MESSAGE_BYTES:
        raise NetworkError(
            f"{path} has more than 2 GB of weights, of which no INT8 copy can be made here: "
            "serve it in FP32 only"
        )
    _, sha256, _ = open_model(path)
    if sha256 != network.sha256:
        raise NetworkError(f"{path} has changed since it was read as {network.name}: read it again")


def kept_graph(target: Path) -> ServedFile | None:
    """Return the file if it is there as `keep_graph` wrote it.

    A full disk, or a machine that lost power, leaves half of a file.
    """
    try:
        notes = parse_json(read_small(_notes_of(target)))
        if target.is_symlink() or notes["sha256"] != sha256_of(target).hex():
            return None
        return ServedFile(target, str(notes["calibration"]), int(notes["calibrated_on"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _notes_of(target: Path) -> Path:
    return target.with_suffix(".json")
