"""Inputs may be given in the type that an engine takes; every engine computes with their values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from envs.errors import RuntimeFault
from envs.runtimes.serving.engine import Arrays
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.serving.converters import Batch, Converting, SomeConvert
from tests.envs.runtimes.serving.streamed import StreamedFactory, configuration

SCALE = 0.5


class Stepped(Converting):
    """Takes INT8 numbers, and remembers in which types it got its inputs."""

    takes = (("int8", SCALE),)

    def convert(self, inputs: Arrays) -> Batch:
        self.given = [each.dtype.name for each in inputs]
        if inputs[0].dtype == np.int8:
            inputs = [inputs[0].astype(np.float32) * np.float32(SCALE)]
        return super().convert(inputs)


class SteppedFactory(SomeConvert):
    kind = Stepped

    def input_scales(self, tenant: int) -> dict[str, float]:
        return {"input": SCALE} if self.converting else {}


@pytest.fixture
def stepped(factory: StreamedFactory, small_onnx: Path, cache: Path) -> SteppedFactory:
    return SteppedFactory(factory._space, [small_onnx], cache)


@pytest.fixture
def runtime(stepped: SteppedFactory) -> Iterator[ServingRuntime]:
    with ServingRuntime(stepped._space, stepped, NoSensor(), ServingOptions()) as runtime:
        yield runtime


@pytest.mark.parametrize("instances", [((1, 4), (0, 0)), ((0, 0), (1, 4))], ids=["plain", "int8"])
def test_the_value_of_an_input_does_not_depend_on_its_type(
    runtime: ServingRuntime,
    stepped: SteppedFactory,
    instances: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    runtime.apply(configuration((1, 1), (1, 1)))  # from here on the scale is known
    runtime.apply(configuration(*instances))
    assert runtime.input_scales("small") == runtime.input_scales(0)
    steps = np.random.default_rng(0).integers(-8, 8, (3, 48, 48)).astype(np.int8)
    real = steps.astype(np.float32) * np.float32(SCALE)
    kinds = [real, real.astype(np.float16), *([steps] if stepped.input_scales(0) else [])]
    wanted = runtime.submit(0, real).result(60)["logits"]
    for given in kinds:  # alone, four of a kind, and mixed
        np.testing.assert_allclose(runtime.submit(0, given).result(60)["logits"], wanted, atol=1e-5)
        for future in [runtime.submit(0, given) for _ in range(4)]:
            np.testing.assert_allclose(future.result(60)["logits"], wanted, atol=1e-5)
    for future in [runtime.submit(0, kinds[turn % len(kinds)]) for turn in range(12)]:
        np.testing.assert_allclose(future.result(60)["logits"], wanted, atol=1e-5)


def test_what_an_engine_takes_reaches_it_unchanged(
    runtime: ServingRuntime, stepped: SteppedFactory
) -> None:
    runtime.apply(configuration((0, 0), (1, 4)))
    (engine,) = stepped.converting
    assert isinstance(engine, Stepped)
    steps = np.ones((3, 48, 48), np.int8)
    for future in [runtime.submit(0, steps) for _ in range(4)]:
        future.result(60)
    assert engine.given == ["int8"]
    runtime.submit(0, steps.astype(np.float16)).result(60)
    assert engine.given == ["float32"]


def test_int8_is_refused_while_nobody_knows_its_scale(runtime: ServingRuntime) -> None:
    runtime.apply(configuration((1, 1)))
    assert runtime.input_scales("small") == {}
    with pytest.raises(RuntimeFault, match=r"not int8 \[3, 48, 48\]; INT8 is taken once an engine"):
        runtime.submit(0, np.zeros((3, 48, 48), np.int8))
    with pytest.raises(RuntimeFault, match="not float64"):
        runtime.submit(0, np.zeros((3, 48, 48)))
