"""Published image classifiers with random weights, which measure like trained ones.

Speed, memory and power do not depend on the values of the weights, so that nothing has to be
downloaded to measure them. The networks classify nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from envs.catalog.graph_builder import GraphBuilder
from envs.errors import OptionError
from envs.files import replacing


@dataclass(frozen=True)
class Architecture:
    """A published network.

    Attributes:
        draw: adds the network to a graph; (graph, image_size, classes) -> name of the logits
            [batch, classes].
        parameters: learnable parameters with 1000 classes, as published.
        macs: multiply-accumulates of one 224 x 224 image, as published.
        source: the paper, and the page with both numbers.
    """

    draw: Callable[[GraphBuilder, int, int], str]
    parameters: int
    macs: float
    source: str


#: Scale of the last normalization of a residual branch: over 16 blocks activations then grow about
#: fourfold, not 2**16-fold.
RESIDUAL_SCALE = 0.3


def _conv_bn(
    g: GraphBuilder,
    x: str,
    out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    rectified: bool = True,
    scale: float = 1.0,
) -> str:
    return g.batch_norm(
        g.conv(x, out, kernel, stride, pad=kernel // 2, groups=groups, rectified=rectified), scale
    )


def _basic_branch(g: GraphBuilder, x: str, width: int, stride: int) -> str:
    x = g.relu(_conv_bn(g, x, width, 3, stride))
    return _conv_bn(g, x, width, 3, scale=RESIDUAL_SCALE)


def _bottleneck_branch(g: GraphBuilder, x: str, width: int, stride: int) -> str:
    # The stride sits in the 3x3 convolution ("ResNet v1.5"), as in torchvision and in MLPerf.
    x = g.relu(_conv_bn(g, x, width, 1))
    x = g.relu(_conv_bn(g, x, width, 3, stride))
    return _conv_bn(g, x, 4 * width, 1, scale=RESIDUAL_SCALE)


def _resnet(
    g: GraphBuilder,
    image_size: int,
    classes: int,
    depths: tuple[int, ...],
    branch: Callable[[GraphBuilder, str, int, int], str],
) -> str:
    x = g.max_pool(g.relu(_conv_bn(g, "input", 64, 7, 2, rectified=False)), 3, 2, pad=1)
    for stage, depth in enumerate(depths):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            y = branch(g, x, 64 << stage, stride)
            if stride != 1 or g.channels(y) != g.channels(x):
                x = _conv_bn(g, x, g.channels(y), 1, stride)
            x = g.relu(g.add(y, x))
    return g.linear(g.flatten(g.global_average(x)), classes)


def _mobilenet_v2(g: GraphBuilder, image_size: int, classes: int) -> str:
    x = g.relu6(_conv_bn(g, "input", 32, 3, 2, rectified=False))
    # Expansion, channels, repeats, stride: table 2 of the paper. A block ends in a linear layer, so
    # that the next layer reads features that are not rectified.
    rows = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for expansion, channels, repeats, first_stride in rows:
        for repeat in range(repeats):
            stride = 1 if repeat else first_stride
            hidden = g.channels(x) * expansion
            y = x if expansion == 1 else g.relu6(_conv_bn(g, x, hidden, 1, rectified=False))
            y = g.relu6(_conv_bn(g, y, hidden, 3, stride, groups=hidden))
            residual = stride == 1 and g.channels(x) == channels
            y = _conv_bn(g, y, channels, 1, scale=RESIDUAL_SCALE if residual else 1.0)
            x = g.add(x, y) if residual else y
    x = g.relu6(_conv_bn(g, x, 1280, 1, rectified=False))
    return g.linear(g.flatten(g.global_average(x)), classes)


def _squeezenet1_1(g: GraphBuilder, image_size: int, classes: int) -> str:
    x = g.relu(g.conv("input", 64, 3, 2, bias=True, rectified=False))
    # Squeeze and expand channels of the fire modules; a pool precedes the 1st, 3rd and 5th.
    for position, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        if position in (0, 2, 4):
            x = g.max_pool(x, 3, 2, ceil=True)
        x = g.relu(g.conv(x, squeeze, 1, bias=True))
        x = g.concat(
            [
                g.relu(g.conv(x, expand, 1, bias=True)),
                g.relu(g.conv(x, expand, 3, pad=1, bias=True)),
            ]
        )
    return g.flatten(g.global_average(g.relu(g.conv(x, classes, 1, bias=True))))


def _densenet121(g: GraphBuilder, image_size: int, classes: int) -> str:
    x = g.max_pool(g.relu(_conv_bn(g, "input", 64, 7, 2, rectified=False)), 3, 2, pad=1)
    for block, layers in enumerate((6, 12, 24, 16)):
        if block:
            x = g.average_pool(g.conv(g.relu(g.batch_norm(x)), g.channels(x) // 2, 1), 2, 2)
        for _ in range(layers):
            y = g.conv(g.relu(g.batch_norm(x)), 128, 1)
            x = g.concat([x, g.conv(g.relu(g.batch_norm(y)), 32, 3, pad=1)])
    return g.linear(g.flatten(g.global_average(g.relu(g.batch_norm(x)))), classes)


def _vgg11(g: GraphBuilder, image_size: int, classes: int) -> str:
    x = "input"
    for widths in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for width in widths:
            x = g.relu(g.conv(x, width, 3, pad=1, bias=True, rectified=x != "input"))
        x = g.max_pool(x, 2, 2)
    # The first fully connected layer reads all remaining pixels (7 x 7 of 224 x 224), so that it
    # alone changes with the image size.
    x = g.flatten(x, pixels=(image_size // 32) ** 2)
    return g.linear(g.relu(g.linear(g.relu(g.linear(x, 4096)), 4096)), classes)


_TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html"

#: torchvision publishes the parameters and multiply-accumulates for weights of the same name.
ARCHITECTURES: dict[str, Architecture] = {
    "resnet18": Architecture(
        partial(_resnet, depths=(2, 2, 2, 2), branch=_basic_branch),
        11_689_512,
        1.82e9,
        f"He et al. 2015, arXiv:1512.03385; {_TORCHVISION}",
    ),
    "resnet50": Architecture(
        partial(_resnet, depths=(3, 4, 6, 3), branch=_bottleneck_branch),
        25_557_032,
        4.09e9,
        f"He et al. 2015, arXiv:1512.03385; {_TORCHVISION}",
    ),
    "mobilenet_v2": Architecture(
        _mobilenet_v2, 3_504_872, 0.30e9, f"Sandler et al. 2018, arXiv:1801.04381; {_TORCHVISION}"
    ),
    "squeezenet1_1": Architecture(
        _squeezenet1_1, 1_235_496, 0.35e9, f"Iandola et al. 2016, arXiv:1602.07360; {_TORCHVISION}"
    ),
    "densenet121": Architecture(
        _densenet121, 7_978_856, 2.83e9, f"Huang et al. 2016, arXiv:1608.06993; {_TORCHVISION}"
    ),
    "vgg11": Architecture(
        _vgg11, 132_863_336, 7.61e9, f"Simonyan, Zisserman 2014, arXiv:1409.1556; {_TORCHVISION}"
    ),
}


def architecture(name: str) -> Architecture:
    """Return an architecture by name; raise OptionError if there is none."""
    if name not in ARCHITECTURES:
        raise OptionError(f"unknown network {name!r}: choose from {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(name: str, seed: int = 0, image_size: int = 224, classes: int = 1000) -> Any:
    """Return the onnx.ModelProto of a published architecture with seeded random weights.

    The same arguments give the same bytes. Its input is `input` [batch, 3, image_size, image_size],
    its output `logits` [batch, classes].

    Args:
        name: a key of ARCHITECTURES.
        seed: seed of the weights, from 0.
        image_size: pixels along each side of the image, at least 32.
        classes: number of classes.

    Raises:
        OptionError: the name is unknown, or a number is out of range.
        DependencyError: onnx is not installed.
    """
    draw = architecture(name).draw
    # Every architecture halves the image five times, so that 32 pixels become one.
    minima = {"seed": (seed, 0), "image_size": (image_size, 32), "classes": (classes, 1)}
    for key, (value, minimum) in minima.items():
        if value < minimum:
            raise OptionError(f"{key}={value} must be at least {minimum}")
    graph = GraphBuilder(seed)
    return graph.model(name, draw(graph, image_size, classes), image_size)


def parameters(model: Any) -> int:
    """Return the number of learnable parameters of a model from `build`.

    Statistics of BatchNormalization and the limits of Clip do not count.
    """
    first_fixed = {"BatchNormalization": 3, "Clip": 1}
    fixed = {
        tensor
        for node in model.graph.node
        if node.op_type in first_fixed
        for tensor in node.input[first_fixed[node.op_type] :]
    }
    return sum(
        math.prod(weight.dims) for weight in model.graph.initializer if weight.name not in fixed
    )


def write(name: str, folder: str | Path, seed: int = 0) -> Path:
    """Write `<folder>/<name>.onnx` in one step and return its path.

    An existing file stays whole until it is replaced.

    Raises:
        OptionError: the name or seed is unknown.
        StorageError: the folder cannot be made or written, or the disk is full.
    """
    content = build(name, seed).SerializeToString(deterministic=True)
    target = Path(folder) / f"{name}.onnx"
    with replacing(target, "give a folder with room that you may write to") as file:
        file.write(content)
    return target
