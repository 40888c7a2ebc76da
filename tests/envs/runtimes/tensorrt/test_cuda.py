from __future__ import annotations

import os
from ctypes.util import find_library
from types import SimpleNamespace
from typing import Any

import pytest

from envs.errors import DependencyError
from envs.optional import optional_import
from envs.runtimes.tensorrt import cuda as cuda_module
from envs.runtimes.tensorrt.cuda import CapturedGraph, Cuda, _cudart, can_capture


def test_without_a_gpu_the_error_says_what_is_missing() -> None:
    if find_library("cuda"):
        pytest.skip("there is a driver here")
    with pytest.raises(DependencyError, match=r"orin-tuner\[jetson\]|no GPU can be used"):
        Cuda()


class Driver:
    """pycuda.driver, as far as contexts need it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def init(self) -> None:
        self.calls.append(f"init with {os.environ.get('CUDA_DEVICE_MAX_CONNECTIONS')} queues")

    def Device(self, ordinal: int) -> Any:  # noqa: N802  # pycuda's own name
        return SimpleNamespace(retain_primary_context=self._retain)

    def _retain(self) -> Any:
        self.calls.append("retain")
        return SimpleNamespace(
            push=lambda: self.calls.append("push"), pop=lambda: self.calls.append("pop")
        )


def test_there_is_one_context_a_process_and_it_is_current_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If it were released in between, everything that TensorRT has loaded would be lost."""
    driver = Driver()
    monkeypatch.setattr(cuda_module, "optional_import", lambda module, extra: driver)
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "")  # so that it is put back
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS")
    first, second = Cuda(), Cuda()
    with pytest.raises(ZeroDivisionError), first.current(), second.current():
        raise ZeroDivisionError
    assert driver.calls == ["init with 32 queues", "retain", "push", "push", "pop", "pop"]


class Runtime:
    """The API of cuda-python for captures; every call succeeds except `failing`."""

    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815  # NVIDIA's own name

    def __init__(self, failing: str = "") -> None:
        self.calls: list[str] = []
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            return (901,) if name == self._failing else (0, f"result of {name}")

        return call


@pytest.mark.parametrize(
    ("failing", "calls"),
    [
        ("", ["BeginCapture", "EndCapture", "Instantiate", "Destroy"]),
        ("enqueue", ["BeginCapture", "EndCapture", "Destroy"]),
        ("cudaStreamEndCapture", ["BeginCapture", "EndCapture"]),
        ("cudaGraphInstantiate", ["BeginCapture", "EndCapture", "Instantiate", "Destroy"]),
    ],
)
def test_a_capture_always_ends_and_leaves_no_graph_behind(
    monkeypatch: pytest.MonkeyPatch, failing: str, calls: list[str]
) -> None:
    runtime = Runtime(failing)
    monkeypatch.setattr(cuda_module, "_cudart", lambda: runtime)

    def enqueue() -> None:
        if failing == "enqueue":
            raise RuntimeError("not permitted while a stream captures")

    if failing:
        with pytest.raises(RuntimeError):
            CapturedGraph(7, enqueue)
    else:
        CapturedGraph(7, enqueue)
    assert [
        name.removeprefix("cudaStream").removeprefix("cudaGraph") for name in runtime.calls
    ] == calls


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
    for name in (
        "cudaStreamBeginCapture",
        "cudaStreamEndCapture",
        "cudaGraphInstantiate",
        "cudaGraphLaunch",
        "cudaGraphDestroy",
        "cudaGraphExecDestroy",
    ):
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
