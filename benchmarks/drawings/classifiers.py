"""Draw image classifiers and backbones for their shapes, beyond those of `architectures`."""

from __future__ import annotations

from benchmarks.drawings.shape_builder import ShapeBuilder


def resnet_stages(
    g: ShapeBuilder,
    depths: tuple[int, ...],
    bottleneck: bool,
    groups: int = 1,
    group_width: int = 64,
    strides: tuple[int, ...] = (1, 2, 2, 2),
) -> list[str]:
    """Draw a ResNet or ResNeXt and return the feature map of each stage.

    Args:
        g: the graph.
        depths: blocks of each stage.
        bottleneck: three convolutions per block, with the stride in the 3x3, instead of two.
        groups: groups of the 3x3 convolutions.
        group_width: width of a group at 64 channels.
        strides: stride of each stage.
    """
    x = g.max_pool(g.conv_bn("input", 64, 7, 2), 3, 2, pad=1)
    maps = []
    for stage, depth in enumerate(depths):
        width = (64 << stage) * group_width * groups // 64
        for block in range(depth):
            stride = 1 if block else strides[stage]
            if bottleneck:
                y = g.conv_bn(g.conv_bn(x, width, 1), width, 3, stride, groups=groups)
                y = g.conv_bn(y, 256 << stage, 1, act="")
            else:
                y = g.conv_bn(g.conv_bn(x, width, 3, stride), width, 3, act="")
            if stride != 1 or g.channels(y) != g.channels(x):
                x = g.conv_bn(x, g.channels(y), 1, stride, act="")
            x = g.relu(g.add(y, x))
        maps.append(x)
    return maps


def resnet(g: ShapeBuilder, depths: tuple[int, ...]) -> list[str]:
    """Draw a ResNet with bottlenecks for 1000 classes."""
    return [_classify(g, resnet_stages(g, depths, bottleneck=True)[-1])]


def vgg(g: ShapeBuilder, depths: tuple[int, ...]) -> list[str]:
    """Draw a VGG with this many convolutions before each pool: 16 of them in VGG-19."""
    x = "input"
    for width, depth in zip((64, 128, 256, 512, 512), depths, strict=True):
        for _ in range(depth):
            x = g.relu(g.conv(x, width, 3, pad=1, bias=True))
        x = g.max_pool(x, 2, 2)
    return [_three_linear(g, g.flatten(x, pixels=49))]


def alexnet(g: ShapeBuilder) -> list[str]:
    """Draw AlexNet with one column and without normalization."""
    x = g.max_pool(g.relu(g.conv("input", 64, 11, 4, pad=2, bias=True)), 3, 2)
    x = g.max_pool(g.relu(g.conv(x, 192, 5, pad=2, bias=True)), 3, 2)
    for width in (384, 256, 256):
        x = g.relu(g.conv(x, width, 3, pad=1, bias=True))
    return [_three_linear(g, g.flatten(g.max_pool(x, 3, 2), pixels=36))]


def alexnet_grouped(g: ShapeBuilder) -> list[str]:
    """Draw AlexNet with two columns, as groups, and with normalization."""
    x = g.relu(g.conv("input", 96, 11, 4, bias=True))
    x = g.max_pool(g.op("LRN", [x], size=5), 3, 2)
    x = g.relu(g.conv(x, 256, 5, pad=2, groups=2, bias=True))
    x = g.max_pool(g.op("LRN", [x], size=5), 3, 2)
    for width, groups in ((384, 1), (384, 2), (256, 2)):
        x = g.relu(g.conv(x, width, 3, pad=1, groups=groups, bias=True))
    return [_three_linear(g, g.flatten(g.max_pool(x, 3, 2), pixels=36))]


def googlenet(g: ShapeBuilder) -> list[str]:
    """Draw GoogLeNet without its auxiliary classifiers."""

    def conv(x: str, out: int, kernel: int, stride: int = 1) -> str:
        return g.relu(g.conv(x, out, kernel, stride, pad=kernel // 2, bias=True))

    x = g.max_pool(conv("input", 64, 7, 2), 3, 2, ceil=True)
    x = g.op("LRN", [conv(conv(g.op("LRN", [x], size=5), 64, 1), 192, 3)], size=5)
    # Table 1 of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection; None is a pool.
    rows: tuple[tuple[int, ...] | None, ...] = (
        None,
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        None,
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        None,
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )
    for row in rows:
        if row is None:
            x = g.max_pool(x, 3, 2, ceil=True)
            continue
        one, reduce3, three, reduce5, five, pool = row
        branches = [
            conv(x, one, 1),
            conv(conv(x, reduce3, 1), three, 3),
            conv(conv(x, reduce5, 1), five, 5),
        ]
        x = g.concat([*branches, conv(g.max_pool(x, 3, 1, pad=1), pool, 1)])
    return [_classify(g, x)]


def inception_v4(g: ShapeBuilder) -> list[str]:
    """Draw Inception-v4."""

    def chain(x: str, *layers: tuple[int, tuple[int, int]]) -> str:
        for out, kernel in layers:
            x = g.conv_bn(x, out, kernel)
        return x

    def averaged(x: str, out: int) -> str:
        return g.conv_bn(g.op("AveragePool", [x], kernel_shape=[3, 3], pads=[1] * 4), out, 1)

    one, three, row, column = (1, 1), (3, 3), (1, 7), (7, 1)
    x = g.conv_bn(g.conv_bn(g.conv_bn("input", 32, 3, 2, pad=0), 32, 3, pad=0), 64, 3)
    x = g.concat([g.max_pool(x, 3, 2), g.conv_bn(x, 96, 3, 2, pad=0)])
    long = chain(x, (64, one), (64, row), (64, column))
    x = g.concat([g.conv_bn(chain(x, (64, one)), 96, 3, pad=0), g.conv_bn(long, 96, 3, pad=0)])
    x = g.concat([g.conv_bn(x, 192, 3, 2, pad=0), g.max_pool(x, 3, 2)])
    for _ in range(4):
        x = g.concat(
            [
                chain(x, (96, one)),
                chain(x, (64, one), (96, three)),
                chain(x, (64, one), (96, three), (96, three)),
                averaged(x, 96),
            ]
        )
    x = g.concat(
        [
            g.conv_bn(x, 384, 3, 2, pad=0),
            g.conv_bn(chain(x, (192, one), (224, three)), 256, 3, 2, pad=0),
            g.max_pool(x, 3, 2),
        ]
    )
    for _ in range(7):
        long = chain(x, (192, one), (192, column), (224, row), (224, column), (256, row))
        x = g.concat(
            [
                chain(x, (384, one)),
                chain(x, (192, one), (224, row), (256, column)),
                long,
                averaged(x, 128),
            ]
        )
    long = chain(x, (256, one), (256, row), (320, column))
    x = g.concat(
        [
            g.conv_bn(chain(x, (192, one)), 192, 3, 2, pad=0),
            g.conv_bn(long, 320, 3, 2, pad=0),
            g.max_pool(x, 3, 2),
        ]
    )
    for _ in range(3):
        short, long = chain(x, (384, one)), chain(x, (384, one), (448, (3, 1)), (512, (1, 3)))
        ends = [g.conv_bn(y, 256, kernel) for y in (short, long) for kernel in ((1, 3), (3, 1))]
        x = g.concat([chain(x, (256, one)), *ends, averaged(x, 256)])
    return [_classify(g, x)]


def efficientnet_b0(g: ShapeBuilder) -> list[str]:
    """Draw EfficientNet-B0."""
    x = g.conv_bn("input", 32, 3, 2, act="Silu")
    # Table 1 of the paper: expansion, channels, repeats, stride, kernel.
    rows = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    for expansion, channels, repeats, first_stride, kernel in rows:
        for repeat in range(repeats):
            hidden, stride = g.channels(x) * expansion, 1 if repeat else first_stride
            y = x if expansion == 1 else g.conv_bn(x, hidden, 1, act="Silu")
            y = g.conv_bn(y, hidden, kernel, stride, groups=hidden, act="Silu")
            y = g.conv_bn(
                g.squeeze_excite(y, g.channels(x) // 4, "Silu", "Sigmoid"), channels, 1, act=""
            )
            x = g.add(y, x) if repeat else y
    return [_classify(g, g.conv_bn(x, 1280, 1, act="Silu"))]


def mobilenet_v3_large(g: ShapeBuilder) -> list[str]:
    """Draw MobileNetV3-Large."""
    x = g.conv_bn("input", 16, 3, 2, act="HardSwish")
    # Table 1 of the paper: kernel, expanded channels, channels, squeezed channels (0 for none),
    # hard swish instead of ReLU, stride.
    rows = (
        (3, 16, 16, 0, False, 1),
        (3, 64, 24, 0, False, 2),
        (3, 72, 24, 0, False, 1),
        (5, 72, 40, 24, False, 2),
        (5, 120, 40, 32, False, 1),
        (5, 120, 40, 32, False, 1),
        (3, 240, 80, 0, True, 2),
        (3, 200, 80, 0, True, 1),
        (3, 184, 80, 0, True, 1),
        (3, 184, 80, 0, True, 1),
        (3, 480, 112, 120, True, 1),
        (3, 672, 112, 168, True, 1),
        (5, 672, 160, 168, True, 2),
        (5, 960, 160, 240, True, 1),
        (5, 960, 160, 240, True, 1),
    )
    for kernel, hidden, channels, squeezed, hard, stride in rows:
        act = "HardSwish" if hard else "Relu"
        y = x if hidden == g.channels(x) else g.conv_bn(x, hidden, 1, act=act)
        y = g.conv_bn(y, hidden, kernel, stride, groups=hidden, act=act)
        y = g.squeeze_excite(y, squeezed, "Relu", "HardSigmoid") if squeezed else y
        y = g.conv_bn(y, channels, 1, act="")
        x = g.add(y, x) if stride == 1 and channels == g.channels(x) else y
    x = g.flatten(g.global_average(g.conv_bn(x, 960, 1, act="HardSwish")))
    return [g.linear(g.op("HardSwish", [g.linear(x, 1280)]), 1000)]


def _classify(g: ShapeBuilder, x: str) -> str:
    return g.linear(g.flatten(g.global_average(x)), 1000)


def _three_linear(g: ShapeBuilder, x: str) -> str:
    return g.linear(g.relu(g.linear(g.relu(g.linear(x, 4096)), 4096)), 1000)
