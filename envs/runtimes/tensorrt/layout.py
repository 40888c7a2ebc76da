"""Memory layout of an engine's inputs and outputs: an array, or a format of the DLA.

Source of the formats: TensorRT documentation, TensorFormat. An INT8 input or output means
value = scale * number, with the scale of the build.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LINEAR, DLA_LINEAR = "LINEAR", "DLA_LINEAR"
#: How many channels are adjacent in memory, by format.
VECTORS = {"CHW16": 16, "CHW32": 32}
#: Rows of DLA_LINEAR begin at multiples of this.
PITCH_BYTES = 64


@dataclass(frozen=True)
class Layout:
    """One input or output of an engine.

    Attributes:
        name: of the tensor.
        shape: [batch, ...].
        dtype: NumPy's name of the type in memory.
        form: `LINEAR`, `DLA_LINEAR`, `CHW16` or `CHW32`.
        scale: value of one step, if real numbers are kept as INT8.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    form: str = LINEAR
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.form not in (LINEAR, DLA_LINEAR, *VECTORS):
            raise ValueError(
                f"{self.name} lies in memory as {self.form}, which cannot be filled from here"
            )
        if self.form != LINEAR and len(self.shape) < 3:
            raise ValueError(
                f"{self.name} has {len(self.shape)} dimensions, too few for {self.form}"
            )

    @property
    def plain(self) -> bool:
        """True if an array can be copied unchanged."""
        return self.form == LINEAR and self.scale is None

    @property
    def buffer_shape(self) -> tuple[int, ...]:
        """Shape of the memory, batch first, in elements of `dtype`."""
        if self.form == DLA_LINEAR:
            *front, width = self.shape
            unit = PITCH_BYTES // np.dtype(self.dtype).itemsize
            return (*front, -(-width // unit) * unit)
        if self.form in VECTORS:
            batch, channels, *rest = self.shape
            vector = VECTORS[self.form]
            return (batch, -(-channels // vector), *rest, vector)
        return self.shape

    @property
    def size(self) -> int:
        """Bytes of the memory."""
        return math.prod(self.buffer_shape) * np.dtype(self.dtype).itemsize

    def write(self, buffer: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Put values [n, ...] into the first n of `buffer` [batch, ...]; leave padding alone.

        What is too large for FP16 becomes infinite, as in the engine.
        """
        with np.errstate(over="ignore"):
            self._write(buffer, values)

    def _write(self, buffer: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        target = buffer[: len(values)]
        if self.scale is not None:
            values = np.clip(np.rint(values / self.scale), -127, 127)
        if self.form == DLA_LINEAR:
            target[..., : self.shape[-1]] = values
        elif self.form in VECTORS:
            vector, channels = VECTORS[self.form], self.shape[1]
            for first in range(0, channels, vector):
                part = values[:, first : first + vector]
                target[:, first // vector, ..., : part.shape[1]] = np.moveaxis(part, 1, -1)
        else:
            target[...] = values

    def read(
        self, buffer: npt.NDArray[Any], count: int | None, dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """Return a copy of the first `count` of `buffer` [batch, ...]; of all if it is None."""
        source = buffer if count is None else buffer[:count]
        if self.form == DLA_LINEAR:
            source = source[..., : self.shape[-1]]
        elif self.form in VECTORS:
            whole = np.moveaxis(source, -1, 2)  # [n, blocks, vector, ...]
            source = whole.reshape(len(whole), -1, *whole.shape[3:])[:, : self.shape[1]]
        if self.scale is not None:
            return (source.astype(np.float32) * np.float32(self.scale)).astype(dtype)
        return np.array(source, dtype=dtype)
