"""Which operations the Deep Learning Accelerators of an Orin take.

Sources: NVIDIA TensorRT documentation, "DLA Supported Layers and Restrictions"; the operator matrix of
NVIDIA/Deep-Learning-Accelerator-SW, operators/README.md. An operator that is not in the table falls to the GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from envs.graph.fusion import FREE, Operation

#: Largest dimension besides the batch, and with it most channels.
MAX_DIMENSION = 8192
CONV_KERNEL, CONV_STRIDE, CONV_PADDING = 32, 8, 31
DECONV_KERNEL, DECONV_STRIDE = 32, 32
POOL_WINDOW, POOL_STRIDE, POOL_PADDING = 8, 16, 7
SOFTMAX_AXIS, SOFTMAX_ALONE = 1024, 8192
LRN_WINDOWS = (3, 5, 7, 9)
NEAREST_SCALE, LINEAR_SCALE = 32, 4


def takes(step: Operation) -> bool:
    """Whether a DLA runs this operation; plumbing counts as taken, since it becomes part of its neighbours."""
    if step.kind in FREE:
        return True
    rule = _RULES.get(step.kind)
    return rule is not None and rule(step)


def _fits(step: Operation) -> bool:
    read = [
        shape
        for shape, moving in zip(step.inputs, step.moving, strict=True)
        if shape is not None and moving
    ]
    return all(size <= MAX_DIMENSION for shape in (*read, step.result) for size in shape[1:])


def _within(step: Operation, key: str, limit: int) -> bool:
    return all(size <= limit for size in step.attributes.get(key, ()))


def _kernel_within(step: Operation, limit: int) -> bool:
    """Weights [out, in, *kernel], of one dimension or two."""
    weights = step.inputs[1]
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
    planar = len(step.result) <= 4
    windows = (
        _within(step, "kernel_shape", POOL_WINDOW)
        and _within(step, "strides", POOL_STRIDE)
        and _within(step, "pads", POOL_PADDING)
    )
    return planar and windows and _within(step, "dilations", 1) and _fits(step)


def _global_pool(step: Operation) -> bool:
    """Native in no TensorRT, but rewritten as an average pool with a window of the whole map where that is small enough."""
    source = step.inputs[0] or ()
    return (
        len(source) == 4
        and max(source[2:]) <= POOL_WINDOW
        and math.prod(step.result) == math.prod(source[:2])
    )


def _softmax(step: Operation) -> bool:
    axis = step.attributes.get("axis", -1)
    length = step.result[axis]
    alone = math.prod(step.result[1:]) == length
    return length <= (SOFTMAX_ALONE if alone else SOFTMAX_AXIS) and _fits(step)


def _resize(step: Operation) -> bool:
    """Whole factors over the pixels alone."""
    source, mode = step.inputs[0] or (), step.attributes.get("mode", b"nearest")
    limit = NEAREST_SCALE if mode == b"nearest" else LINEAR_SCALE if mode == b"linear" else 0
    if len(source) != 4 or source[:2] != step.result[:2] or not _fits(step):
        return False
    return all(
        new % old == 0 and new // old <= limit
        for new, old in zip(step.result[2:], source[2:], strict=True)
    )


def _by_weights(step: Operation) -> bool:
    """A fully connected layer becomes a convolution over all that it reads, so that only its results count as channels."""
    return len(step.moving) > 1 and not step.moving[1] and step.result[-1] <= MAX_DIMENSION


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
    "Gemm": _by_weights,
    "MatMul": _by_weights,
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
