"""Refuse files whose number types an engine cannot have, for the true reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envs.accuracy.half import NAMES, demand_fp32
from envs.errors import NetworkError
from envs.graph.number_types import QDQ, NumberTypes, number_types
from envs.graph.onnx_file import open_model
from envs.runtimes.tensorrt.spec import HALVES, EngineSpec
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Kind, Network


def check_file(path: Path, network: Network, spec: EngineSpec, bindings: Bindings) -> None:
    """Raise NetworkError if a file has changed, or has other types than an engine needs.

    Nothing outside its folder is read.
    """
    model, sha256, _ = open_model(path)
    if sha256 != network.sha256:
        raise NetworkError(f"{path} has changed since it was read as {network.name}: read it again")
    check_types(model, network, spec, bindings)


def check_types(model: Any, network: Network, spec: EngineSpec, bindings: Bindings) -> None:
    """Raise NetworkError if TensorRT cannot compute a file at the precision of an engine.

    Args:
        model: a ModelProto, whose external data need not be loaded.
        network: its description.
        spec: the specification of the engine.
        bindings: TensorRT.
    """
    if spec.precision == "fp32":
        demand_fp32(model)
        return
    types = number_types(model)
    if foreign := sorted(types.quantised - QDQ):
        raise NetworkError(
            f"the file computes in INT8 by {', '.join(foreign)}, which TensorRT does not have:"
            " quantise it with QuantizeLinear and DequantizeLinear, or give the FP32 file"
        )
    if network.quantised and bindings.strongly_typed and types.asymmetric:
        raise NetworkError(
            f"the file is quantised with zero points or unsigned numbers, of which"
            f" TensorRT {bindings.version} has none: quantise it symmetrically, or give the FP32"
            " file"
        )
    if spec.calibrated and network.float_type in HALVES:
        raise NetworkError(
            f"the file is {NAMES[network.float_type]}, of which no INT8 engine is made here: give"
            " the FP32 file, or choose --precisions fp16"
        )
    if spec.kind is Kind.DLA and "bfloat16" in types.halves:
        raise NetworkError("a part of the network is BF16, which no DLA has: give the FP32 file")
    if "bfloat16" in types.halves and not bindings.has_bf16:
        raise NetworkError(
            f"a part of the network is BF16, which TensorRT {bindings.version} does not have"
        )


def by_ranges(types: NumberTypes, spec: EngineSpec, bindings: Bindings) -> bool:
    """Return True if a quantised file must be given as FP32 with ranges.

    Until version 11 a DLA takes no quantised nodes, and the GPU none with zero points.
    """
    return (
        spec.own_types
        and spec.precision == "int8"
        and not bindings.strongly_typed
        and (spec.on_dla or types.asymmetric)
    )
