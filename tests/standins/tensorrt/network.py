"""Parsed networks of the stand-in module: tensors and layers as the ONNX parser makes them."""

from __future__ import annotations

from typing import Any

from envs.optional import optional_import
from tests.standins.tensorrt.names import Named, World

LAYER_TYPES = {
    "Conv": "CONVOLUTION",
    "MaxPool": "POOLING",
    "AveragePool": "POOLING",
    "GlobalAveragePool": "POOLING",
    "Concat": "CONCATENATION",
    "Constant": "CONSTANT",
}
#: Operators whose weights belong to the layer itself; other weights are layers of their own.
WITH_WEIGHTS = frozenset({"Conv", "ConvTranspose", "Gemm", "BatchNormalization"})

#: TensorRT's names by the numbers of ONNX's element types (onnx.proto, TensorProto.DataType).
DTYPES = {1: "FLOAT", 10: "HALF", 7: "INT64", 3: "INT8"}


class _Tensor(Named, kind="ITensor"):
    def __init__(self, world: World, name: str, dtype: Any, shape: tuple[int, ...]) -> None:
        super().__init__(
            world, name=name, dtype=dtype, shape=shape, dynamic_range=None, allowed_formats=1
        )


class _Layer(Named, kind="ILayer"):
    def __init__(self, world: World, kind: Any, inputs: list[Any], outputs: list[Any]) -> None:
        super().__init__(world, type=kind, _inputs=inputs, _outputs=outputs)
        self._put(num_inputs=len(inputs), num_outputs=len(outputs), _held=None)

    @property
    def precision(self) -> Any:
        return self._held

    @precision.setter
    def precision(self, kind: Any) -> None:
        self._put(_held=kind)

    def get_input(self, position: int) -> Any:
        return self._inputs[position]

    def get_output(self, position: int) -> Any:
        return self._outputs[position]


class ConstantLayer(_Layer, kind="IConstantLayer"):
    """A layer that its `ILayer` becomes by assignment to `__class__`, as in the real bindings."""

    @property
    def weights(self) -> Any:
        return self._weights


class Network(Named, kind="INetworkDefinition"):
    def _read(self, model: Any) -> None:
        world, weights = self._world, {each.name for each in model.graph.initializer}
        inferred = optional_import("onnx", "networks").shape_inference.infer_shapes(model).graph
        kinds = {
            each.name: each for each in (*inferred.input, *inferred.value_info, *inferred.output)
        }
        made: dict[str, _Tensor] = {}

        def tensor(name: str) -> Any:
            if name not in kinds:
                return None
            if name not in made:
                kind = kinds[name].type.tensor_type
                shape = tuple(
                    size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim
                )
                made[name] = _Tensor(
                    world,
                    name,
                    getattr(world.enums["DataType"], DTYPES.get(kind.elem_type, "FLOAT")),
                    shape,
                )
            return made[name]

        inputs = [tensor(each.name) for each in model.graph.input if each.name not in weights]
        outputs = [tensor(each.name) for each in model.graph.output]
        layer = world.enums["LayerType"]
        layers: list[_Layer] = []
        for weight in model.graph.initializer:
            if weight.data_type in (1, 10) and any(
                weight.name in node.input and node.op_type not in WITH_WEIGHTS
                for node in model.graph.node
            ):
                dtype = getattr(world.enums["DataType"], DTYPES[weight.data_type])
                made[weight.name] = _Tensor(world, weight.name, dtype, tuple(weight.dims))
                layers.append(_constant(world, layer.CONSTANT, made[weight.name], weight))
        for node in model.graph.node:
            kind, outputs_of = LAYER_TYPES.get(node.op_type), [tensor(n) for n in node.output]
            if kind == "CONSTANT":
                value = next((each.t for each in node.attribute if each.HasField("t")), None)
                layers.append(_constant(world, layer.CONSTANT, outputs_of[0], value))
                continue
            inputs_of = [made.get(n) if n in weights else tensor(n) for n in node.input]
            layers.append(
                _Layer(world, getattr(layer, kind or "ACTIVATION"), inputs_of, outputs_of)
            )
        self._put(_model=model, _inputs=inputs, _outputs=outputs, _layers=layers)
        self._put(num_inputs=len(inputs), num_outputs=len(outputs), num_layers=len(layers))

    def get_input(self, position: int) -> Any:
        return self._inputs[position]

    def get_output(self, position: int) -> Any:
        return self._outputs[position]

    def get_layer(self, position: int) -> Any:
        return self._layers[position]


def _constant(world: World, kind: Any, tensor: Any, weight: Any) -> _Layer:
    layer = _Layer(world, kind, [], [tensor])
    to_array = optional_import("onnx.numpy_helper", "networks").to_array
    layer._put(_weights=None if weight is None else to_array(weight))
    return layer
