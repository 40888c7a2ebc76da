"""The kernels of the benchmark: their sources, and small problems that they are run on.

All sources are the project's own. Values are FP32, tensors are NCHW with one image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from envs.kernels.processor import Argument
from envs.kernels.shard_argument import Size

SOURCES = Path(__file__).with_name("sources")

#: File of each kernel.
FILES = {
    "convolution": "convolution.cu",
    "im2col": "im2col.cu",
    "gemm": "gemm.cu",
    "depthwise": "depthwise.cu",
    "max_pool": "pooling.cu",
    "average_pool": "pooling.cu",
    "bias_relu": "elementwise.cu",
    "add": "elementwise.cu",
    "softmax": "softmax.cu",
}


def source_of(kernel: str) -> str:
    """Return the CUDA C++ source of the file in which a kernel is."""
    return (SOURCES / FILES[kernel]).read_text()


@dataclass(frozen=True)
class Problem:
    """Hold what a kernel is launched with.

    Attributes:
        kernel: its name.
        grid: logical blocks.
        block: logical threads of each block.
        arguments: in the order of the parameters.
        output: index of the argument that is written.
    """

    kernel: str
    grid: Size
    block: Size
    arguments: tuple[Argument, ...] = field(repr=False)
    output: int

    @property
    def blocks(self) -> int:
        """Return the number of logical blocks."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def threads(self) -> int:
        """Return the number of logical threads of a block."""
        return self.block[0] * self.block[1] * self.block[2]

    def copied(self) -> tuple[Argument, ...]:
        """Return arguments with a written array of their own, so that a run disturbs no other."""
        return tuple(
            each.copy() if index == self.output and isinstance(each, np.ndarray) else each
            for index, each in enumerate(self.arguments)
        )


def _cover(count: int, size: int) -> int:
    return -(-count // size)


def convolution(
    channels: int, height: int, width: int, filters: int, size: int, stride: int, seed: int = 0
) -> Problem:
    """Return a direct convolution with a square filter and zeros around."""
    out_height, out_width = _out(height, size, stride), _out(width, size, stride)
    count, random = filters * out_height * out_width, np.random.default_rng(seed)
    return Problem(
        "convolution",
        (_cover(count, 128), 1, 1),
        (128, 1, 1),
        (
            _values(random, channels, height, width),
            _values(random, filters, channels, size, size),
            np.zeros((filters, out_height, out_width), np.float32),
            *(channels, height, width, filters, size, stride, size // 2, out_height, out_width),
        ),
        output=2,
    )


def im2col(
    channels: int, height: int, width: int, size: int, stride: int, seed: int = 0
) -> Problem:
    """Return the columns of a convolution with zeros around; the grid covers half of them."""
    out_height, out_width = _out(height, size, stride), _out(width, size, stride)
    rows, count = channels * size * size, channels * size * size * out_height * out_width
    return Problem(
        "im2col",
        (_cover(count, 512), 1, 1),
        (256, 1, 1),
        (
            _values(np.random.default_rng(seed), channels, height, width),
            np.zeros((rows, out_height * out_width), np.float32),
            *(channels, height, width, size, stride, size // 2, out_height, out_width),
        ),
        output=1,
    )


def gemm(m: int, n: int, k: int, seed: int = 0) -> Problem:
    """Return a product of matrices [m, k] and [k, n]."""
    random = np.random.default_rng(seed)
    return Problem(
        "gemm",
        (_cover(n, 16), _cover(m, 32), 1),
        (16, 16, 1),
        (_values(random, m, k), _values(random, k, n), np.zeros((m, n), np.float32), m, n, k),
        output=2,
    )


def depthwise(channels: int, height: int, width: int, seed: int = 0) -> Problem:
    """Return a depthwise 3x3 convolution of stride 1."""
    random = np.random.default_rng(seed)
    return Problem(
        "depthwise",
        (_cover(width, 8), _cover(height, 8), channels),
        (8, 8, 1),
        (
            _values(random, channels, height, width),
            _values(random, channels, 3, 3),
            np.zeros((channels, height, width), np.float32),
            height,
            width,
        ),
        output=2,
    )


def pool(
    kind: str, channels: int, height: int, width: int, size: int, stride: int, seed: int = 0
) -> Problem:
    """Return a pooling of square windows; `kind` is `max_pool` or `average_pool`."""
    out_height, out_width = _cover(height, stride), _cover(width, stride)
    return Problem(
        kind,
        (_cover(out_width, 32), _cover(out_height, 4), channels),
        (32, 4, 1),
        (
            _values(np.random.default_rng(seed), channels, height, width),
            np.zeros((channels, out_height, out_width), np.float32),
            *(height, width, size, stride, out_height, out_width),
        ),
        output=1,
    )


def bias_relu(channels: int, plane: int, seed: int = 0) -> Problem:
    """Return bias and ReLU by channel, in place: a block that ran twice would show."""
    random = np.random.default_rng(seed)
    count = channels * plane
    return Problem(
        "bias_relu",
        (_cover(count, 256), 1, 1),
        (256, 1, 1),
        (_values(random, channels, plane), _values(random, channels), plane, count),
        output=0,
    )


def add(count: int, seed: int = 0) -> Problem:
    """Return the sum of two vectors."""
    random = np.random.default_rng(seed)
    return Problem(
        "add",
        (_cover(count, 256), 1, 1),
        (256, 1, 1),
        (_values(random, count), _values(random, count), np.zeros(count, np.float32), count),
        output=2,
    )


def softmax(rows: int, columns: int, seed: int = 0) -> Problem:
    """Return the softmax of each row."""
    return Problem(
        "softmax",
        (rows, 1, 1),
        (128, 1, 1),
        (
            _values(np.random.default_rng(seed), rows, columns),
            np.zeros((rows, columns), np.float32),
            columns,
        ),
        output=1,
    )


def odd_problems() -> tuple[Problem, ...]:
    """Return a small problem of every kernel, of sizes that fill no block evenly."""
    return (
        convolution(3, 13, 11, filters=5, size=3, stride=2),
        im2col(3, 13, 11, size=3, stride=1),
        gemm(37, 29, 41),
        depthwise(3, 13, 11),
        pool("max_pool", 3, 13, 37, size=3, stride=2),
        pool("average_pool", 3, 13, 37, size=3, stride=2),
        bias_relu(7, 131),
        add(1003),
        softmax(5, 197),
    )


def _out(length: int, size: int, stride: int) -> int:
    return (length + 2 * (size // 2) - size) // stride + 1


def _values(random: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return random.standard_normal(shape).astype(np.float32)
