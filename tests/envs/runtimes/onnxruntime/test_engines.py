"""The factory of ONNX Runtime's engines: which file serves where, and what cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.accuracy.samples import Samples
from envs.accuracy.store import UNCALIBRATED
from envs.errors import ConfigurationError
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.spec import ConfigurationFailed, ConfigurationSpace, local_computer, workload_of
from envs.testing.engines import build_every
from tests.envs.accuracy.graphs import convolution, given, model, node, random, saved

FP32, INT8 = 0, 1


def factory(
    folder: Path, *models: Any, samples: list[Samples | None] | None = None
) -> tuple[OnnxEngineFactory, list[Path]]:
    files = [saved(folder, made, f"net{position}") for position, made in enumerate(models)]
    paths = [path for path, _ in files]
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([network for _, network in files]), 1, (1, 2)
    )
    return OnnxEngineFactory(space, paths, folder / "cache", samples), paths


RELU = model([node("Relu", "x", "y")], {"x": ["n", 16]}, {"y": ["n", 16]})


def test_fp32_serves_the_file_itself(tmp_path: Path) -> None:
    made, (path,) = factory(tmp_path, convolution())
    assert made.file(0, FP32).path == path
    assert made.calibration(0, FP32) == ("", 0)
    assert not (tmp_path / "cache").exists()


def test_each_tenant_calibrates_on_its_own_samples(tmp_path: Path) -> None:
    pictures = given(x=random(6, 3, 8, 8))
    made, _ = factory(tmp_path, convolution(), convolution(), samples=[pictures, None])
    assert build_every(made, made._space) == {}
    method, count = made.calibration(0, INT8)
    assert method in ("minmax", "entropy", "percentile")
    assert count == 6
    assert made.calibration(1, INT8)[0] == UNCALIBRATED
    assert made.file(0, INT8).path != made.file(1, INT8).path
    for tenant in (0, 1):
        engine = made.load(tenant, INT8, 1)
        assert engine.run([np.ones((2, 3, 8, 8), np.float32)])[0].shape == (2, 5)
        engine.close()


def test_what_has_no_int8_copy_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    made, _ = factory(tmp_path, RELU, convolution())
    errors = build_every(made, made._space)
    assert list(errors) == [(0, INT8)]
    assert "net0 cannot be quantised" in str(errors[0, INT8])
    assert "serve it in FP32" in str(errors[0, INT8])


def test_a_cache_that_cannot_be_written_leaves_fp32(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    made, _ = factory(tmp_path, convolution())
    assert "cannot keep the INT8 graph" in str(build_every(made, made._space)[0, INT8])
    made.load(0, FP32, 1).close()


def test_a_file_that_cannot_be_loaded_fails_its_configuration(tmp_path: Path) -> None:
    made, _ = factory(tmp_path, convolution(ir=14))
    with pytest.raises(ConfigurationFailed, match=r"ONNX Runtime cannot load net0\.onnx"):
        made.load(0, FP32, 1)


def test_files_must_go_with_the_tenants(tmp_path: Path) -> None:
    _, network = saved(tmp_path, convolution())
    space = ConfigurationSpace(local_computer(cores=1), workload_of([network]), 1, (1,))
    with pytest.raises(ConfigurationError, match="2 ONNX files for 1 tenants"):
        OnnxEngineFactory(space, [tmp_path, tmp_path], tmp_path)
