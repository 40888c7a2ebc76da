"""Engines of the stand-in module.

A plan is a line of JSON, then the ONNX graph. A context runs the graph with ONNX Runtime on the
memory that it was given.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np

from envs.accuracy.reference import level_for_halves
from envs.optional import optional_import
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
        block = "{ForeignNode[" + nodes[0] + "..." + nodes[-1] + "]}"
        return json.dumps(
            {
                "Layers": ["input to nvm", block, "output from nvm", "input copy finish"],
                "Bindings": [],
            }
        )


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

    def _buffer(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the memory of a tensor."""
        form, size = (
            self.get_tensor_format(name).name,
            np.dtype(NUMPY[self._header["ends"][name]["dtype"]]).itemsize,
        )
        if form == "DLA_LINEAR":
            return (*shape[:-1], -(-shape[-1] * size // 64) * 64 // size)
        if form.startswith("CHW"):
            return (shape[0], -(-shape[1] // int(form[3:])), *shape[2:], int(form[3:]))
        return shape

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
        shape = self._engine._buffer(name, self._engine.get_tensor_shape(name))
        return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))

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
        end, form = self._engine._header["ends"][name], self._engine.get_tensor_format(name).name
        values = _memory(
            self._addresses[name], self._engine._buffer(name, shape), NUMPY[end["dtype"]]
        )
        if form == "DLA_LINEAR":
            values = values[..., : shape[-1]]
        elif form.startswith("CHW"):
            width = int(form[3:])
            values = np.stack(
                [values[:, c // width, ..., c % width] for c in range(shape[1])], axis=1
            )
        if end["range"] is not None and end["dtype"] == "INT8":
            return values * np.float32(end["range"] / 127)
        return values.astype(half if end["dtype"] == "HALF" else values.dtype)

    def _write(self, name: str, values: Any) -> None:
        end, form = self._engine._header["ends"][name], self._engine.get_tensor_format(name).name
        target = _memory(
            self._addresses[name], self._engine._buffer(name, values.shape), NUMPY[end["dtype"]]
        )
        if end["dtype"] == "INT8":
            values = np.clip(np.rint(values / np.float32(end["range"] / 127)), -127, 127)
        if form == "DLA_LINEAR":
            target[..., : values.shape[-1]] = values
        elif form.startswith("CHW"):
            width = int(form[3:])
            for channel in range(values.shape[1]):
                target[:, channel // width, ..., channel % width] = values[:, channel]
        else:
            target[...] = values


def _memory(address: int, shape: tuple[int, ...], dtype: Any) -> Any:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=dtype).reshape(shape)
