"""ONNX operators in PyTorch: what the catalogue's networks and common exports of vision networks and transformers use.

Each is a function (t, a, *inputs) of the torch module, the node's attributes and its inputs, None for one that is left out. Inputs at the positions
in `HOST` are plain numbers or lists of them: they say what to do, not what to compute with, and must never come from the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

from envs.runtimes.torch import windows
from envs.runtimes.torch.windows import Attributes, refuse

Operator = Callable[..., Any]

#: Positions of inputs that say what to do, by operator.
HOST: dict[str, tuple[int, ...]] = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}


def _gemm(t: Any, a: Attributes, x: Any, w: Any, bias: Any = None) -> Any:
    x = x.t() if a.get("transA", 0) else x
    w = w if a.get("transB", 0) else w.t()
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
    if alpha == beta == 1.0 and (bias is None or bias.dim() == 1):
        return t.nn.functional.linear(x, w, bias)
    product = alpha * t.nn.functional.linear(x, w)
    return product if bias is None else product + beta * bias


def _batch_norm(t: Any, a: Attributes, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    return t.nn.functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def _layer_norm(t: Any, a: Attributes, x: Any, scale: Any, bias: Any = None) -> Any:
    return t.nn.functional.layer_norm(x, x.shape[a.get("axis", -1) :], scale, bias, a.get("epsilon", 1e-5))


def _clip(t: Any, a: Attributes, x: Any, low: Any = None, high: Any = None) -> Any:
    low, high = (limit[0] if isinstance(limit, list) else limit for limit in (low, high))  # some exporters write [1] where a scalar is due
    return x if low is None and high is None else t.clamp(x, low, high)


def _softmax(t: Any, a: Attributes, x: Any) -> Any:
    axis = a.get("axis", -1 if a["opset"] >= 13 else 1)
    if a["opset"] >= 13 or axis in (-1, x.dim() - 1):
        return t.softmax(x, axis)
    return t.softmax(x.flatten(axis), -1).reshape(x.shape)  # over all axes from there on, until opset 13


def _hard_sigmoid(t: Any, a: Attributes, x: Any) -> Any:
    return t.clamp(x * a.get("alpha", 0.2) + a.get("beta", 0.5), 0.0, 1.0)


def _divide(t: Any, a: Attributes, x: Any, y: Any) -> Any:
    return t.div(x, y) if x.is_floating_point() else t.div(x, y, rounding_mode="trunc")


def _reshape(t: Any, a: Attributes, x: Any, shape: list[int]) -> Any:
    keep = not a.get("allowzero", 0)
    return x.reshape([x.shape[axis] if size == 0 and keep else size for axis, size in enumerate(shape)])


def _flatten(t: Any, a: Attributes, x: Any) -> Any:
    axis = a.get("axis", 1) % (x.dim() + 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _squeeze(t: Any, a: Attributes, x: Any, axes: list[int] | None = None) -> Any:
    axes = a.get("axes", axes)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(t: Any, a: Attributes, x: Any, axes: list[int] | int | None = None) -> Any:
    axes = a.get("axes", axes)
    axes = [axes] if isinstance(axes, int) else axes or []
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _slice(t: Any, a: Attributes, x: Any, starts: list[int], ends: list[int], axes: list[int] | None = None, steps: list[int] | None = None) -> Any:
    for start, end, axis, step in zip(starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True):
        if step < 1:
            raise refuse("a step backwards")
        x = x[(slice(None),) * (axis % x.dim()) + (slice(start, end, step),)]
    return x


def _split(t: Any, a: Attributes, x: Any, sizes: list[int] | None = None) -> Any:
    axis, sizes = a.get("axis", 0), a.get("split", sizes)
    return t.split(x, sizes if sizes is not None else math.ceil(x.shape[axis] / a["outputs"]), axis)


def _gather(t: Any, a: Attributes, x: Any, index: Any) -> Any:
    axis = a.get("axis", 0) % x.dim()
    index = t.where(index < 0, index + x.shape[axis], index)
    picked = t.index_select(x, axis, index.reshape(-1))
    return picked.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _reduced(name: str) -> Operator:
    def over_axes(t: Any, a: Attributes, x: Any, axes: list[int] | None = None) -> Any:
        axes = a.get("axes", axes)
        if not axes and a.get("noop_with_empty_axes", 0):
            return x
        return getattr(t, name)(x, tuple(axes or range(x.dim())), keepdim=bool(a.get("keepdims", 1)))

    return over_axes


def _element(name: str) -> Operator:
    """A function of torch that takes the inputs and nothing else."""
    return lambda t, a, *inputs: getattr(t, name)(*inputs)


_ELEMENTWISE = {
    "Abs": "abs",
    "Add": "add",
    "And": "logical_and",
    "Ceil": "ceil",
    "Cos": "cos",
    "Equal": "eq",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "Less": "lt",
    "LessOrEqual": "le",
    "Log": "log",
    "MatMul": "matmul",
    "Mul": "mul",
    "Neg": "neg",
    "Not": "logical_not",
    "Or": "logical_or",
    "Pow": "pow",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Sin": "sin",
    "Sqrt": "sqrt",
    "Sub": "sub",
    "Tanh": "tanh",
    "Where": "where",
}

OPERATORS: dict[str, Operator] = {
    **{name: _element(function) for name, function in _ELEMENTWISE.items()},
    "AveragePool": windows.average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda t, a, x: x.to(a["to"]),
    "Clip": _clip,
    "Concat": lambda t, a, *parts: t.cat(parts, a["axis"]),
    "ConstantOfShape": lambda t, a, shape: t.full(shape, *([a["value"].item()] if "value" in a else [0.0])),
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "Div": _divide,
    "Dropout": lambda t, a, x, *rest: x,
    "Expand": lambda t, a, x, shape: x.expand(t.broadcast_shapes(x.shape, tuple(shape))),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda t, a, x: t.nn.functional.gelu(x, approximate=a.get("approximate", "none")),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda t, a, x: x.mean(tuple(range(2, x.dim())), keepdim=True),
    "GlobalMaxPool": lambda t, a, x: x.amax(tuple(range(2, x.dim())), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda t, a, x: t.nn.functional.hardswish(x),
    "Identity": lambda t, a, x: x,
    "InstanceNormalization": lambda t, a, x, scale, bias: t.nn.functional.instance_norm(x, weight=scale, bias=bias, eps=a.get("epsilon", 1e-5)),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda t, a, x: t.nn.functional.leaky_relu(x, a.get("alpha", 0.01)),
    "Max": lambda t, a, *parts: reduce(t.maximum, parts),
    "MaxPool": windows.max_pool,
    "Min": lambda t, a, *parts: reduce(t.minimum, parts),
    "Pad": windows.pad,
    "PRelu": lambda t, a, x, slope: t.where(x < 0, x * slope, x),
    "ReduceMax": _reduced("amax"),
    "ReduceMean": _reduced("mean"),
    "ReduceSum": _reduced("sum"),
    "Reshape": _reshape,
    "Resize": windows.resize,
    "Shape": lambda t, a, x: t.tensor(x.shape)[a.get("start", 0) : a.get("end")],
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sum": lambda t, a, *parts: reduce(t.add, parts),
    "Tile": lambda t, a, x, repeats: x.repeat(repeats),
    "Transpose": lambda t, a, x: x.permute(a.get("perm", tuple(reversed(range(x.dim()))))),
    "Unsqueeze": _unsqueeze,
}
