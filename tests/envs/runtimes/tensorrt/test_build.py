"""Builds that fail, and the ranges of implicit INT8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envs.errors import StorageError
from envs.runtimes.tensorrt import build as build_module
from envs.runtimes.tensorrt.build import build
from envs.runtimes.tensorrt.ranges import calibrate
from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import ConfigurationFailed, FailureKind, Kind, Network
from tests.standins.tensorrt.module import fake_module


def test_what_is_concatenated_or_pooled_has_one_range_in_int8(tmp_path: Path) -> None:
    """Otherwise no DLA takes it, and it runs on the GPU without an error."""
    from envs.graph.reading import read_network
    from tests.envs.runtimes.tensorrt.test_graph import NODE, tail, values

    nodes = [
        NODE("Conv", ["x", "small"], ["a"]),
        NODE("Conv", ["x", "large"], ["b"]),
        NODE("Concat", ["a", "b"], ["c"], axis=1),
        NODE("MaxPool", ["c"], ["p"], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
        NODE("Conv", ["x", "larger"], ["d"]),
        NODE("Concat", ["p", "d"], ["e"], axis=1),
        NODE("Conv", ["e", "last"], ["y"]),
    ]
    weights = {"small": 0.1, "large": 1.0, "larger": 9.0}
    kernels = {name: scale * values(4, 4, 1, 1) for name, scale in weights.items()} | {
        "last": values(4, 12, 1, 1)
    }
    path = tmp_path / "concatenated.onnx"
    import onnx

    onnx.save(tail(nodes, kernels, (4, 5, 5)), path)
    module = fake_module("10.3.0", 2)
    calibration = calibrate(onnx.load(str(path)), read_network(path), 1)
    ranges = calibration.ranges
    build(
        Bindings(module),
        path,
        read_network(path),
        EngineSpec(Kind.DLA, "int8", 2, True),
        BuildOptions(),
        calibration,
    )
    layers = module.world.networks[-1]._layers
    found = {layer.get_output(0).name: layer.get_output(0).dynamic_range[1] for layer in layers}
    assert len({found[name] for name in "abcdpe"}) == 1
    assert found["e"] == max(ranges[name] for name in "abcdpe")
    assert found["y"] == ranges["y"]


def test_int8_without_ranges_is_a_typed_failure(small: tuple[Path, Network]) -> None:
    with pytest.raises(
        ConfigurationFailed, match="the ranges of its tensors are missing"
    ) as caught:
        build(
            Bindings(fake_module("10.3.0")),
            *small,
            EngineSpec(Kind.TENSOR_CORES, "int8", 1, False),
            BuildOptions(),
        )
    assert caught.value.failure.kind is FailureKind.BUILD_FAILED


@pytest.mark.parametrize(
    "error",
    [RuntimeError("std::exception"), ValueError("Error in set dynamic range"), MemoryError()],
)
def test_what_tensorrt_raises_is_a_typed_failure(
    small: tuple[Path, Network], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def raises(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(Bindings, "set_precision", raises)
    with pytest.raises(ConfigurationFailed, match=str(error) or "MemoryError") as caught:
        build(
            Bindings(fake_module("10.3.0")),
            *small,
            EngineSpec(Kind.CUDA_CORES, "fp32", 1, False),
            BuildOptions(),
        )
    assert caught.value.failure.kind is FailureKind.BUILD_FAILED


def test_no_room_for_a_copy_of_the_graph_is_said(
    small: tuple[Path, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_module, "save", full)
    with pytest.raises(StorageError, match=r"No space left on device.*make room in"):
        build(
            Bindings(fake_module("10.3.0")),
            *small,
            EngineSpec(Kind.CUDA_CORES, "fp32", 1, True),
            BuildOptions(),
        )


def test_what_else_goes_wrong_with_a_file_is_no_lack_of_room(
    small: tuple[Path, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied", "/scratch/prepared.onnx")

    monkeypatch.setattr(build_module, "save", forbidden)
    with pytest.raises(
        StorageError, match=r"Permission denied: '/scratch/prepared.onnx'"
    ) as caught:
        build(
            Bindings(fake_module("10.3.0")),
            *small,
            EngineSpec(Kind.CUDA_CORES, "fp32", 1, True),
            BuildOptions(),
        )
    assert "make room" not in str(caught.value)


def test_a_parser_that_refuses_is_a_failed_build(
    tmp_path: Path, small: tuple[Path, Network]
) -> None:
    import onnx

    model = onnx.load(str(small[0]))
    model.graph.node[0].domain = "com.example"
    path = tmp_path / "unknown.onnx"
    onnx.save(model, path)
    with pytest.raises(
        ConfigurationFailed, match=r"the parser refuses the file: .*UNSUPPORTED_NODE"
    ):
        build(
            Bindings(fake_module("10.3.0")),
            path,
            small[1],
            EngineSpec(Kind.CUDA_CORES, "fp32", 1, False),
            BuildOptions(),
        )


def test_a_workspace_that_the_device_does_not_have_is_said(
    small: tuple[Path, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bindings, "set_pool", lambda self, config, name, size: size // 2)
    with pytest.raises(
        ConfigurationFailed, match="workspace_mib=1024 is more than this device has"
    ):
        build(
            Bindings(fake_module("10.3.0")),
            *small,
            EngineSpec(Kind.CUDA_CORES, "fp32", 1, False),
            BuildOptions(),
        )
