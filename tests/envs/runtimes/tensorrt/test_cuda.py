from __future__ import annotations

from ctypes.util import find_library

import pytest

from envs.errors import DependencyError
from envs.optional import optional_import
from envs.runtimes.tensorrt.cuda import CapturedGraph, Cuda, _cudart, can_capture


def test_without_a_gpu_the_error_says_what_is_missing() -> None:
    if find_library("cuda"):
        pytest.skip("there is a driver here")
    with pytest.raises(DependencyError, match=r"orin-tuner\[jetson\]|no GPU can be used"):
        Cuda()


def test_cuda_python_is_optional() -> None:
    try:
        optional_import("cuda.bindings.runtime", "cuda")
    except DependencyError:
        assert not can_capture()
        with pytest.raises(DependencyError, match=r"pip install 'orin-tuner\[jetson\]'"):
            CapturedGraph(1, lambda: None)
    else:
        assert can_capture()


def test_the_names_that_capturing_needs_are_in_cuda_python() -> None:
    if not can_capture():
        pytest.skip("cuda-python is not installed: pip install 'orin-tuner[jetson]'")
    runtime = _cudart()
    for name in ("cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphLaunch", "cudaGraphDestroy", "cudaGraphExecDestroy"):
        assert callable(getattr(runtime, name))
    assert runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal is not None


def test_a_capture_without_a_driver_is_an_error_and_not_a_crash() -> None:
    if not can_capture():
        pytest.skip("cuda-python is not installed: pip install 'orin-tuner[jetson]'")
    if find_library("cuda"):
        pytest.skip("there is a driver here")
    enqueued: list[int] = []
    with pytest.raises(RuntimeError, match="cudaStreamBeginCapture failed"):
        CapturedGraph(0, lambda: enqueued.append(1))
    assert not enqueued
