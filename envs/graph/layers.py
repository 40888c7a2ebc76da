"""Layers: a network as the kernels an inference engine runs, for models of what each of them costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.errors import NetworkError
from envs.graph import dla_rules
from envs.graph.cost import MULTIPLYING
from envs.graph.fusion import RECURRENT, Operation, fuse, operations
from envs.graph.reading import ShapedGraph, described, naming, read_graph
from envs.spec.network import Network

#: The position of a word here is the code in `LayerTable.kind`.
KINDS = ("conv", "grouped", "depthwise", "matmul", "recurrent", "pool", "elementwise")

_POOLS = frozenset(
    {
        "MaxPool",
        "AveragePool",
        "LpPool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "ReduceMean",
        "ReduceMax",
        "ReduceSum",
    }
)

#: Elementwise operators whose constants are parameters; those of others say what to do, and a Gather reads only the rows it picks.
_PARAMETRIC = frozenset(
    {
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Min",
        "Max",
        "Sum",
        "PRelu",
        "LayerNormalization",
        "InstanceNormalization",
        "GroupNormalization",
    }
)


@dataclass(frozen=True, eq=False)
class LayerTable:
    """The kernels of a network after the fusion that every inference engine does, for one sample; L layers in the order they run.

    A convolution or product includes its bias, batch normalisation, activation and the residual it adds.

    Attributes:
        name: what reports call the network.
        kind: [L] codes, positions in KINDS.
        macs: [L] multiply-accumulates.
        weights: [L] elements read once a batch.
        reads: [L] elements of activations read: all inputs that are no weights, a fused residual among them.
        writes: [L] elements of activations written.
        reduction: [L] length of each dot product; 0 without macs.
        channels: [L] output channels, of one group where `grouped`, or columns of a product; 0 without macs.
        dla: [L] whether a DLA of an Orin takes it.
        inputs: elements of one sample, which are copied in.
        outputs: elements that the network gives for it.

    Raises:
        NetworkError: lengths differ, or a number is missing, negative or infinite; the message names the field.
    """

    name: str
    kind: npt.NDArray[np.int8]
    macs: FloatArray
    weights: FloatArray
    reads: FloatArray
    writes: FloatArray
    reduction: FloatArray
    channels: FloatArray
    dla: npt.NDArray[np.bool_]
    inputs: float
    outputs: float

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise _bad("name", "is no text")
        for field in _COLUMNS:
            array = np.array(getattr(self, field))
            wanted = {"dla": "b", "kind": "iu"}.get(field, "iuf")
            if array.ndim != 1 or not array.size or array.dtype.kind not in wanted:
                raise _bad(
                    field,
                    "is no list of "
                    + ("true and false" if field == "dla" else "numbers, one a layer"),
                )
            if array.size != np.size(self.kind):
                raise _bad(field, f"has {array.size} layers, kind has {np.size(self.kind)}")
            if not (np.isfinite(array) & (array >= 0)).all():
                raise _bad(field, "holds a number that is missing, infinite or negative")
            if field == "kind" and (array >= len(KINDS)).any():
                raise _bad(field, f"holds a code above {len(KINDS) - 1}")
            array = array.astype({"dla": np.bool_, "kind": np.int8}.get(field, np.float64))
            array.setflags(write=False)
            object.__setattr__(self, field, array)
        for field in ("inputs", "outputs"):
            value = getattr(self, field)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not (math.isfinite(value) and value >= 0)
            ):
                raise _bad(field, "is no number from 0")
            object.__setattr__(self, field, float(value))

    def __len__(self) -> int:
        return int(self.kind.size)

    @property
    def total_macs(self) -> float:
        return float(self.macs.sum())

    @property
    def dla_share(self) -> float:
        """Share of the multiply-accumulates that a DLA takes; of the layers where there are none to multiply."""
        return (
            float(self.macs[self.dla].sum() / self.total_macs)
            if self.total_macs
            else self.dla_layer_share
        )

    @property
    def dla_layer_share(self) -> float:
        """Share of the layers that a DLA takes."""
        return float(self.dla.mean())

    @property
    def dla_segments(self) -> int:
        """Runs of layers that fall from a DLA to the GPU: how often the network leaves the DLA."""
        return int((~self.dla & np.concatenate([[True], self.dla[:-1]])).sum())

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: a list per array, whole numbers as such."""
        data: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            value = value.tolist() if isinstance(value, np.ndarray) else value
            data[field.name] = (
                [_whole(number) for number in value] if isinstance(value, list) else _whole(value)
            )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LayerTable:
        """What `to_dict` gave, also after a way through JSON; NetworkError names the field that is missing, unknown or wrong."""
        names = [field.name for field in fields(cls)]
        if not isinstance(data, dict):
            raise NetworkError("this is no table of layers: read the ONNX file again")
        for field in (*names, *data):
            if field not in data or field not in names:
                raise _bad(str(field), "is missing" if field in names else "is unknown")
        checked: dict[str, Any] = {
            field: _array(field, data[field]) if field in _COLUMNS else data[field]
            for field in names
        }
        return cls(**checked)


_COLUMNS = ("kind", "macs", "weights", "reads", "writes", "reduction", "channels", "dla")


def read_layers(path: str | Path, name: str | None = None) -> LayerTable:
    """The layers of the ONNX file in `path`; its name is that of the file where none is given.

    Raises:
        NetworkError: the file is missing, damaged, unsafe, made for training, cannot be served in batches, or computes nothing.
        DependencyError: onnx is not installed.
    """
    path = Path(path)
    graph, _ = read_graph(path)
    with naming(path):
        return table_of(graph, path.stem if name is None else name)


def read_network_and_layers(path: str | Path) -> tuple[Network, LayerTable]:
    """What `read_network` and `read_layers` say, with one look at the file: to check a large one takes longer than all else at a start."""
    path = Path(path)
    graph, sha256 = read_graph(path)
    with naming(path):
        return described(graph, sha256, path), table_of(graph, path.stem)


def table_of(graph: ShapedGraph, name: str) -> LayerTable:
    """The layers of a graph; NetworkError, without the file's name, where it has none or their cost depends on the data."""
    steps = operations(graph)
    outputs = {output.name for output in graph.graph.output}
    used = outputs.union(*(step.reads for step in steps))
    rows = [_row(kernel, graph, used) for kernel in fuse(steps, outputs)]
    if not rows:
        raise NetworkError("it has no layer that computes")
    columns: dict[str, Any] = dict(
        zip(_Row._fields, map(np.asarray, zip(*rows, strict=True)), strict=True)
    )
    inputs, outputs_size = (
        sum(math.prod(graph.shapes[key]) for key in keys) / graph.samples
        for keys in (graph.inputs, sorted(outputs))
    )
    return LayerTable(name=name, inputs=inputs, outputs=outputs_size, **columns)


class _Row(NamedTuple):
    kind: int
    macs: float
    weights: float
    reads: float
    writes: float
    reduction: float
    channels: float
    dla: bool


def _row(kernel: list[Operation], graph: ShapedGraph, used: set[str]) -> _Row:
    head, *rest = kernel
    inside = {name for step in kernel for name in step.results}
    read = {name for step in kernel for name in step.reads} - inside
    kind = _kind(head)
    written = (
        math.prod(head.result)
        if rest
        else sum(math.prod(graph.shapes[name]) for name in head.results if name in used)
    )
    # A table of embeddings is no activation, but the rows that a sample picks are read for that sample alone.
    rows = math.prod(head.result) if head.kind == "Gather" and not head.moving[0] else 0
    return _Row(
        kind=KINDS.index(kind),
        macs=head.macs / graph.samples,
        weights=_weights(kernel),
        reads=(sum(math.prod(graph.shapes[name]) for name in read) + rows) / graph.samples,
        writes=written / graph.samples,
        reduction=_reduction(head),
        channels=_channels(head, kind),
        dla=all(dla_rules.takes(step) for step in kernel),
    )


def _kind(head: Operation) -> str:
    if head.kind in RECURRENT:
        return "recurrent"
    if head.kind in _POOLS:
        return "pool"
    if head.kind not in MULTIPLYING:
        return "elementwise"
    if head.kind in ("Gemm", "MatMul"):
        return "matmul"
    if head.attributes.get("group", 1) == 1:
        return "conv"
    return "depthwise" if _shape(head, 1)[1] == 1 else "grouped"


def _shape(step: Operation, position: int) -> tuple[int, ...]:
    return step.inputs[position] or ()


def _weights(kernel: list[Operation]) -> float:
    """Elements of the parameters; behind a convolution or product, normalisation and scale fold into its weights and one bias."""
    head, *rest = kernel
    if head.kind not in MULTIPLYING or all(
        head.moving[:2]
    ):  # a product of two activations has no weights to fold into
        return float(sum(map(_parameters, kernel)))
    matrix, *biases = [
        math.prod(_shape(head, position))
        for position, moving in enumerate(head.moving)
        if not moving
    ]
    biases += [
        _parameters(step) // (2 if step.kind == "BatchNormalization" else 1)
        for step in rest
        if step.kind != "PRelu"
    ]
    return float(
        matrix
        + max(biases, default=0)
        + sum(_parameters(step) for step in rest if step.kind == "PRelu")
    )


def _parameters(step: Operation) -> int:
    """Of an operation that is no convolution; single numbers are part of the code."""
    if step.kind == "BatchNormalization":
        return 2 * math.prod(_shape(step, 1))
    if step.kind not in _PARAMETRIC | RECURRENT:
        return 0
    sizes = [
        math.prod(_shape(step, position))
        for position, moving in enumerate(step.moving)
        if not moving
    ]
    return sum(size for size in sizes if size > 1)


def _reduction(head: Operation) -> float:
    if head.kind in RECURRENT:
        return float(_shape(head, 1)[-1] + _shape(head, 2)[-1])
    return head.macs / math.prod(head.result)


def _channels(head: Operation, kind: str) -> float:
    if not head.macs:
        return 0.0
    if kind == "recurrent":
        return float(_shape(head, 1)[-2])
    if kind == "matmul":
        return float(head.result[-1])
    return head.result[1] / (head.attributes.get("group", 1) if kind == "grouped" else 1)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _array(field: str, value: Any) -> npt.NDArray[Any]:
    """A list from JSON whose entries are all booleans for `dla`, all numbers otherwise; numpy would mix them."""
    wanted: tuple[type, ...] = (
        (bool,) if field == "dla" else (int,) if field == "kind" else (int, float)
    )
    if not isinstance(value, list) or not all(type(entry) in wanted for entry in value):
        raise _bad(
            field,
            "is no list of " + ("true and false" if field == "dla" else "numbers, one a layer"),
        )
    try:
        return (
            np.asarray(value)
            if field in ("kind", "dla")
            else np.asarray([float(entry) for entry in value])
        )
    except OverflowError:
        raise _bad(field, "holds a number that is too large") from None


def _bad(field: str, reason: str) -> NetworkError:
    return NetworkError(f"this is no table of layers ({field} {reason}): read the ONNX file again")
