"""Engines of the stand-in module.

A plan is a line of JSON, then the ONNX graph. A context runs the graph with ONNX Runtime on the
memory that it was given.
"""

from __future__ import annotations

import ctypes
import itertools
import json
from typing import Any

import numpy as np

from envs.accuracy.reference import level_for_halves
from envs.optional import optional_import
from tests.standins.tensorrt.driver import check_inside
from tests.standins.tensorrt.faults import ILLEGAL, NO_LOADABLE, NO_MEMORY, NO_SUBMIT, OTHER_RELEASE
from tests.standins.tensorrt.names import NUMPY, Named, World


class Runtime(Named, kind="Runtime"):
    """Loads plans of the same version; for others it logs an error and gives None."""

    def __init__(self, world: World, logger: Any) -> None:
        super().__init__(world, DLA_core=-1)
        world.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        """Return the engine in `plan`, or None."""
        first, _, content = plan.partition(b"\n")
        try:
            header = json.loads(first)
        except ValueError:
            header = {}
        if header.get("version") != self._world.version:
            self._world.log("The engine plan file is not compatible with this version of TensorRT")
            return None
        if header["release"] != self._world.faults.release and self._world.faults.on:
            self._world.faults.note("release", "dla" if header["dla"] else "gpu")
            self._world.log(OTHER_RELEASE)
            return None
        return _Engine(self._world, header, content, self.DLA_core)


class _Inspector(Named, kind="EngineInspector"):
    def __init__(self, world: World, engine: Any) -> None:
        super().__init__(world, _engine=engine)

    def get_engine_information(self, form: Any) -> str:
        nodes = [node.name or node.output[0] for node in self._engine._model.graph.node]
        if not self._engine._header["dla"]:
            return json.dumps(
                {
                    "Layers": [{"Name": name, "LayerType": "CaskConvolution"} for name in nodes],
                    "Bindings": [],
                }
            )
        if self._engine._header["devices"]:
            return json.dumps({"Layers": self._divided(), "Bindings": []})
        block = "{ForeignNode[" + nodes[0] + "..." + nodes[-1] + "]}"
        return json.dumps(
            {
                "Layers": ["input to nvm", block, "output from nvm", "input copy finish"],
                "Bindings": [],
            }
        )

    def _divided(self) -> list[dict[str, str]]:
        """Return a block for the neighbours on a DLA, and the layers on the GPU."""
        devices, where, found = self._engine._header["devices"], "GPU", list[tuple[str, str]]()
        for node in self._engine._model.graph.node:
            where = devices.get(node.output[0], where)
            found.append((where, node.name or node.output[0]))
        layers = []
        for place, names in itertools.groupby(found, lambda each: each[0]):
            inside = [name for _, name in names]
            if place == "DLA":
                block = "{ForeignNode[" + inside[0] + "..." + inside[-1] + "]}"
                layers.append({"Name": block, "LayerType": "DLA"})
            else:
                layers += [{"Name": name, "LayerType": "CaskConvolution"} for name in inside]
        return layers


class _Engine(Named, kind="ICudaEngine"):
    def __init__(self, world: World, header: dict[str, Any], content: bytes, core: int) -> None:
        ort = optional_import("onnxruntime", "deploy")
        model = optional_import("onnx", "networks").ModelProto.FromString(content)
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.graph_optimization_level = level_for_halves(ort)
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        super().__init__(world, _header=header, _model=model, _session=session, _core=core)
        largest = 4096 * max(1, len(header["profiles"]))
        self._put(device_memory_size=largest, device_memory_size_v2=largest)
        self._put(num_optimization_profiles=max(1, len(header["profiles"])))

    def get_device_memory_size_for_profile_v2(self, position: int) -> int:
        assert 0 <= position < self.num_optimization_profiles
        return 4096 * (position + 1)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._header["ends"][name]["shape"])

    def get_tensor_dtype(self, name: str) -> Any:
        return getattr(self._world.enums["DataType"], self._header["ends"][name]["dtype"])

    def get_tensor_format(self, name: str) -> Any:
        formats = self._world.enums["TensorFormat"]
        allowed = [
            form for form in formats if self._header["ends"][name]["formats"] >> int(form) & 1
        ]
        return next(
            (
                form
                for form in allowed
                if (form.name == "DLA_LINEAR") == (self._world.border == "DLA_LINEAR")
            ),
            allowed[0],
        )

    def get_tensor_vectorized_dim(self, name: str) -> int:
        shape, form = self.get_tensor_shape(name), self.get_tensor_format(name).name
        return len(shape) - 3 if form in VECTORS else -1

    def get_tensor_components_per_element(self, name: str) -> int:
        return VECTORS.get(self.get_tensor_format(name).name, -1)

    def get_tensor_bytes_per_component(self, name: str) -> int:
        return -1 if self.get_tensor_vectorized_dim(name) == -1 else self._item(name)

    def get_tensor_format_desc(self, name: str) -> str:
        return f"stand-in for {self.get_tensor_format(name).name}"

    def _item(self, name: str) -> int:
        return int(np.dtype(NUMPY[self._header["ends"][name]["dtype"]]).itemsize)

    def _strides(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Distances in elements, each of as many numbers as the format has components."""
        lengths, axis = list(shape), self.get_tensor_vectorized_dim(name)
        if axis != -1:
            lengths[axis] = -(-lengths[axis] // self.get_tensor_components_per_element(name))
        if self.get_tensor_format(name).name == "DLA_LINEAR":
            row = self._world.pitch_bytes // self._item(name)
            lengths[-1] = -(-lengths[-1] // row) * row
        return tuple(int(np.prod(lengths[at + 1 :])) for at in range(len(lengths)))

    def _view(self, name: str, shape: tuple[int, ...], address: int) -> Any:
        """The memory of a tensor by the places of its numbers: [components, ...] where packed."""
        strides, item, axis = self._strides(name, shape), self._item(name), -1
        lengths, width = list(shape), 1
        if (axis := self.get_tensor_vectorized_dim(name)) != -1:
            width = self.get_tensor_components_per_element(name)
            lengths[axis] = -(-lengths[axis] // width)
        count = max(n * stride for n, stride in zip(lengths, strides, strict=True)) if shape else 1
        memory = _memory(address, count * width * item, NUMPY[self._header["ends"][name]["dtype"]])
        return np.lib.stride_tricks.as_strided(
            memory, (width, *lengths), (item, *(stride * width * item for stride in strides))
        )

    def create_engine_inspector(self) -> Any:
        return _Inspector(self._world, self)

    @property
    def _place(self) -> str:
        return f"dla{self._core}" if self._header["dla"] else "gpu"

    def create_execution_context(self, strategy: Any) -> Any:
        assert strategy.name == "USER_MANAGED"
        return self._new_context()

    def create_execution_context_without_device_memory(self) -> Any:
        return self._new_context()

    def _new_context(self) -> Any:
        world, faults = self._world, self._world.faults
        if faults.refuses("context", self._place):
            world.log(NO_LOADABLE)
            return None
        if faults.memory_ended("context", world.live()):
            world.log(NO_MEMORY)
            return None
        return _Context(world, self)


class _Context(Named, kind="IExecutionContext"):
    def __init__(self, world: World, engine: Any) -> None:
        super().__init__(world, _engine=engine, _addresses={}, _shapes={})
        self._put(_profile=None, _scratch=0, _runs=0)
        world.contexts.append(self)

    @property
    def device_memory(self) -> int:
        return int(self._scratch)

    @device_memory.setter
    def device_memory(self, address: int) -> None:
        self._put(_scratch=address)

    def set_device_memory(self, address: int, size: int) -> None:
        assert size == 4096 * ((self._profile or 0) + 1), "memory for another profile"
        self._put(_scratch=address)

    def set_optimization_profile_async(self, position: int, stream: int) -> bool:
        self._put(_profile=position)
        self._shapes.clear()
        return 0 <= position < self._engine.num_optimization_profiles

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self._engine._header["profiles"][self._profile][name]
        self._shapes[name] = shape
        return all(a <= b <= c for a, b, c in zip(smallest, shape, largest, strict=True))

    def get_tensor_strides(self, name: str) -> tuple[int, ...]:
        if name in self._engine._world.told_strides:
            return self._engine._world.told_strides[name]
        shape = self._engine.get_tensor_shape(name)
        if -1 in shape:
            counts = {given[0] for given in self._shapes.values()}
            if len(counts) != 1:  # TensorRT gives Dims of length -1
                raise ValueError("__len__() should return >= 0")
            shape = (counts.pop(), *shape[1:])
        return tuple(self._engine._strides(name, shape))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in self._engine._header["ends"]

    def execute_async_v3(self, stream: int) -> bool:
        assert self._scratch, "no activation memory"
        assert stream, "not on the default stream"
        engine, feed = self._engine, {}
        world = self._world
        if world.faults.breaks():
            world.log(
                f"[checkMacros.cpp::catchCudaError::212] Error Code 1: Cuda Runtime ({ILLEGAL})"
            )
            return False
        if world.faults.refuses("submit", engine._place):
            world.log(NO_SUBMIT)
            return False
        dynamic = any(-1 in each["shape"] for each in engine._header["ends"].values())
        assert not dynamic or self._profile is not None
        for value in engine._session.get_inputs():
            shape = self._shapes.get(value.name) or engine.get_tensor_shape(value.name)
            feed[value.name] = self._read(
                value.name, shape, np.float16 if value.type == "tensor(float16)" else np.float32
            )
        names = [value.name for value in engine._session.get_outputs()]
        for name, values in zip(names, engine._session.run(names, feed), strict=True):
            self._write(name, values)
        self._put(_runs=self._runs + 1)
        return True

    def _read(self, name: str, shape: tuple[int, ...], half: Any) -> Any:
        end, axis = self._engine._header["ends"][name], self._engine.get_tensor_vectorized_dim(name)
        view = self._engine._view(name, shape, self._addresses[name])
        values = view[0]
        if axis != -1:
            index = np.arange(shape[axis])
            blocks = np.moveaxis(view, axis + 1, 0)[index // len(view), index % len(view)]
            values = np.moveaxis(blocks, 0, axis)
        if end["range"] is not None and end["dtype"] == "INT8":
            return values * np.float32(end["range"] / 127)
        return np.array(values, half if end["dtype"] == "HALF" else values.dtype)

    def _write(self, name: str, values: Any) -> None:
        end, axis = self._engine._header["ends"][name], self._engine.get_tensor_vectorized_dim(name)
        view = self._engine._view(name, values.shape, self._addresses[name])
        if end["dtype"] == "INT8":
            values = np.clip(np.rint(values / np.float32(end["range"] / 127)), -127, 127)
        if axis == -1:
            view[0][...] = values
            return
        index = np.arange(values.shape[axis])
        blocks = np.moveaxis(view, axis + 1, 0)
        blocks[index // len(view), index % len(view)] = np.moveaxis(values, axis, 0)


#: How many numbers along the third dimension from the end are adjacent (NvInferRuntime.h).
VECTORS = {"CHW16": 16, "CHW32": 32}


def _memory(address: int, size: int, dtype: Any) -> Any:
    """Return memory at an address; assert that all of it was allocated, as far as is known."""
    check_inside(address, size)
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=dtype)
