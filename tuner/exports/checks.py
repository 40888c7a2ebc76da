"""Checks of the number types in a file against what its accelerator and TensorRT take.

Sources: TensorRT documentation, "Working with Quantized Types" (symmetric INT8 alone), "Working
with DLA" (FP16 and INT8 alone), "Support Matrix" (BF16 from TensorRT 9 on).
"""

import logging
from collections.abc import Iterable, Sequence

from envs.accuracy.batching import batched
from envs.accuracy.reference import session_of
from envs.accuracy.samples import Samples
from envs.errors import NetworkError, OptionError
from envs.graph.number_types import QDQ
from envs.graph.partition import partition_of
from envs.runtimes.onnxruntime.opening import by_openvino
from tuner.exports.engines import BuildOptions
from tuner.exports.models import Model

logger = logging.getLogger(__name__)


def check_mappings(target: str, models: Iterable[Model], build: BuildOptions) -> None:
    """Check that the mappings of a configuration can be written down.

    Raises:
        OptionError: one divides a network among precisions of a processor, or OpenVINO runs it,
            TensorRT takes the precision from the network, or a network has too few layer groups.
        NetworkError: a quantised file has a part in FP32.
    """
    for model in models:
        mapping = model.accelerator.mapping
        if mapping is None and model.on_cpu and by_openvino(model.accelerator):
            raise OptionError(
                f"target={target}: {model.accelerator.name} runs on OpenVINO, which no export"
                " writes down: serve it with python -m tuner.deploy, or export cpu_fp32 or cpu_int8"
            )
        if mapping is None:
            continue
        if model.on_cpu:
            raise OptionError(
                f"target={target}: {mapping.name} runs a session for each part on the processor,"
                " which no export writes down: serve it with python -m tuner.deploy, or export an"
                " accelerator that runs the whole network"
            )
        if build.strongly_typed:
            raise OptionError(
                f"tensorrt={build.tensorrt} takes the precision from the network, and converting it"
                f" adds layers for which {mapping.name} names no accelerator: give --tensorrt 8.6"
                " or 10, or export an accelerator that runs the whole network"
            )
        if model.facts.types.quantised and "cuda" in mapping.accelerators:
            raise NetworkError(
                f"{str(model.path)!r}: it is quantised, and the part of {mapping.name} on cuda"
                " computes in FP32: map layers to tensor and a DLA"
            )
        mapping.by_group(len(partition_of(model.path).groups))


def check_no_cpu(target: str, models: Iterable[Model]) -> None:
    """Raise an OptionError if a model runs on a processor, for which no engine is built."""
    for model in models:
        if model.on_cpu:
            raise OptionError(
                f"target={target} is for a GPU and DLAs, and the configuration uses"
                f" {model.accelerator.name}: give --target triton"
            )


def check_types(models: Iterable[Model], build: BuildOptions) -> None:
    """Raise a NetworkError if an accelerator cannot run a file at the types it holds."""
    for model in models:
        reason = _refusal(model, build)
        if reason:
            raise NetworkError(f"{str(model.path)!r}: {reason}")


def check_ranges(models: Iterable[Model], build: BuildOptions, allow_uncalibrated: bool) -> None:
    """Raise an OptionError if an INT8 model has no calibration, unless that is allowed."""
    for model in models:
        if allow_uncalibrated or build.has_ranges(model):
            continue
        remedies = ["--samples FILE with inputs of the network"]
        if model.dla_core is not None:
            remedies.append("--dla-precision fp16")
        remedies.append("--allow-uncalibrated for INT8 that is right for speed, wrong for answers")
        raise OptionError(
            f"samples: {model.tenant!a} on {model.accelerator.name} is INT8 and nothing calibrates"
            f" it: give {', or '.join(remedies)}"
        )


def check_batches(models: Sequence[Model], samples: Sequence[Samples | None]) -> None:
    """Check that batches of each network are batches, and that this processor can load its own.

    Args:
        models: all models.
        samples: [T] of the user, or empty.

    Raises:
        NetworkError: answers depend on what else is in the batch, or a network for a processor
            cannot be loaded.
    """
    for position in sorted({model.position for model in models}):
        found = [model for model in models if model.position == position]
        first, is_hosted = found[0], any(model.on_cpu for model in found)
        is_batched = any(model.batch > 1 for model in found) and first.facts.free_batch
        if first.facts.unshaped or not (is_hosted or is_batched):
            continue
        try:
            halves = first.network.float_type != "float32"
            session = session_of(first.path, str(first.path), halves=halves)
        except NetworkError as error:
            if is_hosted:
                raise
            logger.warning("nobody checked that batches of %s are batches: %s", first.path, error)
            continue
        given = samples[position] if samples else None
        reason = batched(first.path, first.network, session, given) if is_batched else ""
        if reason:
            raise NetworkError(f"{first.path}: {reason}: export it with a batch of 1")


def _refusal(model: Model, build: BuildOptions) -> str:
    types, name = model.facts.types, model.accelerator.name
    if types.quantised and model.accelerator.precision == "fp32":
        return (
            f"it is quantised (it has {min(types.quantised)}), so it is an INT8 network, and {name}"
            " computes in FP32: use tensor, dla0 or dla1, or with --target triton cpu_int8"
        )
    if model.facts.unshaped and (model.on_cpu or model.dla_core is not None):
        return f"{model.facts.unshaped}, and {name} needs all shapes: use tensor or cuda"
    if model.on_cpu:
        return ""
    if others := types.quantised - QDQ:
        return (
            f"TensorRT has no {min(others)}: quantise it with QuantizeLinear and DequantizeLinear"
        )
    if types.asymmetric and build.strongly_typed:
        return (
            "it is quantised to unsigned numbers, or with zero points other than 0, which TensorRT"
            f" {build.tensorrt} does not take: quantise it to symmetric INT8"
        )
    if "bfloat16" in types.halves and build.tensorrt == "8.6":
        return "it holds BF16, which TensorRT 8.6 does not have: export it in FP16 or FP32"
    if "bfloat16" in types.halves and model.dla_core is not None:
        return f"it holds BF16, and {name} computes in FP16 and INT8: export it in FP16 or FP32"
    return ""
