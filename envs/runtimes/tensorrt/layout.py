"""Memory layout of an engine's inputs and outputs, as TensorRT tells it.

One description serves every format: a stride for each dimension, and for vectorised formats the
dimension whose neighbours are adjacent in memory, and how many of them. Nothing is derived from
the name of a format. The arithmetic is that of NVIDIA/TensorRT, samples/common/sampleUtils.cpp
(`volume`, `dataOffsetFromDims`). An INT8 input or output means value = scale * number, with the
scale of the build.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


class LayoutError(ValueError):
    """A layout contradicts itself, so that no buffer can be filled by it."""


@dataclass(frozen=True)
class Layout:
    """One input or output of an engine.

    Attributes:
        name: of the tensor.
        shape: [batch, ...].
        dtype: NumPy's name of the type in memory.
        strides: distance of neighbours along each dimension, in elements; an element is
            `components` scalars.
        vector_dim: the dimension that is packed into elements; -1 if there is none.
        components: scalars of an element; 1 if no dimension is packed.
        form: TensorRT's name of the format.
        scale: value of one step, if real numbers are kept as INT8.
        description: TensorRT's own of the format, for messages.

    Raises:
        LayoutError: the strides do not fit the shape, or two elements share memory.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...]
    vector_dim: int = -1
    components: int = 1
    form: str = "LINEAR"
    scale: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        packed = self.vector_dim != -1
        if len(self.strides) != len(self.shape):
            self._refuse(f"there are {len(self.strides)} strides")
        if not (-1 <= self.vector_dim < len(self.shape) and packed == (self.components > 1)):
            self._refuse(f"dimension {self.vector_dim} is packed by {self.components}")
        extent = 1  # of everything that has smaller strides
        for stride, length in sorted(zip(self.strides, self._lengths, strict=True)):
            if length > 1 and stride < extent:
                self._refuse(f"strides {list(self.strides)} let two elements share memory")
            extent += (length - 1) * max(0, stride)

    @property
    def contiguous(self) -> bool:
        """Return True if the memory is a C array of `shape`."""
        expected = linear_strides(self.shape)
        return self.components == 1 and all(
            told == wanted or length == 1
            for told, wanted, length in zip(self.strides, expected, self.shape, strict=True)
        )

    @property
    def plain(self) -> bool:
        """Return True if an array can be copied unchanged."""
        return self.contiguous and self.scale is None

    @property
    def scalars(self) -> int:
        """Return the numbers that the memory holds, padding included."""
        if 0 in self.shape:
            return 0
        spans = [n * stride for n, stride in zip(self._lengths, self.strides, strict=True)]
        # The largest span is what TensorRT's samples allocate; the last element must fit as well.
        last = sum((n - 1) * stride for n, stride in zip(self._lengths, self.strides, strict=True))
        return max([last + 1, *spans]) * self.components

    @property
    def size(self) -> int:
        """Return the bytes of the memory."""
        return self.scalars * np.dtype(self.dtype).itemsize

    def part(self, count: int) -> int:
        """Return how many of `scalars` hold the first `count` samples."""
        return math.prod((count, *self.shape[1:])) if self.contiguous else self.scalars

    def write(self, memory: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Put values [n, ...] into the first n samples of `memory` [scalars]; leave padding alone.

        INT8 values for INT8 memory are taken as they are. What is too large for FP16 becomes
        infinite, as in the engine.
        """
        if self.scale is not None and values.dtype != np.int8:
            steps = values / np.float32(self.scale)
            np.rint(steps, out=steps)
            values = np.clip(steps, -127, 127, out=steps)
        view = self._view(memory)
        with np.errstate(over="ignore"):
            if self.vector_dim == -1:
                view[: len(values)] = values
                return
            for block, part in self._blocks(values):
                view[block][..., : part.shape[-1]] = part

    def read(
        self, memory: npt.NDArray[Any], count: int | None, dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """Return a copy of the first `count` samples of `memory` [scalars]; of all if None."""
        view = self._view(memory)
        if self.vector_dim == -1:
            found = view if count is None else view[:count]
        else:
            rows = self.shape[0] if count is None else count
            found = np.empty((rows, *self.shape[1:]), self.dtype)
            for block, part in self._blocks(found):
                part[...] = view[block][..., : part.shape[-1]]
        if self.scale is not None:
            return (found.astype(np.float32) * np.float32(self.scale)).astype(dtype)
        return np.array(found, dtype=dtype, order="C")

    @property
    def _lengths(self) -> list[int]:
        """Elements along each dimension."""
        return [
            -(-length // self.components) if axis == self.vector_dim else length
            for axis, length in enumerate(self.shape)
        ]

    def _view(self, memory: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `memory` by elements: [...], and a last axis of components if there are any."""
        if memory.size < self.scalars:
            raise ValueError(f"{self.name} needs {self.scalars} numbers, not {memory.size}")
        width = memory.itemsize * self.components
        shape, strides = list(self._lengths), [stride * width for stride in self.strides]
        if self.vector_dim != -1:
            shape, strides = [*shape, self.components], [*strides, memory.itemsize]
        return np.lib.stride_tricks.as_strided(memory, shape, strides)

    def _blocks(
        self, values: npt.NDArray[Any]
    ) -> Iterator[tuple[tuple[slice | int, ...], npt.NDArray[Any]]]:
        """Yield where each block of `components` lies in the view, and its part of `values`.

        The part is a view whose last axis is the packed dimension.
        """
        axis = self.vector_dim
        for first in range(0, values.shape[axis], self.components):
            part = np.moveaxis(values, axis, -1)[..., first : first + self.components]
            before = (slice(len(values)), *[slice(None)] * (axis - 1)) if axis else ()
            yield (*before, first // self.components), part

    def _refuse(self, why: str) -> None:
        form = f"{self.form} ({self.description})" if self.description else self.form
        raise LayoutError(
            f"TensorRT tells that {self.name} {list(self.shape)} lies in memory as {form}, "
            f"but {why}"
        )


def linear_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a C array."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
