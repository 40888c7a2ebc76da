"""Moves the flattening of a graph to its end, and turns fully connected layers into convolutions.

`Flatten` then `Gemm` is a convolution over the whole map, then `Flatten`; `Flatten` then `Relu` is
`Relu` then `Flatten`. Repeating this moves the flattening to the outputs, where it is dropped: an
output [batch, features, 1, 1] has the same numbers in the same order.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.graph.editing import rename
from envs.optional import optional_import

Shape = tuple[int, ...]

#: Operators of one tensor that compute each element by itself, whatever its shape.
ELEMENTWISE = frozenset(
    {
        "Relu",
        "Clip",
        "Sigmoid",
        "Tanh",
        "LeakyRelu",
        "Elu",
        "HardSwish",
        "HardSigmoid",
        "Identity",
        "Dropout",
    }
)


class Tail:
    """Rewrites a GraphProto in place.

    Args:
        graph: the graph.
        shapes: of all its tensors, by name; updated with the graph.
        largest: the largest kernel that a convolution may have.
    """

    def __init__(self, graph: Any, shapes: dict[str, Shape], largest: int) -> None:
        self._graph, self._shapes, self._largest = graph, shapes, largest
        self._helper = optional_import("onnx.helper", "networks")
        self._numpy = optional_import("onnx.numpy_helper", "networks")
        self._changes: list[str] = []

    def rewrite(self) -> list[str]:
        """Rewrite the graph; return one sentence per change."""
        while self._step():
            pass
        self._drop_last()
        self._drop_unused()
        return self._changes

    def _step(self) -> bool:
        """Do one rewriting; return True if there was one to do."""
        made = {name: node for node in self._graph.node for name in node.output}
        for position, node in enumerate(self._graph.node):
            flat = made.get(node.input[0]) if node.input else None
            if flat is None or not self._flattens(flat):
                continue
            if node.op_type in ("Gemm", "MatMul"):
                if self._to_convolution(position, node, flat.input[0]):
                    return True
            elif self._passes(node):
                self._swap(position, node, flat.input[0])
                return True
        return False

    def _flattens(self, node: Any) -> bool:
        """Return True if it makes [batch, n] of [batch, channels, height, width]."""
        source = self._shapes.get(node.input[0]) if node.input else None
        result = self._shapes.get(node.output[0])
        flattens = node.op_type in ("Flatten", "Reshape", "Squeeze")
        if not flattens or source is None or result is None:
            return False
        return len(source) == 4 and result == (source[0], math.prod(source[1:]))

    def _passes(self, node: Any) -> bool:
        """Return True if the flattening may as well come after this node."""
        if node.op_type == "Dropout" and len(node.output) > 1 and node.output[1]:
            return False
        if node.op_type == "Add":
            bias = self._constant(node.input[1])
            return bias is not None and bias.shape == self._shapes[node.output[0]][1:]
        return node.op_type in ELEMENTWISE

    def _swap(self, position: int, node: Any, source: str) -> None:
        """Put `node` first, on the map, and the flattening after it."""
        shape, result = self._shapes[source], node.output[0]
        inside = self._name(result, shape)
        moved = type(node)()
        moved.CopyFrom(node)
        moved.input[0], moved.output[0] = source, inside
        if node.op_type == "Add":
            bias = self._constant(node.input[1])
            assert bias is not None
            moved.input[1] = self._weight(f"{node.input[1]}/map", bias.reshape(shape[1:]))
        self._replace(position, moved, inside, result)

    def _to_convolution(self, position: int, node: Any, source: str) -> bool:
        """Make a product with constant weights a convolution with a kernel as large as the map.

        The weights are [features, channels * height * width].
        """
        weights, bias = self._matrix(node)
        batch, channels, height, width = self._shapes[source]
        if weights is None or max(height, width) > self._largest:
            return False
        features, result = len(weights), node.output[0]
        kernel = self._weight(
            f"{result}/kernel", weights.reshape(features, channels, height, width)
        )
        inputs = [source, kernel] + ([] if bias is None else [self._weight(f"{result}/bias", bias)])
        inside = self._name(result, (batch, features, 1, 1))
        convolution = self._helper.make_node(
            "Conv",
            inputs,
            [inside],
            name=node.name or result,
            kernel_shape=[height, width],
            strides=[1, 1],
            pads=[0] * 4,
        )
        self._changes.append(f"{node.op_type} {node.name or result} became Conv {height} x {width}")
        self._replace(position, convolution, inside, result)
        return True

    def _matrix(self, node: Any) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
        """Return weights [features, inputs] and bias [features] of a product.

        (None, None) if they are not constant, or have another form.
        """
        weights = self._constant(node.input[1])
        if weights is None or weights.ndim != 2:
            return None, None
        if node.op_type == "MatMul":
            return np.ascontiguousarray(weights.T), None
        options = {
            attribute.name: self._helper.get_attribute_value(attribute)
            for attribute in node.attribute
        }
        if options.get("transA", 0):
            return None, None
        weights = weights if options.get("transB", 0) else weights.T
        bias = self._constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if (
            len(node.input) > 2
            and node.input[2]
            and (bias is None or bias.size not in (1, len(weights)))
        ):
            return None, None
        scaled = np.ascontiguousarray(weights * weights.dtype.type(options.get("alpha", 1.0)))
        if bias is not None:
            bias = np.broadcast_to(
                bias.reshape(-1) * bias.dtype.type(options.get("beta", 1.0)), (len(weights),)
            )
        return scaled, bias

    def _replace(self, position: int, node: Any, inside: str, result: str) -> None:
        """Replace the node there by `node`, whose output `inside` is flattened to `result`."""
        self._graph.node[position].CopyFrom(node)
        self._graph.node.insert(
            position + 1,
            self._helper.make_node("Flatten", [inside], [result], name=f"{inside}/flat", axis=1),
        )

    def _drop_last(self) -> None:
        """Leave outputs as maps: they have the same numbers in the same order."""
        outputs = {output.name for output in self._graph.output}
        for node in list(self._graph.node):
            if (
                node.output
                and node.output[0] in outputs
                and self._flattens(node)
                and not self._read(node.output[0])
            ):
                source, name = node.input[0], node.output[0]
                if source in outputs or all(
                    source not in other.output for other in self._graph.node
                ):
                    continue
                self._graph.node.remove(node)
                rename(self._graph, source, name)
                self._changes.append(
                    f"{node.op_type} {node.name or name} was dropped: "
                    f"the output {name} is {list(self._shapes[source])}"
                )

    def _drop_unused(self) -> None:
        used = {output.name for output in self._graph.output}
        for node in reversed(list(self._graph.node)):
            if used.isdisjoint(node.output):
                self._graph.node.remove(node)
            else:
                used.update(node.input)
        unused = {weight.name for weight in self._graph.initializer} - used
        # Until IR version 3 weights were inputs as well.
        for values in (self._graph.initializer, self._graph.input):
            for value in [each for each in values if each.name in unused]:
                values.remove(value)

    def _read(self, name: str) -> bool:
        return any(name in node.input for node in self._graph.node)

    def _constant(self, name: str) -> npt.NDArray[Any] | None:
        """Return the values of a weight or of a Constant node, or None."""
        for weight in self._graph.initializer:
            if weight.name == name:
                return np.asarray(self._numpy.to_array(weight))
        for node in self._graph.node:
            if node.op_type == "Constant" and node.output[0] == name:
                value = next(
                    (attribute for attribute in node.attribute if attribute.name == "value"), None
                )
                return None if value is None else np.asarray(self._numpy.to_array(value.t))
        return None

    def _weight(self, name: str, values: npt.NDArray[Any]) -> str:
        if all(weight.name != name for weight in self._graph.initializer):
            self._graph.initializer.append(
                self._numpy.from_array(np.ascontiguousarray(values), name)
            )
            self._shapes[name] = values.shape
        return name

    def _name(self, result: str, shape: Shape) -> str:
        self._shapes[f"{result}/map"] = shape
        return f"{result}/map"
