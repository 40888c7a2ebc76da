"""Calls of the CUDA driver that pycuda lacks: captures of a stream and graphs.

pycuda 2026.1 has none of them. They are called in the very library that pycuda is linked with, so
that no second package has to match the driver of the board.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

#: CU_STREAM_CAPTURE_MODE_THREAD_LOCAL (cuda.h).
THREAD_LOCAL = 1

_POINTER, _UNSIGNED = ctypes.c_void_p, ctypes.c_uint64
_OUT = ctypes.POINTER(_POINTER)

#: Arguments of each function, from cuda.h of CUDA 12.6; the same in 11.4 and 13.0.
_ARGUMENTS: dict[str, list[Any]] = {
    "cuStreamBeginCapture_v2": [_POINTER, ctypes.c_int],
    "cuStreamEndCapture": [_POINTER, _OUT],
    "cuGraphInstantiateWithFlags": [_OUT, _POINTER, _UNSIGNED],
    "cuGraphLaunch": [_POINTER, _POINTER],
    "cuGraphExecDestroy": [_POINTER],
    "cuGraphDestroy": [_POINTER],
    "cuGetErrorString": [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)],
}


class DriverCalls:
    """Functions of libcuda by name.

    Args:
        library: a loaded library in which they are.

    Raises:
        RuntimeError: the library lacks one of them.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._functions = {}
        for name, arguments in _ARGUMENTS.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise RuntimeError(f"this driver has no {name}: CUDA 11.4 has it") from None
            function.argtypes, function.restype = arguments, ctypes.c_int
            self._functions[name] = function

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; RuntimeError if it fails, with the driver's reason."""
        code = self._functions[name](*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self._functions["cuGetErrorString"](code, ctypes.byref(text))
            reason = (text.value or b"the driver does not know this error").decode()
            raise RuntimeError(f"{name} failed: {reason} ({code})")

    def made(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument takes its result, and return the result."""
        result = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(result))
        return result

    def instantiated(self, graph: ctypes.c_void_p) -> ctypes.c_void_p:
        """Return an executable graph."""
        result = ctypes.c_void_p()
        self.call("cuGraphInstantiateWithFlags", ctypes.byref(result), graph, 0)
        return result


def driver_calls(driver: Any) -> DriverCalls:
    """Return the calls of the driver library that `pycuda.driver` uses.

    Raises:
        RuntimeError: there is no such library, or it lacks a function.
    """
    # Names of the module's classes come from its shared library, pycuda._driver.
    module = sys.modules[driver.Stream.__module__]
    return _of_library(str(module.__file__))


@functools.cache
def _of_library(path: str) -> DriverCalls:
    if ".so" not in path.rpartition("/")[2]:
        raise RuntimeError("pycuda is not the real one, which is a shared library")
    # Names are looked up in the library and in those that it is linked with.
    return DriverCalls(ctypes.CDLL(path))
