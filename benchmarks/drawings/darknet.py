"""Draw YOLOv3-tiny, YOLOv4 and YOLOv7, up to the convolutions that are decoded into boxes.

Their decoding, and the selection of boxes, which depends on the image, are left out.
"""

from __future__ import annotations

from benchmarks.drawings.shape_builder import ShapeBuilder

#: Results of each pixel: three anchors with a box, an objectness and 80 classes.
RESULTS = 3 * 85


def yolov3_tiny(g: ShapeBuilder, size: int) -> list[str]:
    """Draw YOLOv3-tiny for 80 classes."""

    def conv(x: str, out: int, kernel: int) -> str:
        return g.conv_bn(x, out, kernel, act="LeakyRelu")

    maps = [conv("input", 16, 3)]
    for out in (32, 64, 128, 256, 512):
        maps.append(conv(g.max_pool(maps[-1], 2, 2), out, 3))
    # The last pool keeps its size: one row and one column are added behind the map.
    x = g.op("MaxPool", maps[-1:], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
    x = conv(conv(x, 1024, 3), 256, 1)
    coarse = g.conv(conv(x, 512, 3), RESULTS, 1, bias=True)
    x = g.concat([g.upsample(conv(x, 128, 1), (size // 16,) * 2), maps[-2]])
    return [coarse, g.conv(conv(x, 256, 3), RESULTS, 1, bias=True)]


def yolov4(g: ShapeBuilder, size: int) -> list[str]:
    """Draw YOLOv4 for 80 classes: CSPDarknet53 with Mish, a pyramid pool, and PANet."""

    def conv(x: str, out: int, kernel: int, stride: int = 1) -> str:
        return g.conv_bn(x, out, kernel, stride, act="LeakyRelu")

    def chain(x: str, width: int, layers: int = 5) -> str:
        for layer in range(layers):
            x = conv(x, 2 * width, 3) if layer % 2 else conv(x, width, 1)
        return x

    def wider(x: str, width: int, pixels: int, side: str) -> str:
        coarse = g.upsample(conv(x, width, 1), (pixels, pixels))
        return chain(g.concat([conv(side, width, 1), coarse]), width)

    def coarser(x: str, width: int, side: str) -> str:
        return chain(g.concat([conv(x, width, 3, 2), side]), width)

    fine, middle, deep = _csp_darknet53(g)
    x = chain(deep, 512, layers=3)
    pools = [g.max_pool(x, window, 1, pad=window // 2) for window in (13, 9, 5)]
    side5 = chain(g.concat([*pools, x]), 512, layers=3)
    side4 = wider(side5, 256, size // 16, middle)
    out3 = wider(side4, 128, size // 8, fine)
    out4 = coarser(out3, 256, side4)
    out5 = coarser(out4, 512, side5)
    return [
        g.conv(conv(y, 2 * g.channels(y), 3), RESULTS, 1, bias=True) for y in (out3, out4, out5)
    ]


def _csp_darknet53(g: ShapeBuilder) -> list[str]:
    """Draw CSPDarknet53 and return its last three feature maps."""

    def conv(x: str, out: int, kernel: int, stride: int = 1) -> str:
        return g.conv_bn(x, out, kernel, stride, act="Mish")

    x, maps = conv("input", 32, 3), []
    for out, depth in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        x = conv(x, out, 3, 2)
        # The first stage keeps its channels on both ways, the others halve them.
        width = out if out == 64 else out // 2
        aside, y = conv(x, width, 1), conv(x, width, 1)
        for _ in range(depth):
            y = g.add(conv(conv(y, out // 2, 1), width, 3), y)
        x = conv(g.concat([conv(y, width, 1), aside]), out, 1)
        maps.append(x)
    return maps[2:]


def yolov7(g: ShapeBuilder, size: int) -> list[str]:
    """Draw YOLOv7 for 80 classes, with the branches of its last convolutions merged into one."""

    def conv(x: str, out: int, kernel: int, stride: int = 1) -> str:
        return g.conv_bn(x, out, kernel, stride, act="Silu")

    def aggregate(x: str, width: int, hidden: int, out: int, every: bool) -> str:
        """Draw two 1x1 convolutions, four 3x3 behind the second, and a 1x1 of all their results.

        Unless `every`, only each second of the 3x3 convolutions is read.
        """
        parts = [conv(x, width, 1), conv(x, width, 1)]
        for _ in range(4):
            parts.append(conv(parts[-1], hidden, 3))
        return conv(g.concat(parts if every else [*parts[:2], *parts[3::2]]), out, 1)

    def halve(x: str, width: int, *sides: str) -> str:
        pooled = conv(g.max_pool(x, 2, 2), width, 1)
        return g.concat([conv(conv(x, width, 1), width, 3, 2), pooled, *sides])

    def wider(x: str, width: int, pixels: int, side: str) -> str:
        coarse = g.upsample(conv(x, width, 1), (pixels, pixels))
        joined = g.concat([conv(side, width, 1), coarse])
        return aggregate(joined, width, width // 2, width, every=True)

    def coarser(x: str, width: int, side: str) -> str:
        joined = halve(x, width, side)
        return aggregate(joined, 2 * width, width, 2 * width, every=True)

    x = conv(conv(conv(conv("input", 32, 3), 64, 3, 2), 64, 3), 128, 3, 2)
    x = aggregate(x, 64, 64, 256, every=False)
    maps = []
    for width, hidden, out in ((128, 128, 512), (256, 256, 1024), (512, 256, 1024)):
        x = aggregate(halve(x, width), hidden, hidden, out, every=False)
        maps.append(x)
    fine, middle, deep = maps
    side5 = _csp_pyramid_pool(g, deep, 512)
    side4 = wider(side5, 256, size // 16, middle)
    out3 = wider(side4, 128, size // 8, fine)
    out4 = coarser(out3, 128, side4)
    out5 = coarser(out4, 256, side5)
    return [
        g.conv(conv(y, 2 * g.channels(y), 3), RESULTS, 1, bias=True) for y in (out3, out4, out5)
    ]


def _csp_pyramid_pool(g: ShapeBuilder, x: str, out: int) -> str:
    """Draw three pools side by side between convolutions, beside a single convolution (SPPCSPC)."""

    def conv(x: str, kernel: int) -> str:
        return g.conv_bn(x, out, kernel, act="Silu")

    y = conv(conv(conv(x, 1), 3), 1)
    pools = [g.max_pool(y, window, 1, pad=window // 2) for window in (5, 9, 13)]
    y = conv(conv(g.concat([y, *pools]), 1), 3)
    return conv(g.concat([y, conv(x, 1)]), 1)
