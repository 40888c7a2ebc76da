"""Engines on the real device, driven by hand."""

from __future__ import annotations

from typing import Any

import pytest

from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.spec.space import ConfigurationSpace


def place(space: ConfigurationSpace, name: str) -> int:
    if name not in space.device.accelerator_names:
        pytest.skip(f"this GPU has only {', '.join(space.device.accelerator_names)}")
    return space.device.accelerator_names.index(name)


def served(engine: TensorRTEngine, images: Any) -> Any:
    engine.launch([images])
    while not engine.done():
        pass
    return engine.result()[0]


def served_together(engines: list[TensorRTEngine], batches: list[Any]) -> list[Any]:
    """All are launched before the first is waited for, so that they are in flight at once."""
    for engine, batch in zip(engines, batches, strict=True):
        engine.launch([batch])
    return [engine.result()[0] for engine in engines]


def loaded(factory: TensorRTEngineFactory, position: int, batch: int) -> TensorRTEngine:
    engine = factory.load(0, position, 1)
    engine.buffers(batch)
    return engine
