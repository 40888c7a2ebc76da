"""Build graphs whose weights have a shape and no values, to count layers without the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from envs.catalog.graph_builder import GraphBuilder
from envs.graph.flow import flow_of
from envs.graph.partition import Partition, partition_graph
from envs.graph.shapes import ShapedGraph, shape_graph

#: ONNX 1.15, the first version with GELU as one operator. These graphs are counted and never run.
OPSET, IR_VERSION = 20, 9


class ShapeBuilder(GraphBuilder):
    """A GraphBuilder for any operator, any number of inputs and outputs, and maps of any rank.

    Args:
        inputs: shape of one sample, without the batch, by name of the input.
    """

    def __init__(self, inputs: dict[str, tuple[int, ...]]) -> None:
        super().__init__(seed=0)
        self._inputs = inputs
        self._channels = {name: shape[0] for name, shape in inputs.items()}

    def partition(self, name: str, outputs: list[str]) -> Partition:
        """Return the layer groups of the graph up to these tensors."""
        model = self._model(name, outputs)
        flow = flow_of(type(model).FromString(model.SerializeToString()))
        return partition_graph(flow, shape_graph(model, Path(name)), name)

    def graph(self, name: str, outputs: list[str]) -> ShapedGraph:
        """Return the graph up to these tensors, with its shapes."""
        return shape_graph(self._model(name, outputs), Path(name))

    def _model(self, name: str, outputs: list[str]) -> Any:
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        kinds = {
            key: self._onnx.TensorProto.INT64 if key.endswith("ids") else kind
            for key in self._inputs
        }
        sources = [
            helper.make_tensor_value_info(key, kinds[key], ["batch", *shape])
            for key, shape in self._inputs.items()
        ]
        results = [helper.make_tensor_value_info(output, kind, None) for output in outputs]
        graph = helper.make_graph(self._nodes, name, sources, results, initializer=self._weights)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )

    def op(
        self,
        kind: str,
        inputs: list[str],
        *weights: tuple[int, ...],
        channels: int | None = None,
        **attributes: Any,
    ) -> str:
        """Add any operator on tensors and on weights of these shapes.

        Args:
            kind: the operator.
            inputs: names of its tensors.
            *weights: shapes of its weights.
            channels: of the result; those of the first input if None.
            **attributes: its attributes.
        """
        return self._node(
            kind,
            [*inputs, *map(self.blank, weights)],
            self._channels[inputs[0]] if channels is None else channels,
            **attributes,
        )

    def listed(
        self, kind: str, x: str, *lists: list[int], channels: int | None = None, **attributes: Any
    ) -> str:
        """Add an operator that reads lists of integers as inputs, such as Reshape or Slice."""
        return self._node(
            kind,
            [x, *(self._weight(np.asarray(numbers, np.int64)) for numbers in lists)],
            channels or self._channels[x],
            **attributes,
        )

    def conv_bn(
        self,
        x: str,
        out: int,
        kernel: int | tuple[int, ...],
        stride: int = 1,
        pad: int | None = None,
        groups: int = 1,
        act: str = "Relu",
    ) -> str:
        """Add convolution, batch normalization and activation; `pad=None` keeps the size."""
        return self.activate(
            self.batch_norm(self.convolve(x, out, kernel, stride, pad, groups)), act
        )

    def convolve(
        self,
        x: str,
        out: int,
        kernel: int | tuple[int, ...],
        stride: int = 1,
        pad: int | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> str:
        """Add a convolution with a kernel of any shape; `pad=None` keeps the size."""
        sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = [size // 2 if pad is None else pad for size in sizes]
        weights = [(out, self._channels[x] // groups, *sizes), *([(out,)] if bias else [])]
        return self.op(
            "Conv",
            [x],
            *weights,
            channels=out,
            kernel_shape=list(sizes),
            strides=[stride] * len(sizes),
            pads=pads * 2,
            group=groups,
        )

    def activate(self, x: str, kind: str) -> str:
        """Add an operator without weights, `Silu` (x times its sigmoid), or nothing for ""."""
        if kind == "Silu":
            return self.op("Mul", [x, self.op("Sigmoid", [x])])
        return self.op(kind, [x]) if kind else x

    def matmul(self, x: str, out: int, bias: bool = True) -> str:
        """Add the product of the last dimension, which are the channels, with a matrix."""
        y = self.op("MatMul", [x], (self._channels[x], out), channels=out)
        return self.op("Add", [y], (out,)) if bias else y

    def layer_norm(self, x: str) -> str:
        """Add layer normalization with scale and bias."""
        return self.op("LayerNormalization", [x], (self._channels[x],), (self._channels[x],))

    def upsample(self, x: str, size: tuple[int, int]) -> str:
        """Add a nearest-neighbour resize of the last two axes to this size."""
        return self._node(
            "Resize",
            [x, "", "", self._weight(np.asarray(size, np.int64))],
            self._channels[x],
            mode="nearest",
            axes=[2, 3],
        )

    def squeeze_excite(self, x: str, squeezed: int, act: str, gate: str) -> str:
        """Add a scale per channel, from the channels' means (Hu et al. 2018, arXiv:1709.01507)."""
        y = self.activate(self.conv(self.global_average(x), squeezed, 1, bias=True), act)
        return self.op("Mul", [x, self.op(gate, [self.conv(y, self._channels[x], 1, bias=True)])])

    def blank(self, shape: tuple[int, ...]) -> str:
        """Add a weight of this shape."""
        name = f"weight_{len(self._weights)}"
        self._weights.append(
            self._onnx.TensorProto(name=name, dims=shape, data_type=self._onnx.TensorProto.FLOAT)
        )
        return name

    def number(self, value: float) -> str:
        """Add a constant."""
        return self._weight(np.asarray(value, np.float32))

    def _he(self, shape: tuple[int, ...], rectified: bool) -> str:
        return self.blank(shape)

    def _normal(self, shape: tuple[int, ...], mean: float, deviation: float) -> str:
        return self.blank(shape)
