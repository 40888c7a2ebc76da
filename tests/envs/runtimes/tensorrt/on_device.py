"""Engines on the real device, driven by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.spec import ConfigurationSpace
from envs.telemetry.sensors import probe_sensor
from envs.testing.engines import build_every

#: Parts of the names of kernels that use Tensor Cores. The names are NVIDIA's and undocumented: a
#: kernel without them may use Tensor Cores too.
TENSOR_CORE_NAMES = (
    "tensorop",
    "tensor16x8",
    "tensor8x8",
    "tf32",
    "imma",
    "hmma",
    "h16816",
    "h1688",
    "s16816",
    "s1688",
    "i16832",
    "i8816",
)


def tensorrt_runtime(space: ConfigurationSpace, path: Path, cache: Path) -> ServingRuntime:
    factory = TensorRTEngineFactory(space, [path], cache, BuildOptions(level=1))
    build_every(factory, space)
    return ServingRuntime(space, factory, probe_sensor(on_gpu=True), ServingOptions())


def index_of(space: ConfigurationSpace, name: str) -> int:
    if name not in space.device.accelerator_names:
        pytest.skip(f"this GPU has only {', '.join(space.device.accelerator_names)}")
    return space.device.accelerator_names.index(name)


def served(engine: TensorRTEngine, images: Any) -> Any:
    engine.launch([images])
    while not engine.done():
        pass
    return engine.result()[0]


def served_together(engines: list[TensorRTEngine], batches: list[Any]) -> list[Any]:
    """Launch all before waiting for the first, so that they are in flight at once."""
    for engine, batch in zip(engines, batches, strict=True):
        engine.launch([batch])
    return [engine.result()[0] for engine in engines]


def loaded(factory: TensorRTEngineFactory, accelerator: int, batch: int) -> TensorRTEngine:
    engine = factory.load(0, accelerator, 1)
    engine.buffers(batch)
    return engine


def tensor_core_layers(text: str) -> tuple[str, ...]:
    """Return the layers whose kernel's name says that it uses Tensor Cores."""
    return tuple(
        layer["Name"]
        for layer in json.loads(text)["Layers"]
        if isinstance(layer, dict)
        and any(name in layer.get("TacticName", "").lower() for name in TENSOR_CORE_NAMES)
    )
