"""Keep the segments of networks from one run to the next."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.errors import StorageError
from envs.files import parse_json, read_small, sha256_of
from envs.graph.onnx_file import open_model
from envs.optional import optional_import
from envs.runtimes.onnxruntime.cutting import Cutting, cut
from envs.spec import Network, processor_name

logger = logging.getLogger(__name__)

#: Of a folder of segments; it is written last.
NOTES = "segments.json"


@dataclass(frozen=True)
class SegmentFiles:
    """The segments of a network as files.

    Attributes:
        paths: [K] ONNX files, in order; the network's own file if it stays whole.
        times_ms: [K] of each alone when it was made, see `cutting.Cutting`; empty if unknown.
    """

    paths: tuple[Path, ...]
    times_ms: tuple[float, ...] = ()

    @property
    def whole(self) -> bool:
        """Return True if there is one, the network's own file."""
        return len(self.paths) == 1


def segmented(
    path: Path, network: Network, count: int, cache: Path, samples: Samples | None = None
) -> SegmentFiles:
    """Return a network as at most `count` segments; `cutting.cut` says what is true of them.

    They are made at the first call and then kept in `cache`; damaged ones are made again.

    Args:
        path: the file that is served.
        network: its description.
        count: of segments; with 1 it stays whole, and nothing is read or written.
        cache: folder of the results; made if it is missing.
        samples: to compare answers on; None for invented ones.

    Raises:
        NetworkError: the network is too large to be cut, or ONNX Runtime cannot run it.
        StorageError: the cache cannot be written.
        DependencyError: onnx or onnxruntime is not installed.
    """
    whole = SegmentFiles((path,))
    if count == 1:
        return whole
    folder = cache / _folder_name(path, count)
    kept = _kept(folder)
    if kept is None:
        found = cut(path, network, count, samples)
        if (made := max(1, len(found.segments))) < count:
            reason = "it has no more cuts" if found.equal else "its answers would not be the same"
            logger.warning("%s has %d segments, not %d: %s", network.name, made, count, reason)
        kept = _keep(folder, found)
    return kept if kept.paths else whole


def _folder_name(path: Path, count: int) -> str:
    runtime = optional_import("onnxruntime", "networks")
    # With the weights that lie in other files. The graph that is cut is made for this processor.
    parts = [path.stem, open_model(path)[1][:12], f"ort{runtime.__version__}", processor_name()]
    name = "-".join(re.sub(r"[^A-Za-z0-9._]", "_", part) for part in parts)
    return f"{name}-segments{count}-v1"


def _keep(folder: Path, found: Cutting) -> SegmentFiles:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside its target, so that one step moves it there: two processes may make it at once.
        with tempfile.TemporaryDirectory(prefix=".segments-", dir=folder.parent) as made:
            digests = []
            for position, segment in enumerate(found.segments):
                file = Path(made) / f"{position}.onnx"
                file.write_bytes(segment.model.SerializeToString())
                digests.append(sha256_of(file).hex())
            notes = {"sha256": digests, "times_ms": found.times_ms}
            (Path(made) / NOTES).write_text(json.dumps(notes, indent=2) + "\n")
            folder.mkdir(exist_ok=True)
            for name in [*(f"{position}.onnx" for position in range(len(digests))), NOTES]:
                os.replace(Path(made) / name, folder / name)
    except OSError as error:
        raise StorageError(
            f"cannot keep the segments in {folder.parent} ({error.strerror or error}): "
            "give a folder with room"
        ) from error
    return SegmentFiles(_paths(folder, digests), found.times_ms)


def _kept(folder: Path) -> SegmentFiles | None:
    """Return the segments if they are there as they were written.

    A full disk, or a machine that lost power, leaves half of a file.
    """
    try:
        notes: Any = parse_json(read_small(folder / NOTES))
        digests, times_ms = list(notes["sha256"]), tuple(map(float, notes["times_ms"]))
        paths = _paths(folder, digests)
        if any(
            path.is_symlink() or sha256_of(path).hex() != digest
            for path, digest in zip(paths, digests, strict=True)
        ):
            return None
        return SegmentFiles(paths, times_ms)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _paths(folder: Path, digests: list[str]) -> tuple[Path, ...]:
    return tuple(folder / f"{position}.onnx" for position in range(len(digests)))
