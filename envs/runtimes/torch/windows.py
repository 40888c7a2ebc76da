"""ONNX operators in PyTorch that look through a window or change the size of an image; see `operators` for their form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from envs.errors import NetworkError

Attributes = dict[str, Any]


def refuse(what: str) -> NetworkError:
    """The error about a node that asks for something this leaf does not do; who knows the node adds its name."""
    return NetworkError(what)


def _pairs(pads: Sequence[int]) -> list[int]:
    """ONNX pads (begins, then ends) as torch's (last axis first, begin and end)."""
    rank = len(pads) // 2
    return [pads[side * rank + axis] for axis in reversed(range(rank)) for side in (0, 1)]


def _window_pads(a: Attributes, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """Begins, then ends, of a window over spatial `sizes`, also where the node asks for them by a rule."""
    rank, rule = len(kernel), a.get("auto_pad", "NOTSET")
    if rule in ("NOTSET", "VALID"):
        return list(a.get("pads", [0] * 2 * rank)) if rule == "NOTSET" else [0] * 2 * rank
    begins, ends = [], []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        needed = max(0, (math.ceil(size / stride) - 1) * stride + (width - 1) * dilation + 1 - size)
        begins.append(needed // 2 if rule == "SAME_UPPER" else needed - needed // 2)
        ends.append(needed - begins[-1])
    return begins + ends


def conv(t: Any, a: Attributes, x: Any, w: Any, bias: Any = None) -> Any:
    rank = w.dim() - 2
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads = _window_pads(a, x.shape[2:], w.shape[2:], strides, dilations)
    if pads[:rank] != pads[rank:]:
        x, pads = t.nn.functional.pad(x, _pairs(pads)), [0] * rank
    convolve = (t.nn.functional.conv1d, t.nn.functional.conv2d, t.nn.functional.conv3d)[rank - 1]
    return convolve(x, w, bias, strides, pads[:rank], dilations, a.get("group", 1))


def conv_transpose(t: Any, a: Attributes, x: Any, w: Any, bias: Any = None) -> Any:
    rank = w.dim() - 2
    pads = list(a.get("pads", [0] * 2 * rank))
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in a or pads[:rank] != pads[rank:]:
        raise refuse("paddings that differ between the sides or follow a rule")
    convolve = (t.nn.functional.conv_transpose1d, t.nn.functional.conv_transpose2d, t.nn.functional.conv_transpose3d)[rank - 1]
    extra = a.get("output_padding", [0] * rank)
    return convolve(x, w, bias, a.get("strides", [1] * rank), pads[:rank], extra, a.get("group", 1), a.get("dilations", [1] * rank))


def max_pool(t: Any, a: Attributes, x: Any) -> Any:
    kernel = a["kernel_shape"]
    rank = len(kernel)
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads = _window_pads(a, x.shape[2:], kernel, strides, dilations)
    if pads[:rank] != pads[rank:] or any(2 * pad > width for pad, width in zip(pads, kernel, strict=False)):
        x, pads = t.nn.functional.pad(x, _pairs(pads), value=-math.inf), [0] * rank
    pool = (t.nn.functional.max_pool1d, t.nn.functional.max_pool2d, t.nn.functional.max_pool3d)[rank - 1]
    return pool(x, kernel, strides, pads[:rank], dilations, ceil_mode=bool(a.get("ceil_mode", 0)))


def average_pool(t: Any, a: Attributes, x: Any) -> Any:
    kernel = a["kernel_shape"]
    rank = len(kernel)
    strides, ones = a.get("strides", [1] * rank), [1] * rank
    pads = _window_pads(a, x.shape[2:], kernel, strides, ones)
    if pads[:rank] != pads[rank:] or any(each != 1 for each in a.get("dilations", ones)):
        raise refuse("paddings that differ between the sides, or dilations")
    pool = (t.nn.functional.avg_pool1d, t.nn.functional.avg_pool2d, t.nn.functional.avg_pool3d)[rank - 1]
    return pool(x, kernel, strides, pads[:rank], bool(a.get("ceil_mode", 0)), bool(a.get("count_include_pad", 0)))


def pad(t: Any, a: Attributes, x: Any, pads: list[int], value: float | None = None, axes: list[int] | None = None) -> Any:
    if a.get("mode", "constant") != "constant":
        raise refuse(f"the mode {a['mode']}")
    named = [axis % x.dim() for axis in axes or range(x.dim())]
    every = [0] * 2 * x.dim()
    for position, axis in enumerate(named):
        every[axis], every[x.dim() + axis] = pads[position], pads[len(named) + position]
    return t.nn.functional.pad(x, _pairs(every), value=value or 0.0)


def resize(t: Any, a: Attributes, x: Any, region: Any = None, scales: list[float] | None = None, sizes: list[int] | None = None) -> Any:
    axes = [axis % x.dim() for axis in a.get("axes", range(x.dim()))]
    wanted = sizes or [x.shape[axis] * scale for axis, scale in zip(axes, scales or (), strict=True)]
    target = [dict(zip(axes, wanted, strict=True)).get(axis, size) for axis, size in enumerate(x.shape)]
    if target[:2] != list(x.shape[:2]) or any(size != int(size) for size in target) or a.get("antialias", 0) or a.get("exclude_outside", 0):
        raise refuse("batch or channels resized, a part of a pixel, or antialiasing")
    spatial = [int(size) for size in target[2:]]
    mode, rule, rounding = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel"), a.get("nearest_mode", "round_prefer_floor")
    centred = rule in ("half_pixel", "pytorch_half_pixel")
    whole = all(new % old == 0 for new, old in zip(spatial, x.shape[2:], strict=True))
    # Enlarged by a whole number, the nearest centre is that of the pixel it was cut from.
    if mode == "nearest" and ((rule == "asymmetric" and rounding == "floor") or (whole and centred and rounding.startswith("round"))):
        return t.nn.functional.interpolate(x, spatial, mode="nearest")
    if mode == "linear" and (centred or rule == "align_corners"):
        linear = ("linear", "bilinear", "trilinear")[len(spatial) - 1]
        return t.nn.functional.interpolate(x, spatial, mode=linear, align_corners=not centred)
    raise refuse(f"the mode {mode} with {rule} and {rounding}")
