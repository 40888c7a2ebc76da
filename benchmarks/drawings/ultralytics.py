"""Draw the YOLO networks of Ultralytics, up to boxes, scores and keypoints of all anchors.

Their decoding, and the selection of boxes, which depends on the image, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.drawings.shape_builder import ShapeBuilder

#: Numbers per anchor of a box (four sides of 16 bins) and of a pose (17 points of x, y and score).
BOX, POSE = 64, 51


class Scale(NamedTuple):
    """Size of a network, as the `scales` of its file state it.

    Attributes:
        depth: factor of the repeats.
        width: factor of the channels.
        most: bound of the channels, before the factor.
    """

    depth: float
    width: float
    most: int = 1024

    def channels(self, base: int) -> int:
        """Return scaled channels, rounded up to a multiple of eight."""
        return math.ceil(min(base, self.most) * self.width / 8) * 8

    def repeats(self, base: int) -> int:
        """Return scaled repeats, at least one."""
        return max(round(base * self.depth), 1)


def yolov5s(g: ShapeBuilder, size: int) -> list[str]:
    """Draw YOLOv5s, version 6, up to the three convolutions that are decoded into boxes."""

    def csp(x: str, out: int, depth: int, shortcut: bool = True) -> str:
        return _three_convolutions(g, x, out, depth, (1, 3), shortcut)

    x = _conv(g, g.conv_bn("input", 32, 6, 2, pad=2, act="Silu"), 64, 3, 2)
    maps = []
    for out, depth in ((64, 1), (128, 2), (256, 3), (512, 1)):
        x = csp(x, out, depth) if out == 64 else csp(_conv(g, x, out, 3, 2), out, depth)
        maps.append(x)
    fine, middle = maps[1], maps[2]
    side5 = _conv(g, _pyramid_pool(g, x, 512), 256, 1)
    side4 = _conv(
        g, csp(g.concat([g.upsample(side5, (size // 16,) * 2), middle]), 256, 1, False), 128, 1
    )
    out3 = csp(g.concat([g.upsample(side4, (size // 8,) * 2), fine]), 128, 1, False)
    out4 = csp(g.concat([_conv(g, out3, 128, 3, 2), side4]), 256, 1, False)
    out5 = csp(g.concat([_conv(g, out4, 256, 3, 2), side5]), 512, 1, False)
    return [g.conv(y, 3 * 85, 1, bias=True) for y in (out3, out4, out5)]


def yolov8(g: ShapeBuilder, size: int, scale: Scale, pose: bool = False) -> list[str]:
    """Draw YOLOv8 for 80 classes, or for persons and their 17 keypoints."""

    def csp(x: str, base: int, repeats: int, shortcut: bool) -> str:
        def block(y: str) -> str:
            return _two_convolutions(g, y, g.channels(y), (3, 3), shortcut)

        return _split_block(g, x, scale.channels(base), scale.repeats(repeats), block)

    x, maps = _conv(g, "input", scale.channels(64), 3, 2), []
    for base, repeats in ((128, 3), (256, 6), (512, 6), (1024, 3)):
        x = csp(_conv(g, x, scale.channels(base), 3, 2), base, repeats, True)
        maps.append(x)
    maps[3] = _pyramid_pool(g, x, scale.channels(1024))
    ends = _two_way_pyramid(g, scale, size, maps[1:], lambda y, base: csp(y, base, 3, False))
    return _heads(g, ends, pose, separable=False)


def yolo11(g: ShapeBuilder, size: int, scale: Scale, pose: bool = False) -> list[str]:
    """Draw YOLO11 for 80 classes, or for persons and their 17 keypoints."""

    def csp(x: str, base: int, nested: bool, share: float = 0.5) -> str:
        def block(y: str) -> str:
            if nested:
                return _three_convolutions(g, y, g.channels(y), 2, (3, 3))
            return _two_convolutions(g, y, g.channels(y) // 2, (3, 3))

        return _split_block(g, x, scale.channels(base), scale.repeats(2), block, share)

    x, maps = _conv(g, "input", scale.channels(64), 3, 2), []
    # Channels of the strided convolution and of the blocks, whose share of them splits off.
    for down, base, nested, share in (
        (128, 256, False, 0.25),
        (256, 512, False, 0.25),
        (512, 512, True, 0.5),
        (1024, 1024, True, 0.5),
    ):
        x = csp(_conv(g, x, scale.channels(down), 3, 2), base, nested, share)
        maps.append(x)
    pooled = _pyramid_pool(g, x, scale.channels(1024))
    maps[3] = _split_attention(g, pooled, size // 32, scale.repeats(2))
    ends = _two_way_pyramid(g, scale, size, maps[1:], lambda y, base: csp(y, base, base == 1024))
    return _heads(g, ends, pose, separable=True)


def _conv(g: ShapeBuilder, x: str, out: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
    return g.conv_bn(x, out, kernel, stride, groups=groups, act="Silu")


def _two_convolutions(
    g: ShapeBuilder, x: str, hidden: int, kernels: tuple[int, int], shortcut: bool = True
) -> str:
    """Draw two convolutions that keep the channels, and their sum with the input."""
    y = _conv(g, _conv(g, x, hidden, kernels[0]), g.channels(x), kernels[1])
    return g.add(y, x) if shortcut else y


def _three_convolutions(
    g: ShapeBuilder,
    x: str,
    out: int,
    depth: int,
    kernels: tuple[int, int],
    shortcut: bool = True,
) -> str:
    """Draw blocks on one half of the channels, beside a convolution to the other half (C3)."""
    y, z = _conv(g, x, out // 2, 1), _conv(g, x, out // 2, 1)
    for _ in range(depth):
        y = _two_convolutions(g, y, out // 2, kernels, shortcut)
    return _conv(g, g.concat([y, z]), out, 1)


def _split_block(
    g: ShapeBuilder,
    x: str,
    out: int,
    repeats: int,
    block: Callable[[str], str],
    share: float = 0.5,
) -> str:
    """Draw blocks in a row; their results and what they read are concatenated (C2f, C3k2)."""
    width = int(out * share)
    parts = [_conv(g, x, 2 * width, 1)]
    y = g.listed("Slice", parts[0], [width], [2 * width], [1], channels=width)
    for _ in range(repeats):
        y = block(y)
        parts.append(y)
    return _conv(g, g.concat(parts), out, 1)


def _pyramid_pool(g: ShapeBuilder, x: str, out: int) -> str:
    """Draw three 5x5 pools in a row; their input and results are concatenated (SPPF)."""
    parts = [_conv(g, x, g.channels(x) // 2, 1)]
    for _ in range(3):
        parts.append(g.max_pool(parts[-1], 5, 1, pad=2))
    return _conv(g, g.concat(parts), out, 1)


def _split_attention(g: ShapeBuilder, x: str, side: int, repeats: int) -> str:
    """Draw attention over all pixels of a square map, on one half of the channels (C2PSA)."""
    channels, width = g.channels(x), g.channels(x) // 2
    both = _conv(g, x, channels, 1)
    y = g.listed("Slice", both, [width], [channels], [1], channels=width)
    for _ in range(repeats):
        y = g.add(_pixel_attention(g, y, side), y)
        y = g.add(g.conv_bn(_conv(g, y, 2 * width, 1), width, 1, act=""), y)
    plain = g.listed("Slice", both, [0], [width], [1], channels=width)
    return _conv(g, g.concat([plain, y]), channels, 1)


def _pixel_attention(g: ShapeBuilder, x: str, side: int) -> str:
    """Draw attention with heads of 64 channels and keys of 32, and a 3x3 convolution of values."""
    width, pixels = g.channels(x), side * side
    heads = width // 64
    all_three = g.conv_bn(x, 2 * width, 1, act="")
    all_three = g.listed("Reshape", all_three, [0, heads, 128, pixels])
    query, key, value = (
        g.listed("Slice", all_three, [first], [end], [2], channels=heads)
        for first, end in ((0, 32), (32, 64), (64, 128))
    )
    scores = g.op("MatMul", [g.op("Transpose", [query], perm=[0, 1, 3, 2]), key])
    shares = g.op("Softmax", [g.op("Mul", [scores, g.number(1 / math.sqrt(32))])])
    mixed = g.op("MatMul", [value, g.op("Transpose", [shares], perm=[0, 1, 3, 2])])
    mixed, value = (
        g.listed("Reshape", y, [0, width, side, side], channels=width) for y in (mixed, value)
    )
    place = g.conv_bn(value, width, 3, groups=width, act="")
    return g.conv_bn(g.add(mixed, place), width, 1, act="")


def _two_way_pyramid(
    g: ShapeBuilder, scale: Scale, size: int, maps: list[str], csp: Callable[[str, int], str]
) -> list[str]:
    """Draw the way from the coarsest of three maps to the finest and back; the finest is first."""
    fine, middle, deep = maps
    down4 = csp(g.concat([g.upsample(deep, (size // 16,) * 2), middle]), 512)
    out3 = csp(g.concat([g.upsample(down4, (size // 8,) * 2), fine]), 256)
    out4 = csp(g.concat([_conv(g, out3, scale.channels(256), 3, 2), down4]), 512)
    out5 = csp(g.concat([_conv(g, out4, scale.channels(512), 3, 2), deep]), 1024)
    return [out3, out4, out5]


def _heads(g: ShapeBuilder, maps: list[str], pose: bool, separable: bool) -> list[str]:
    """Draw boxes, scores and, if `pose`, keypoints of each map.

    Args:
        g: the graph.
        maps: three feature maps, the finest first.
        pose: one class and keypoints, instead of 80 classes.
        separable: scores come from depthwise convolutions and 1x1 convolutions.
    """
    finest, classes = g.channels(maps[0]), 1 if pose else 80

    def plain(y: str, hidden: int) -> str:
        return _conv(g, _conv(g, y, hidden, 3), hidden, 3)

    def depthwise(y: str, hidden: int) -> str:
        for _ in range(2):
            y = _conv(g, _conv(g, y, g.channels(y), 3, groups=g.channels(y)), hidden, 1)
        return y

    branches = [
        (plain, max(16, finest // 4, BOX), BOX),
        (depthwise if separable else plain, max(finest, classes), classes),
        *([(plain, max(finest // 4, POSE), POSE)] if pose else []),
    ]
    return [
        g.conv(draw(y, hidden), out, 1, bias=True) for y in maps for draw, hidden, out in branches
    ]
