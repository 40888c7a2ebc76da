"""Inputs and outputs in the DLA's own type and formats."""

from collections.abc import Collection
from typing import Any

from envs.runtimes.tensorrt.versions import Bindings


def set_native_io(
    bindings: Bindings, network: Any, precision: str, shared: Collection[str] = ()
) -> dict[str, float]:
    """Let inputs and outputs have the DLA's own type and formats, so that nothing reformats.

    Only those of four dimensions [N, C, H, W], for which these formats are made: they pack the
    third dimension from the end, which is the batch of a tensor of three (NvInferRuntime.h,
    TensorFormat). And only those that are FP32 in the file (FP16 where the file decides the
    types). One without a range is FP16.

    Args:
        bindings: TensorRT.
        network: an INetworkDefinition whose ranges are set.
        precision: of the engine.
        shared: outputs without a batch, which stay as they are.

    Returns:
        The scales of INT8 inputs and outputs, by name.
    """
    trt, scales = bindings.trt, {}
    given = trt.DataType.HALF if bindings.strongly_typed else trt.DataType.FLOAT
    inputs = [network.get_input(position) for position in range(network.num_inputs)]
    outputs = [network.get_output(position) for position in range(network.num_outputs)]
    for tensor in inputs + outputs:
        if tensor.dtype != given or len(tensor.shape) != 4 or tensor.name in shared:
            continue
        as_int8 = (
            precision == "int8" and not bindings.strongly_typed and tensor.dynamic_range is not None
        )
        form = trt.TensorFormat.CHW32 if as_int8 else trt.TensorFormat.CHW16
        if not bindings.strongly_typed:
            tensor.dtype = trt.DataType.INT8 if as_int8 else trt.DataType.HALF
        tensor.allowed_formats = 1 << int(trt.TensorFormat.DLA_LINEAR) | 1 << int(form)
        if as_int8:
            scales[tensor.name] = float(tensor.dynamic_range[1]) / 127
    return scales
