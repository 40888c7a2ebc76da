"""The layers of a network as arrays, for models of what each layer costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import BoolArray, FloatArray
from envs.errors import NetworkError

#: Kinds of layers; `LayerTable.kind` holds positions in this tuple.
LAYER_KINDS = (
    *("conv", "grouped", "depthwise", "matmul", "recurrent"),
    *("pool", "elementwise", "lrn"),
)

_COLUMNS = ("kind", "macs", "weights", "reads", "writes", "reduction", "channels", "dla")


@dataclass(frozen=True, eq=False)
class LayerTable:
    """The kernels of a network after fusion, for one sample; L layers in the order they run.

    A convolution or product includes its bias, batch normalization and activation, and the residual
    that it adds.

    Attributes:
        name: name of the network in reports.
        kind: [L] positions in LAYER_KINDS.
        macs: [L] multiply-accumulates.
        weights: [L] elements read once per batch.
        reads: [L] elements of activations read, a fused residual included.
        writes: [L] elements of activations written.
        reduction: [L] length of each dot product; 0 without macs.
        channels: [L] output channels (of one group if `grouped`), or columns of a product; 0
            without macs.
        dla: [L] True if a DLA of an Orin runs the layer.
        inputs: elements of one sample, which are copied in.
        outputs: elements of the network's outputs for one sample.

    Raises:
        NetworkError: lengths differ, or a number is missing, negative or infinite; the message
            names the field.
    """

    name: str
    kind: npt.NDArray[np.int8]
    macs: FloatArray
    weights: FloatArray
    reads: FloatArray
    writes: FloatArray
    reduction: FloatArray
    channels: FloatArray
    dla: BoolArray
    inputs: float
    outputs: float

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise _invalid("name", "is not a text")
        for field in _COLUMNS:
            array = np.array(getattr(self, field))
            accepted = {"dla": "b", "kind": "iu"}.get(field, "iuf")
            if array.ndim != 1 or not array.size or array.dtype.kind not in accepted:
                raise _not_a_list(field)
            if array.size != np.size(self.kind):
                raise _invalid(field, f"has {array.size} layers, kind has {np.size(self.kind)}")
            if not (np.isfinite(array) & (array >= 0)).all():
                raise _invalid(field, "holds a number that is missing, infinite or negative")
            if field == "kind" and (array >= len(LAYER_KINDS)).any():
                raise _invalid(field, f"holds a code above {len(LAYER_KINDS) - 1}")
            array = array.astype({"dla": np.bool_, "kind": np.int8}.get(field, np.float64))
            array.setflags(write=False)
            object.__setattr__(self, field, array)
        for field in ("inputs", "outputs"):
            value = getattr(self, field)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value) and value >= 0):
                raise _invalid(field, "is not a number from 0 on")
            object.__setattr__(self, field, float(value))

    def __len__(self) -> int:
        return int(self.kind.size)

    @property
    def total_macs(self) -> float:
        """Return the multiply-accumulates of all layers."""
        return float(self.macs.sum())

    @property
    def dla_segments(self) -> int:
        """Return the number of times that the network leaves the DLA: runs of layers on the GPU."""
        return int((~self.dla & np.concatenate([[True], self.dla[:-1]])).sum())


def part_of(table: LayerTable, start: int, stop: int) -> LayerTable:
    """Return the layers from `start` to before `stop`; inputs and outputs stay the network's."""
    columns: dict[str, Any] = {name: getattr(table, name)[start:stop] for name in _COLUMNS}
    return replace(table, **columns)


def joined(parts: Sequence[LayerTable]) -> LayerTable:
    """Return the layers of parts of a network that follow each other."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in parts]) for name in _COLUMNS
    }
    return replace(parts[0], outputs=sum(leaving(parts)), **columns)


def leaving(parts: Sequence[LayerTable]) -> list[float]:
    """Return the elements of the network's outputs that each of these parts makes.

    Its other results cross the beginning of the part behind it.
    """
    kept = [each.outputs - behind.inputs for each, behind in pairwise(parts)]
    return [*(max(elements, 0.0) for elements in kept), parts[-1].outputs]


def _not_a_list(field: str) -> NetworkError:
    content = "true and false" if field == "dla" else "numbers, one per layer"
    return _invalid(field, f"is not a list of {content}")


def _invalid(field: str, reason: str) -> NetworkError:
    return NetworkError(
        f"this is not a table of layers ({field} {reason}): read the ONNX file again"
    )
