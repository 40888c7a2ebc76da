from __future__ import annotations

import ctypes
import os
import sys
from ctypes.util import find_library
from types import SimpleNamespace
from typing import Any

import pytest

from envs.errors import DependencyError
from envs.runtimes.tensorrt import cuda as cuda_module
from envs.runtimes.tensorrt.cuda import CapturedGraph, Cuda, capture_refusal
from envs.runtimes.tensorrt.driver_calls import GRAPHS, STREAMS, DriverCalls


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
    monkeypatch.setattr(cuda_module, "load_native", lambda *names: driver)
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "")  # so that it is put back
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS")
    first, second = Cuda(), Cuda()
    with pytest.raises(ZeroDivisionError), first.current(), second.current():
        raise ZeroDivisionError
    assert driver.calls == ["init with 32 queues", "retain", "push", "push", "pop", "pop"]


class Library:
    """A loaded libcuda with the functions for captures; every call succeeds except `failing`."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[str] = []
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name == "cuGetErrorString":
                arguments[1]._obj.value = b"operation not permitted"
                return 0
            self.calls.append(name)
            return 800 if name == self._failing else 0

        return call


@pytest.mark.parametrize(
    ("failing", "calls"),
    [
        ("", ["BeginCapture_v2", "EndCapture", "InstantiateWithFlags", "Destroy"]),
        ("enqueue", ["BeginCapture_v2", "EndCapture", "Destroy"]),
        ("cuStreamBeginCapture_v2", ["BeginCapture_v2"]),
        ("cuStreamEndCapture", ["BeginCapture_v2", "EndCapture"]),
        (
            "cuGraphInstantiateWithFlags",
            ["BeginCapture_v2", "EndCapture", "InstantiateWithFlags", "Destroy"],
        ),
    ],
)
def test_a_capture_always_ends_and_leaves_no_graph_behind(
    monkeypatch: pytest.MonkeyPatch, failing: str, calls: list[str]
) -> None:
    library = Library(failing)
    monkeypatch.setattr(cuda_module, "load_native", lambda *names: None)
    monkeypatch.setattr(
        cuda_module, "driver_calls", lambda driver, names: DriverCalls(library, names)
    )

    def enqueue() -> None:
        if failing == "enqueue":
            raise RuntimeError("operation not permitted while a stream captures")

    if failing:
        with pytest.raises(RuntimeError, match="operation not permitted"):
            CapturedGraph(7, enqueue)
    else:
        CapturedGraph(7, enqueue)
    assert [
        name.removeprefix("cuStream").removeprefix("cuGraph") for name in library.calls
    ] == calls


@pytest.mark.parametrize(
    ("names", "missing"),
    [(GRAPHS, "cuStreamBeginCapture_v2"), (STREAMS, "cuCtxGetStreamPriorityRange")],
)
def test_a_driver_without_a_function_is_a_reason(names: tuple[str, ...], missing: str) -> None:
    with pytest.raises(RuntimeError, match=f"has no {missing}"):
        DriverCalls(ctypes.CDLL("libm.so.6"), names)


def test_without_a_gpu_there_is_a_reason_for_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    assert capture_refusal().startswith("pycuda")
