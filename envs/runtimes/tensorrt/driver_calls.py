"""Calls of the CUDA driver that pycuda lacks: graphs, and streams with a priority.

pycuda 2026.1 has neither, and takes no stream that it has not made itself, so that events and
copies on such a stream are called here too. They are called in the very library that pycuda is
linked with, so that no second package has to match the driver of the board.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence
from typing import Any

#: CU_STREAM_CAPTURE_MODE_THREAD_LOCAL (cuda.h).
THREAD_LOCAL = 1

#: CU_STREAM_NON_BLOCKING. pycuda has no name for it; its default waits for the default stream.
NON_BLOCKING = 1

#: CUDA_ERROR_NOT_READY (cuda.h).
_NOT_READY = 600

_POINTER, _UNSIGNED, _INT = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int
_OUT, _INT_OUT = ctypes.POINTER(_POINTER), ctypes.POINTER(ctypes.c_int)

#: Arguments of each function, from cuda.h of CUDA 12.6; the same in 11.4 and 13.0.
_GRAPHS: dict[str, list[Any]] = {
    "cuStreamBeginCapture_v2": [_POINTER, _INT],
    "cuStreamEndCapture": [_POINTER, _OUT],
    "cuGraphInstantiateWithFlags": [_OUT, _POINTER, _UNSIGNED],
    "cuGraphLaunch": [_POINTER, _POINTER],
    "cuGraphExecDestroy": [_POINTER],
    "cuGraphDestroy": [_POINTER],
}
_STREAMS: dict[str, list[Any]] = {
    "cuCtxGetStreamPriorityRange": [_INT_OUT, _INT_OUT],
    "cuStreamCreateWithPriority": [_OUT, ctypes.c_uint, _INT],
    "cuStreamSynchronize": [_POINTER],
    "cuStreamDestroy_v2": [_POINTER],
    "cuEventCreate": [_OUT, ctypes.c_uint],
    "cuEventRecord": [_POINTER, _POINTER],
    "cuEventQuery": [_POINTER],
    "cuEventSynchronize": [_POINTER],
    "cuEventElapsedTime": [ctypes.POINTER(ctypes.c_float), _POINTER, _POINTER],
    "cuEventDestroy_v2": [_POINTER],
    "cuMemcpyHtoDAsync_v2": [_UNSIGNED, _POINTER, ctypes.c_size_t, _POINTER],
    "cuMemcpyDtoHAsync_v2": [_POINTER, _UNSIGNED, ctypes.c_size_t, _POINTER],
}
_ERRORS: dict[str, list[Any]] = {
    "cuGetErrorString": [_INT, ctypes.POINTER(ctypes.c_char_p)],
}
_ARGUMENTS = _GRAPHS | _STREAMS | _ERRORS

#: The functions that graphs need, and those that streams with a priority do.
GRAPHS, STREAMS = tuple(_GRAPHS), tuple(_STREAMS)


class DriverCalls:
    """Functions of libcuda by name.

    Args:
        library: a loaded library in which they are.
        names: of the functions that are needed: GRAPHS or STREAMS.

    Raises:
        RuntimeError: the library lacks one of them.
    """

    def __init__(self, library: ctypes.CDLL, names: Sequence[str]) -> None:
        self._functions = {}
        for name in (*names, *_ERRORS):
            arguments = _ARGUMENTS[name]
            try:
                function = getattr(library, name)
            except AttributeError:
                raise RuntimeError(f"this driver has no {name}: CUDA 11.4 has it") from None
            function.argtypes, function.restype = arguments, ctypes.c_int
            self._functions[name] = function

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; RuntimeError if it fails, with the driver's reason."""
        self._check(name, self._functions[name](*arguments))

    def ready(self, name: str, *arguments: Any) -> bool:
        """Call a function that asks; return False where the driver says that work goes on."""
        code = self._functions[name](*arguments)
        if code != _NOT_READY:
            self._check(name, code)
        return bool(code != _NOT_READY)

    def made(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument takes its result, and return the result."""
        result = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(result))
        return result

    def created(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose first argument takes its result, and return the result."""
        result = ctypes.c_void_p()
        self.call(name, ctypes.byref(result), *arguments)
        return result

    def _check(self, name: str, code: int) -> None:
        if code != 0:
            text = ctypes.c_char_p()
            self._functions["cuGetErrorString"](code, ctypes.byref(text))
            reason = (text.value or b"the driver does not know this error").decode()
            raise RuntimeError(f"{name} failed: {reason} ({code})")


def driver_calls(driver: Any, names: Sequence[str]) -> DriverCalls:
    """Return the calls of the driver library that `pycuda.driver` uses.

    Args:
        driver: the module.
        names: of the functions that are needed: GRAPHS or STREAMS.

    Raises:
        RuntimeError: there is no such library, or it lacks a function.
    """
    # Names of the module's classes come from its shared library, pycuda._driver.
    module = sys.modules[driver.Stream.__module__]
    return _of_library(str(module.__file__), tuple(names))


@functools.cache
def _of_library(path: str, names: tuple[str, ...]) -> DriverCalls:
    if ".so" not in path.rpartition("/")[2]:
        raise RuntimeError("pycuda is not the real one, which is a shared library")
    # Names are looked up in the library and in those that it is linked with.
    return DriverCalls(ctypes.CDLL(path), names)
