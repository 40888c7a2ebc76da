"""Files that calibrate INT8 engines: each is used by a network, or refused.

Sources: NVIDIA/TensorRT, samples/common/sampleEngines.cpp (trtexec reads a cache with an
IInt8EntropyCalibrator2); NVIDIA/Deep-Learning-Accelerator-SW, issue 26 (a cache of another version
is not used, without an error); TensorRT Model Optimizer, "ONNX Quantization" (arrays by input).
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from envs.errors import OptionError, one_line
from envs.files import read_arrays
from tuner.exports.engines import ARRAYS, BuildOptions
from tuner.exports.models import Model

#: The first line of a cache: the version, as 8601 or 100300, and the algorithm.
HEADER = re.compile(rb"TRT-(\d+)-(\w+)\s*\n")

#: The algorithm that trtexec reads a cache for, and the only one that DLAs take.
ALGORITHM = "EntropyCalibration2"

#: The longest first line that is looked for, and the largest .npz file that is read.
MAX_HEADER, MAX_ARRAY_BYTES = 100, 4 << 30


def assigned(
    files: Sequence[Path], networks: int, models: Iterable[Model], build: BuildOptions
) -> tuple[Path | None, ...]:
    """Return the calibration file of each tenant, [T].

    Args:
        files: one for each network, or one for each that has INT8 engines, in their order.
        networks: T.
        models: all models of the configuration.
        build: the precisions.

    Raises:
        OptionError: a file would not be used, or is not for this network and TensorRT.
    """
    if not files:
        return ()
    by_tenant: list[list[Model]] = [[] for _ in range(networks)]
    for model in models:
        by_tenant[model.position].append(model)
    users = [[each for each in found if _uses(each, build)] for found in by_tenant]
    wanting = [tenant for tenant in range(networks) if users[tenant]]
    result: list[Path | None] = [None] * networks
    tenants = wanting if len(files) == len(wanting) else list(range(networks))
    if len(files) != len(tenants):
        raise OptionError(
            f"calibration has {len(files)} files, and {len(wanting)} of {networks} networks have"
            " INT8 engines that use one: give one for each of these"
        )
    for tenant, file in zip(tenants, files, strict=True):
        if not users[tenant]:
            raise OptionError(f"calibration={file}: {_why_unused(by_tenant[tenant], build)}")
        if build.strongly_typed:
            _check_arrays(file, users[tenant])
        else:
            _check_cache(file, build)
        result[tenant] = file
    return tuple(result)


def _uses(model: Model, build: BuildOptions) -> bool:
    return build.needs_ranges(model) and not model.on_cpu


def _why_unused(models: list[Model], build: BuildOptions) -> str:
    """Return why none of the models of a tenant would use a calibration file."""
    name = models[0].tenant
    if models[0].facts.types.quantised:
        return f"{name!a} has its INT8 ranges inside, in its quantised nodes: leave calibration out"
    if any(build.needs_ranges(model) for model in models):
        return f"{name!a} is INT8 on cpu_int8 alone, which is calibrated by --samples FILE"
    places = ", ".join(f"{each.accelerator.name} {build.precision(each)}" for each in models)
    return (
        f"{name!a} has no INT8 engine in this configuration ({places}): leave calibration out, or"
        " give --tensor-precision int8 or --dla-precision int8"
    )


def _check_cache(file: Path, build: BuildOptions) -> None:
    try:
        with file.open("rb") as opened:
            start = opened.read(MAX_HEADER)
    except OSError as error:
        raise OptionError(
            f"calibration={file} cannot be read ({error.strerror or error})"
        ) from error
    found = HEADER.match(start)
    if found is None:
        raise OptionError(
            f"calibration={file} is no calibration cache, whose first line is"
            f" TRT-VERSION-{ALGORITHM}: give inputs as --samples FILE instead"
        )
    version, algorithm = found[1].decode(), found[2].decode()
    if algorithm != ALGORITHM:
        raise OptionError(
            f"calibration={file} is a cache of {algorithm}, and trtexec reads {ALGORITHM} alone:"
            " calibrate with an IInt8EntropyCalibrator2, or give --samples FILE"
        )
    # 8601 is 8.6.1, and 100300 is 10.3.0.
    major = int(version) // (1000 if len(version) < 6 else 10_000)
    if major != int(build.tensorrt.partition(".")[0]):
        raise OptionError(
            f"calibration={file} is of TensorRT {major}, and TensorRT {build.tensorrt} would not"
            f" use it: calibrate with that version, or give --samples FILE"
        )


def _check_arrays(file: Path, models: list[Model]) -> None:
    """Check the inputs that NVIDIA's Model Optimizer takes: [n, *shape] for each input."""
    inputs = models[0].inputs
    try:
        arrays = (
            read_arrays(file, MAX_ARRAY_BYTES)
            if file.suffix == ".npz"
            else {inputs[0].name: np.load(file, mmap_mode="r", allow_pickle=False)}
        )
    except (OSError, ValueError, EOFError) as error:
        raise OptionError(
            f"calibration={file} cannot be read as {' or '.join(ARRAYS)} ({one_line(error)})"
        ) from error
    names = {spec.name for spec in inputs}
    if set(arrays) != names:
        raise OptionError(
            f"calibration={file} holds {sorted(arrays)}, and the inputs are {sorted(names)}: give"
            " an .npz file with one array for each"
        )
    for spec in inputs:
        shape = arrays[spec.name].shape
        if not shape or not shape[0] or shape[1:] != spec.shape[1:]:
            raise OptionError(
                f"calibration={file}: {spec.name!a} has the shape {list(shape)}, and the network"
                f" takes [n, {', '.join(map(str, spec.shape[1:]))}]"
            )
        for model in models:
            if model.static and shape[0] % model.batch:
                raise OptionError(
                    f"calibration={file} holds {shape[0]} inputs, and on {model.accelerator.name}"
                    f" their number must be a multiple of the batch of {model.batch}"
                )
