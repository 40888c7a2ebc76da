"""From an ONNX file to a serialised engine for one accelerator, precision and batch."""

import errno
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.accuracy.half import to_fp16
from envs.errors import NetworkError, OptionError, StorageError, one_line
from envs.graph.number_types import number_types
from envs.graph.onnx_file import open_model
from envs.runtimes.tensorrt.checks import by_ranges
from envs.runtimes.tensorrt.dequantised import dequantised
from envs.runtimes.tensorrt.graph import for_dla, read, save, with_batch
from envs.runtimes.tensorrt.native_io import set_native_io
from envs.runtimes.tensorrt.placing import part_of_tensors, place
from envs.runtimes.tensorrt.progress import BuildWatch, TookTooLong
from envs.runtimes.tensorrt.ranges import Calibration, quantize, set_ranges, with_new_opset
from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import ConfigurationFailed, Failure, FailureKind, Network

#: The exceptions that pybind11 makes of errors in TensorRT. Unlike a refusal, such an error may be
#: temporary, for instance if memory is short.
RAISED = (RuntimeError, TypeError, ValueError, MemoryError)


@dataclass(frozen=True)
class Built:
    """A serialised engine.

    Attributes:
        plan: runs on the device that it was built on, with the same TensorRT.
        notes: ready for JSON: `changes` of the graph, and `scales` of INT8 inputs and outputs by
            name.
        timings: the builder's measurements, for the next build; empty if there are none.
    """

    plan: bytes
    notes: dict[str, Any]
    timings: bytes


def build(
    bindings: Bindings,
    path: Path,
    network: Network,
    spec: EngineSpec,
    options: BuildOptions,
    calibration: Calibration | None = None,
    timings: bytes = b"",
    watch: BuildWatch | None = None,
) -> Built:
    """Build one engine, in seconds to minutes.

    Other work on the device meanwhile spoils the builder's choice of kernels.

    Args:
        bindings: TensorRT.
        path: the ONNX file that `network` was read from.
        network: the network.
        spec: the specification of the engine.
        options: how hard to try.
        calibration: of the graph as it is parsed; needed for INT8 unless the file is quantised.
        timings: of earlier builds on this device.
        watch: follows the builder and can end it, where TensorRT supports it.

    Raises:
        ConfigurationFailed: BUILD_FAILED, with the last errors in the builder's log.
        TookTooLong: the watch ended it.
        StorageError: there is no room for a copy of the graph, or a file cannot be read or written.
    """
    try:
        with bindings.ignore_deprecations():
            return _build(bindings, path, network, spec, options, calibration, timings, watch)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"cannot keep a copy of {path} for the builder ({error.strerror}): "
                f"make room in {tempfile.gettempdir()}"
            ) from error
        raise StorageError(f"cannot build an engine of {path}: {one_line(error)}") from error
    except RAISED as error:
        raise failed(network, spec, bindings.lines.errors() or one_line(error)) from error


def _build(
    bindings: Bindings,
    path: Path,
    network: Network,
    spec: EngineSpec,
    options: BuildOptions,
    calibration: Calibration | None,
    timings: bytes,
    watch: BuildWatch | None,
) -> Built:
    bindings.lines.clear(builds=True)
    builder = bindings.builder()
    if spec.on_dla:
        _check_dla(builder, bindings, network, spec)
    if spec.calibrated and calibration is None:
        reason = "the ranges of its tensors are missing, without which nothing can be INT8"
        raise failed(network, spec, reason)
    part_of = _part_of_tensors(bindings, path, network, spec)
    with tempfile.TemporaryDirectory(prefix="orin-tuner-") as folder:
        try:
            source = _source(bindings, path, network, spec, calibration, Path(folder))
        except NetworkError as error:
            raise failed(network, spec, str(error)) from error
        parsed = bindings.network(builder)
        parser = bindings.parser(parsed)
        errors = bindings.parse(parser, str(source.path))
    if errors:
        raise failed(network, spec, f"the parser refuses the file: {'; '.join(errors[:2])}")
    config = builder.create_builder_config()
    scales = _configure(
        bindings, builder, parsed, config, spec, options, source.calibration, network, part_of
    )
    cache = bindings.timing_cache(config, timings)
    monitor = bindings.watch(config, watch) if watch is not None else None
    plan = builder.build_serialized_network(parsed, config)
    # Both had to live until now: the builder calls the monitor, and the parser owns the weights.
    del monitor, parser
    if plan is None and watch is not None and watch.late:
        raise TookTooLong(watch.why_late())
    if plan is None:
        raise failed(network, spec, bindings.lines.errors() or "the builder does not say why")
    return Built(
        bytes(plan),
        {"changes": source.changes, "scales": scales},
        bytes(cache.serialize()) if cache is not None else b"",
    )


def _part_of_tensors(
    bindings: Bindings, path: Path, network: Network, spec: EngineSpec
) -> dict[str, int]:
    """Return the part of a mapping that makes each tensor of the file; empty for no mapping."""
    if not spec.parts:
        return {}
    if bindings.strongly_typed and spec.has_fp32_part and spec.precision != "fp32":
        reason = (
            f"TensorRT {bindings.version} takes types from the file alone, so that no part of it"
            " can be held to FP32: use a mapping without cuda"
        )
        raise failed(network, spec, reason)
    try:
        return part_of_tensors(path, spec.parts)
    except (NetworkError, OptionError) as error:
        raise failed(network, spec, str(error)) from error


def failed(network: Network, spec: EngineSpec, why: str) -> ConfigurationFailed:
    """Return the failure of a build as that of a configuration."""
    engine = f"no {spec.precision} engine of {network.name} for {spec.label} at {spec.batches}"
    return ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, f"{engine}: {why}"))


def may_pass(error: BaseException) -> bool:
    """Return True if a build was not refused but broke, and may succeed the next time.

    It may for instance have run out of memory.
    """
    cause = error.__cause__
    if isinstance(cause, NetworkError):  # wraps the error of a library
        return may_pass(cause)
    return isinstance(cause, MemoryError if isinstance(error, NetworkError) else RAISED)


def _check_dla(builder: Any, bindings: Bindings, network: Network, spec: EngineSpec) -> None:
    if int(builder.num_DLA_cores) == 0:
        reason = (
            f"TensorRT {bindings.version} finds no DLA here (10.8 to 11.3 have none, "
            "nor has Orin Nano): use cuda and tensor alone"
        )
        raise failed(network, spec, reason)
    if spec.batch > int(builder.max_DLA_batch_size):
        raise failed(network, spec, f"a DLA takes at most {builder.max_DLA_batch_size}")


@dataclass(frozen=True)
class _Source:
    """Name what is parsed: a file, its differences from the user's, and ranges to set."""

    path: Path
    changes: list[str]
    calibration: Calibration | None = None


def _source(
    bindings: Bindings,
    path: Path,
    network: Network,
    spec: EngineSpec,
    calibration: Calibration | None,
    folder: Path,
) -> _Source:
    """Return the file to parse, which is the user's own if nothing has to change."""
    typed = bindings.strongly_typed and spec.precision != "fp32"
    # A DLA has no FP32, so that what is left of it in a file becomes FP16.
    halved = typed and (spec.on_dla or not spec.own_types)
    as_ranges = spec.own_types and by_ranges(number_types(open_model(path)[0]), spec, bindings)
    if not (spec.static or halved or as_ranges):
        return _Source(path, [], calibration)
    model, changes = read(path), list[str]()
    if as_ranges:
        model, calibration = dequantised(model)
        changes.append("quantised nodes became ranges of tensors, which TensorRT takes instead")
    if spec.static:
        prepared = (for_dla if spec.on_dla else with_batch)(
            model, network.fixed_batch or spec.batch
        )
        model, changes = prepared.model, [*changes, *prepared.changes]
    if typed and spec.calibrated and calibration is not None:
        model = quantize(model, network, calibration)
        changes.append("weights and activations are quantised by nodes in the graph")
    if halved:
        model = with_new_opset(model) if network.quantised else model
        model = to_fp16(model, ends=spec.native_io)
        ends = "inputs and outputs included" if spec.native_io else "with casts at both ends"
        changes.append(f"the rest computes in FP16, {ends}")
    save(model, folder / "prepared.onnx")
    return _Source(folder / "prepared.onnx", changes, None if typed else calibration)


def _configure(
    bindings: Bindings,
    builder: Any,
    parsed: Any,
    config: Any,
    spec: EngineSpec,
    options: BuildOptions,
    calibration: Calibration | None,
    network: Network,
    part_of: Mapping[str, int],
) -> dict[str, float]:
    """Configure the builder; return the scales of INT8 inputs and outputs."""
    trt, scales = bindings.trt, dict[str, float]()
    if spec.on_dla and not spec.parts:
        bindings.set_dla(config)
    bindings.set_precision(config, spec)
    if spec.parts:
        place(bindings, config, parsed, spec.parts, part_of)
    if calibration is not None and not bindings.strongly_typed:
        set_ranges(trt, parsed, calibration)
    if spec.native_io:
        shared = [each.name for each in network.outputs if each.shared]
        scales = set_native_io(bindings, parsed, spec.precision, shared)
    config.builder_optimization_level = options.level
    config.max_aux_streams = 0  # an instance is one stream: TensorRT must not open more
    # The inspector has to say where the layers run.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    workspace = options.workspace_mib << 20
    if bindings.set_pool(config, "WORKSPACE", workspace) != workspace:
        reason = f"workspace_mib={options.workspace_mib} is more than this device has: lower it"
        raise failed(network, spec, reason)
    if not spec.static:
        bindings.share_profiles(config)
        for size in spec.profiles or (spec.batch,):
            profile = builder.create_optimization_profile()
            for spec_in in network.inputs:
                smallest, largest = (1, *spec_in.shape), (size, *spec_in.shape)
                profile.set_shape(spec_in.name, smallest, largest, largest)
            if config.add_optimization_profile(profile) < 0:
                raise failed(network, spec, f"the profile of batch {size} is refused")
    return scales
