"""Draw object detectors for their shapes, up to boxes and scores.

The selection of boxes depends on the image and is left out.
"""

from __future__ import annotations

from benchmarks.drawings.classifiers import resnet_stages
from benchmarks.drawings.shape_builder import ShapeBuilder


def ssd_mobilenet_v1(g: ShapeBuilder) -> list[str]:
    """Draw SSD on MobileNet for 91 classes."""

    def separable(x: str, out: int, stride: int) -> str:
        return conv(conv(x, g.channels(x), 3, stride, groups=g.channels(x)), out, 1)

    def conv(x: str, out: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        return g.relu6(g.conv_bn(x, out, kernel, stride, groups=groups, act=""))

    x = conv("input", 32, 3, 2)
    rows = (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    )
    maps = []
    for position, (out, stride) in enumerate(rows):
        x = separable(x, out, stride)
        maps += [x] if position in (10, 12) else []
    for squeezed, out in ((256, 512), (128, 256), (128, 256), (64, 128)):
        x = conv(conv(x, squeezed, 1), out, 3, 2)
        maps.append(x)
    heads = []
    for x, anchors in zip(maps, (3, 6, 6, 6, 6, 6), strict=True):
        heads += [
            g.convolve(x, anchors * 4, 1, bias=True),
            g.convolve(x, anchors * 91, 1, bias=True),
        ]
    return heads


def ssd_resnet34(g: ShapeBuilder) -> list[str]:
    """Draw SSD on ResNet-34 for 81 classes, with 15130 boxes at 1200 x 1200."""
    # The third stage keeps its size, the fourth is left out, and the heads have a stride of three.
    x = resnet_stages(g, (3, 4, 6), bottleneck=False, strides=(1, 2, 1))[-1]
    maps = [x]
    for squeezed, out, stride, pad in (
        (256, 512, 2, 1),
        (256, 512, 2, 1),
        (128, 256, 2, 1),
        (128, 256, 2, 0),
        (128, 256, 1, 0),
    ):
        x = g.relu(
            g.conv(g.relu(g.conv(x, squeezed, 1, bias=True)), out, 3, stride, pad, bias=True)
        )
        maps.append(x)
    heads = []
    for x, anchors in zip(maps, (4, 6, 6, 6, 4, 4), strict=True):
        heads += [
            g.convolve(x, anchors * 4, 3, 3, bias=True),
            g.convolve(x, anchors * 81, 3, 3, bias=True),
        ]
    return heads


def retinanet(
    g: ShapeBuilder, maps: list[str], sizes: list[tuple[int, int]], classes: int, sixth_of_c5: bool
) -> list[str]:
    """Draw a pyramid of 256 channels, and heads of four convolutions for 9 anchors.

    Args:
        g: the graph.
        maps: the last three feature maps of a backbone, the finest first.
        sizes: height and width of each map.
        classes: classes of each anchor.
        sixth_of_c5: the sixth level reads the last feature map, as in the paper, instead of the
            fifth level.
    """
    sides = [g.conv(maps[2], 256, 1, bias=True)]
    for level in (1, 0):
        coarse = g.upsample(sides[0], sizes[level])
        sides.insert(0, g.add(g.conv(maps[level], 256, 1, bias=True), coarse))
    levels = [g.conv(side, 256, 3, pad=1, bias=True) for side in sides]
    levels.append(g.conv(maps[-1] if sixth_of_c5 else levels[-1], 256, 3, 2, 1, bias=True))
    levels.append(g.conv(g.relu(levels[-1]), 256, 3, 2, 1, bias=True))
    results = []
    for x in levels:
        for out in (9 * classes, 9 * 4):
            y = x
            for _ in range(4):
                y = g.relu(g.conv(y, 256, 3, pad=1, bias=True))
            results.append(g.conv(y, out, 3, pad=1, bias=True))
    return results


def retinanet_resnext50(g: ShapeBuilder) -> list[str]:
    """Draw RetinaNet on ResNeXt-50 32x4d for 264 classes."""
    maps = resnet_stages(g, (3, 4, 6, 3), bottleneck=True, groups=32, group_width=4)[1:]
    return retinanet(g, maps, [(100, 100), (50, 50), (25, 25)], classes=264, sixth_of_c5=False)


def retinanet_resnet34(g: ShapeBuilder) -> list[str]:
    """Draw RetinaNet on ResNet-34 for 3 classes."""
    maps = resnet_stages(g, (3, 4, 6, 3), bottleneck=False)[1:]
    return retinanet(g, maps, [(96, 160), (48, 80), (24, 40)], classes=3, sixth_of_c5=True)
