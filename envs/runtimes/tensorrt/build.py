"""From an ONNX file to a serialised engine for one accelerator, precision and batch."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import NetworkError, StorageError, one_line
from envs.runtimes.tensorrt.graph import for_dla, read, save, with_batch
from envs.runtimes.tensorrt.precision import quantize, to_fp16
from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec.measurement import ConfigurationFailed, Failure, FailureKind
from envs.spec.network import Network

#: Called with a phase of the build, and how much of it is done.
Step = Callable[[str, int, int], None]

#: What pybind11 makes of an error in TensorRT. Unlike a refusal it may come from the moment, as where memory is short.
RAISED = (RuntimeError, TypeError, ValueError, MemoryError)


@dataclass(frozen=True)
class Built:
    """A serialised engine.

    Attributes:
        plan: runs on the device that it was built on, with the same TensorRT.
        notes: what is worth knowing of it, ready for JSON: `changes` of the graph, and `scales` of INT8 inputs and outputs by name.
        timings: what the builder measured, for the next build; empty where it measured nothing.
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
    ranges: Mapping[str, float] | None = None,
    timings: bytes = b"",
    step: Step | None = None,
) -> Built:
    """Builds one engine; this takes seconds to minutes, and what else runs on the device spoils its choice of kernels.

    Args:
        path: the ONNX file that `network` was read from.
        ranges: largest magnitude of each tensor, by name; needed for INT8 where the builder does not read it off the file.
        timings: of earlier builds on this device.
        step: is told how far the build is, where TensorRT tells.

    Raises:
        ConfigurationFailed: BUILD_FAILED, with the builder's own last words.
        StorageError: there is no room for a copy of the graph, or a file cannot be read or written.
    """
    try:
        with bindings.deprecations_known():
            return _build(bindings, path, network, spec, options, ranges or {}, timings, step)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"cannot keep a copy of {path} for the builder ({error.strerror}): make room in {tempfile.gettempdir()}"
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
    ranges: Mapping[str, float],
    timings: bytes,
    step: Step | None,
) -> Built:
    bindings.lines.clear()
    builder = bindings.builder()
    if spec.on_dla:
        _check_dla(builder, bindings, spec)
    with tempfile.TemporaryDirectory(prefix="orin-tuner-") as folder:
        try:
            source, changes = _source(bindings, path, network, spec, options, Path(folder))
        except NetworkError as error:
            raise failed(network, spec, str(error)) from error
        parsed = bindings.network(builder)
        parser = bindings.parser(parsed)
        errors = bindings.parse(parser, str(source))
    if errors:
        raise failed(network, spec, f"the parser refuses the file: {'; '.join(errors[:2])}")
    config = builder.create_builder_config()
    scales = _configure(bindings, builder, parsed, config, spec, options, ranges, network)
    cache = bindings.timing_cache(config, timings)
    monitor = bindings.watch(config, step) if step is not None else None
    plan = builder.build_serialized_network(parsed, config)
    del (
        monitor,
        parser,
    )  # had to live until now: one was called by the builder, the other owns the weights
    if plan is None:
        raise failed(network, spec, bindings.lines.errors() or "the builder does not say why")
    return Built(
        bytes(plan),
        {"changes": changes, "scales": scales},
        bytes(cache.serialize()) if cache is not None else b"",
    )


def failed(network: Network, spec: EngineSpec, why: str) -> ConfigurationFailed:
    """The failure of a build, as a configuration's."""
    return ConfigurationFailed(
        Failure(
            FailureKind.BUILD_FAILED,
            f"no {spec.precision} engine of {network.name} for {spec.place} at batch {spec.batch}: {why}",
        )
    )


def may_pass(error: BaseException) -> bool:
    """Whether a build broke instead of being refused, for want of memory say, so that it may succeed the next time."""
    cause = error.__cause__
    if isinstance(
        cause, NetworkError
    ):  # which libraries are made to raise, whatever went wrong in them
        return may_pass(cause)
    return isinstance(cause, MemoryError if isinstance(error, NetworkError) else RAISED)


def needs_ranges(bindings: Bindings, spec: EngineSpec) -> bool:
    """Whether an engine like this is quantised by ranges, and not by its file."""
    return spec.precision == "int8" and not bindings.strongly_typed


def _check_dla(builder: Any, bindings: Bindings, spec: EngineSpec) -> None:
    what = f"no engine for {spec.place} at batch {spec.batch}"
    if int(builder.num_DLA_cores) == 0:
        why = f"TensorRT {bindings.version} finds no DLA here (10.8 to 11.3 have none, nor has Orin Nano): use cuda and tensor alone"
        raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, f"{what}: {why}"))
    if spec.batch > int(builder.max_DLA_batch_size):
        raise ConfigurationFailed(
            Failure(
                FailureKind.BUILD_FAILED,
                f"{what}: a DLA takes at most {builder.max_DLA_batch_size}",
            )
        )


def _source(
    bindings: Bindings,
    path: Path,
    network: Network,
    spec: EngineSpec,
    options: BuildOptions,
    folder: Path,
) -> tuple[Path, list[str]]:
    """The file to parse, which is the user's own where nothing has to change, and what was changed."""
    typed = bindings.strongly_typed and spec.precision != "fp32"
    if not (spec.static or typed):
        return path, []
    model, changes = read(path), list[str]()
    if spec.static:
        prepared = (for_dla if spec.on_dla else with_batch)(
            model, network.fixed_batch or spec.batch
        )
        model, changes = prepared.model, prepared.changes
    if typed and spec.precision == "int8":
        model = quantize(model, network, folder, options.samples)
        changes.append("weights and activations are quantised by nodes in the graph")
    if typed:
        model = to_fp16(model, ends=spec.native_io)
        changes.append(
            f"the rest computes in FP16, {'inputs and outputs included' if spec.native_io else 'with casts at both ends'}"
        )
    save(model, folder / "prepared.onnx")
    return folder / "prepared.onnx", changes


def _configure(
    bindings: Bindings,
    builder: Any,
    parsed: Any,
    config: Any,
    spec: EngineSpec,
    options: BuildOptions,
    ranges: Mapping[str, float],
    network: Network,
) -> dict[str, float]:
    """Sets everything on the configuration; gives the scales of INT8 inputs and outputs."""
    trt, scales = bindings.trt, dict[str, float]()
    if spec.on_dla:
        bindings.set_dla(config)
    bindings.set_precision(config, spec)
    if needs_ranges(bindings, spec):
        if not ranges:
            raise failed(
                network,
                spec,
                "nobody gave the ranges of its tensors, without which nothing can be INT8",
            )
        bindings.set_ranges(parsed, ranges)
    if spec.native_io:
        scales = bindings.set_native_io(parsed, spec.precision)
    config.builder_optimization_level = options.level
    config.max_aux_streams = (
        0  # an instance is one stream: TensorRT must not open others behind its back
    )
    config.profiling_verbosity = (
        trt.ProfilingVerbosity.DETAILED
    )  # the inspector has to tell where layers run
    workspace = options.workspace_mib << 20
    if bindings.set_pool(config, "WORKSPACE", workspace) != workspace:
        raise failed(
            network,
            spec,
            f"workspace_mib={options.workspace_mib} is more than this device has: lower it",
        )
    if not spec.static:
        bindings.share_profiles(config)
        profile = builder.create_optimization_profile()
        for spec_in in network.inputs:
            least, most = (1, *spec_in.shape), (spec.batch, *spec_in.shape)
            profile.set_shape(spec_in.name, least, most, most)
        config.add_optimization_profile(profile)
    return scales
