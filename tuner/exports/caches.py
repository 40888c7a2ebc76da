"""Calibration caches of TensorRT: their names, their bytes, and that they are of its version.

A cache holds a scale for each quantised tensor, as the hexadecimal digits of a float
(NVIDIA/Deep-Learning-Accelerator-SW, tools/qdq-translator). TensorRT ignores a cache of another
version without an error (issue 26 there). trtexec prints its version first, as [TensorRT v100300]
(NVIDIA/TensorRT, samples/common/logging.h).
"""

import shutil
import struct
from collections.abc import Iterable, Mapping
from functools import partial

from tuner.exports.engines import ARRAYS, BuildOptions
from tuner.exports.folder import Files
from tuner.exports.models import Model

#: The version in a cache, unless trtexec says another: of JetPack 6.0 and 6.1.
VERSIONS = {"8.6": 8602, "10": 100300}


def calibration_name(model: Model, build: BuildOptions) -> str | None:
    """Return the name of an engine's calibration data inside the folder; None if it has none."""
    if model.name in build.calibrated:
        # Each graph for a DLA has tensors of its own.
        dla = f".b{model.batch}.dla" if model.dla_core is not None else ""
        return None if build.strongly_typed else f"calibration/{model.graph}{dla}.cache"
    if not build.needs_ranges(model):
        return None
    file = build.calibration_of(model.position)
    suffix = file.suffix if file and file.suffix in ARRAYS else ".cache"
    return f"calibration/{model.graph}{suffix}" if file else None


def cache_files(models: Iterable[Model], build: BuildOptions) -> Files:
    """Return the calibration data of all engines."""
    files: Files = {}
    for model in models:
        name, file = calibration_name(model, build), build.calibration_of(model.position)
        made = build.calibrated.get(model.name)
        if name and made:
            files[name] = cache_bytes(made.scales or {}, VERSIONS[build.tensorrt])
        elif name and file:
            files[name] = partial(shutil.copyfile, file)
    return files


def cache_bytes(scales: Mapping[str, float], version: int) -> bytes:
    """Return a calibration cache for trtexec.

    Args:
        scales: by name of the tensor.
        version: of TensorRT, as 8602 or 100300.
    """
    lines = [f"TRT-{version}-EntropyCalibration2"]
    lines += [f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in scales.items()]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def version_lines(models: Iterable[Model], build: BuildOptions) -> list[str]:
    """Return lines of a shell script that make sure that TensorRT uses the caches.

    A cache that was made here gets the version of the board; one of the user must have it.
    """
    made, given = set[str](), set[str]()
    for model in models:
        name = None if build.strongly_typed else calibration_name(model, build)
        if name:
            (made if model.name in build.calibrated else given).add(name)
    lines = [
        "VERSION=$(\"$TRTEXEC\" --help 2>&1 | sed -n 's/.*\\[TensorRT v\\([0-9]*\\)\\].*/\\1/p'"
        " | head -n 1)",
    ]
    for name in sorted(made):
        edit = 'sed -i "1s/TRT-[0-9]*-/TRT-$VERSION-/"'
        lines.append(f'[ -z "$VERSION" ] || {edit} {name}')
    for name in sorted(given):
        lines += [
            f'if [ -n "$VERSION" ] && ! head -n 1 {name} | grep -q "TRT-$VERSION-"; then',
            f'    echo "{name} is of another version of TensorRT than $VERSION, which would not use'
            ' it: calibrate with this version" >&2',
            "    exit 1",
            "fi",
        ]
    return lines if made or given else []
