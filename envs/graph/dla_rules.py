"""Operations that the Deep Learning Accelerators (DLAs) of an Orin support.

Sources: NVIDIA TensorRT documentation, "DLA Supported Layers and Restrictions"; the operator matrix
of NVIDIA/Deep-Learning-Accelerator-SW, operators/README.md. Operators that are not in the table run
on the GPU.
"""

import math
from collections.abc import Callable

from envs.graph.fusion import FREE, Operation

#: Largest dimension besides the batch; this bounds the channels too.
MAX_DIMENSION = 8192
CONV_KERNEL, CONV_STRIDE, CONV_PADDING = 32, 8, 31
DECONV_KERNEL, DECONV_STRIDE = 32, 32
POOL_WINDOW, POOL_STRIDE, POOL_PADDING = 8, 16, 7
SOFTMAX_AXIS, SOFTMAX_ALONE = 1024, 8192
LRN_WINDOWS = (3, 5, 7, 9)
NEAREST_SCALE, LINEAR_SCALE = 32, 4


def supports(step: Operation) -> bool:
    """Return True if a DLA runs this operation; free operations become part of their neighbours."""
    if step.op_type in FREE:
        return True
    rule = None if step.foreign else _RULES.get(step.op_type)
    return rule is not None and rule(step)


def _fits(step: Operation) -> bool:
    read = [
        shape
        for shape, is_activation in zip(step.input_shapes, step.is_activation, strict=True)
        if shape is not None and is_activation
    ]
    return all(size <= MAX_DIMENSION for shape in (*read, step.output_shape) for size in shape[1:])


def _within(step: Operation, key: str, limit: int) -> bool:
    return all(size <= limit for size in step.attributes.get(key, ()))


def _kernel_within(step: Operation, limit: int) -> bool:
    """Return True for weights [out, in, *kernel] of one or two dimensions within the limit."""
    weights = step.input_shapes[1]
    return weights is not None and len(weights) <= 4 and all(size <= limit for size in weights[2:])


def _convolution(step: Operation) -> bool:
    return (
        _fits(step)
        and _kernel_within(step, CONV_KERNEL)
        and _within(step, "strides", CONV_STRIDE)
        and _within(step, "pads", CONV_PADDING)
    )


def _deconvolution(step: Operation) -> bool:
    return (
        _fits(step)
        and _kernel_within(step, DECONV_KERNEL)
        and _within(step, "strides", DECONV_STRIDE)
        and _within(step, "pads", 0)
        and step.attributes.get("group", 1) == 1
    )


def _pool(step: Operation) -> bool:
    is_planar = len(step.output_shape) <= 4
    windows = (
        _within(step, "kernel_shape", POOL_WINDOW)
        and _within(step, "strides", POOL_STRIDE)
        and _within(step, "pads", POOL_PADDING)
    )
    return is_planar and windows and _within(step, "dilations", 1) and _fits(step)


def _global_pool(step: Operation) -> bool:
    """Return True if the whole map fits a window.

    No TensorRT runs a global pool on a DLA; it is rewritten as an average pool with that window.
    """
    source = step.shape_of(0)
    return (
        len(source) == 4
        and max(source[2:]) <= POOL_WINDOW
        and math.prod(step.output_shape) == math.prod(source[:2])
    )


def _softmax(step: Operation) -> bool:
    length = step.output_shape[step.attributes.get("axis", -1)]
    is_alone = math.prod(step.output_shape[1:]) == length
    return length <= (SOFTMAX_ALONE if is_alone else SOFTMAX_AXIS) and _fits(step)


def _resize(step: Operation) -> bool:
    """Return True for whole factors within the limit that change the pixels alone."""
    source, mode = step.shape_of(0), step.attributes.get("mode", b"nearest")
    limit = NEAREST_SCALE if mode == b"nearest" else LINEAR_SCALE if mode == b"linear" else 0
    if len(source) != 4 or source[:2] != step.output_shape[:2] or not _fits(step):
        return False
    return all(
        new % old == 0 and new // old <= limit
        for new, old in zip(step.output_shape[2:], source[2:], strict=True)
    )


def _fully_connected(step: Operation) -> bool:
    """Return True for a product with weights whose results fit.

    It becomes a convolution over its whole input, so that only its results count as channels.
    """
    has_weights = len(step.is_activation) > 1 and not step.is_activation[1]
    return has_weights and step.output_shape[-1] <= MAX_DIMENSION


_POINTWISE = (
    "Add",
    "Sum",
    "Sub",
    "Mul",
    "Min",
    "Max",
    "BatchNormalization",
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "Abs",
)

_RULES: dict[str, Callable[[Operation], bool]] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "Gemm": _fully_connected,
    "MatMul": _fully_connected,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "ReduceMean": _global_pool,
    "Softmax": _softmax,
    "LRN": lambda step: step.attributes.get("size") in LRN_WINDOWS and _fits(step),
    "Resize": _resize,
    **dict.fromkeys(_POINTWISE, _fits),
}
