"""Launches elastic kernels through the CUDA driver, in a stream of the lowest priority.

This was never run on a GPU: it was tested against a stand-in for the driver that runs kernels on
the processor. It needs a current context, which the runtime of TensorRT makes, and the driver's
library; both are tested before anything is launched.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from envs.kernels.generator import ElasticKernel
from envs.kernels.shard_argument import Size, shard_argument
from envs.kernels.syntax import KernelError

LIBRARY = "libcuda.so.1"
#: Shards for which counters are kept: so many may be out, one after another, before all are done.
COUNTERS = 1024
#: CU_STREAM_NON_BLOCKING, CUDA_ERROR_NOT_READY (cuda.h).
_NON_BLOCKING, _NOT_READY = 1, 600

_POINTER, _UNSIGNED, _SIZE = ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t
_OUT, _ADDRESS = ctypes.POINTER(_POINTER), ctypes.c_uint64
#: Arguments of each function, from cuda.h of CUDA 13.0; the same in 11.4.
_ARGUMENTS: dict[str, list[Any]] = {
    "cuCtxGetCurrent": [_OUT],
    "cuCtxGetStreamPriorityRange": [ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)],
    "cuStreamCreateWithPriority": [_OUT, _UNSIGNED, ctypes.c_int],
    "cuStreamQuery": [_POINTER],
    "cuStreamSynchronize": [_POINTER],
    "cuStreamDestroy_v2": [_POINTER],
    "cuModuleLoadData": [_OUT, ctypes.c_char_p],
    "cuModuleGetFunction": [_OUT, _POINTER, ctypes.c_char_p],
    "cuModuleUnload": [_POINTER],
    "cuMemAlloc_v2": [ctypes.POINTER(_ADDRESS), _SIZE],
    "cuMemFree_v2": [_ADDRESS],
    "cuMemsetD32Async": [_ADDRESS, _UNSIGNED, _SIZE, _POINTER],
    "cuLaunchKernel": [_POINTER, *[_UNSIGNED] * 7, _POINTER, _OUT, _OUT],
}


class Launcher:
    """Elastic kernels of one image, and a stream for them.

    Args:
        image: machine code (`envs.kernels.nvcc.Image.code`).
        library: the driver's library; None: the system's.

    Raises:
        KernelError: there is no driver or no current context, or the image does not suit the GPU.
    """

    def __init__(self, image: bytes, library: ctypes.CDLL | None = None) -> None:
        self._driver = _driver(library)
        context = _POINTER()
        self._call("cuCtxGetCurrent", ctypes.byref(context))
        if not context.value:
            raise KernelError("no CUDA context is current in this thread: open a device first")
        lowest, highest = ctypes.c_int(), ctypes.c_int()
        self._call("cuCtxGetStreamPriorityRange", ctypes.byref(lowest), ctypes.byref(highest))
        self._stream, self._module, self._counters = _POINTER(), _POINTER(), _ADDRESS()
        self._used = COUNTERS
        self._functions: dict[str, ctypes.c_void_p] = {}
        self._call("cuStreamCreateWithPriority", ctypes.byref(self._stream), _NON_BLOCKING, lowest)
        try:
            self._call("cuModuleLoadData", ctypes.byref(self._module), image)
            self._call("cuMemAlloc_v2", ctypes.byref(self._counters), 4 * COUNTERS)
        except KernelError:
            self.close()
            raise

    def launch(
        self,
        kernel: ElasticKernel,
        arguments: Sequence[Any],
        grid: Size,
        block: Size,
        shard: tuple[int, int],
        blocks: int,
        threads: int,
        shared_bytes: int = 0,
    ) -> None:
        """Launch one shard behind those that were launched before.

        Args:
            kernel: the elastic kernel.
            arguments: those of the original, as ctypes values; memory of the GPU as `c_void_p`.
            grid: logical blocks.
            block: logical threads of each.
            shard: range [first, last) of logical blocks.
            blocks: blocks that stay until the shard is done.
            threads: threads of each.
            shared_bytes: dynamic shared memory of a block, as much as the original's.

        Raises:
            KernelError: the shard is outside the grid, dynamic shared memory has no size, or the
                driver refuses.
        """
        first, last = shard
        if not 0 <= first < last <= grid[0] * grid[1] * grid[2]:
            raise KernelError(f"{kernel.name}: shard {first}..{last} is not within its grid")
        if kernel.dynamic and shared_bytes < 1:
            raise KernelError(
                f"{kernel.name} has dynamic shared memory: say how many bytes the original gets"
            )
        entry = kernel.entry(threads, block[0] * block[1] * block[2])
        if self._used == COUNTERS:
            # In the stream, so after the last shard that uses them.
            self._call("cuMemsetD32Async", self._counters, 0, COUNTERS, self._stream)
            self._used = 0
        address = self._counters.value + 4 * self._used
        self._used += 1
        values = [*arguments, shard_argument(grid, block, first, last, address)]
        pointers = (_POINTER * len(values))(*[ctypes.addressof(each) for each in values])
        size = (blocks, 1, 1, threads, 1, 1, shared_bytes)
        function = self._function(entry)
        self._call("cuLaunchKernel", function, *size, self._stream, pointers, None)

    def idle(self) -> bool:
        """Return True if every shard that was launched is done."""
        code = self._driver.cuStreamQuery(self._stream)
        if code not in (0, _NOT_READY):
            raise KernelError(f"the CUDA driver's cuStreamQuery failed with code {code}")
        return bool(code == 0)

    def wait(self) -> None:
        """Wait until every shard that was launched is done."""
        self._call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Release the stream, the image and the counters."""
        if self._stream.value:
            self._driver.cuStreamSynchronize(self._stream)
            self._driver.cuStreamDestroy_v2(self._stream)
        if self._counters.value:
            self._driver.cuMemFree_v2(self._counters)
        if self._module.value:
            self._driver.cuModuleUnload(self._module)
        self._stream, self._module, self._counters = _POINTER(), _POINTER(), _ADDRESS()

    def _function(self, name: str) -> ctypes.c_void_p:
        if name not in self._functions:
            found = _POINTER()
            self._call("cuModuleGetFunction", ctypes.byref(found), self._module, name.encode())
            self._functions[name] = found
        return self._functions[name]

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code != 0:
            raise KernelError(f"the CUDA driver's {name} failed with code {code}")


def _driver(library: ctypes.CDLL | None) -> ctypes.CDLL:
    try:
        driver = ctypes.CDLL(LIBRARY) if library is None else library
        for name, arguments in _ARGUMENTS.items():
            function = getattr(driver, name)
            function.argtypes, function.restype = arguments, ctypes.c_int
    except OSError:
        raise KernelError(f"there is no NVIDIA driver here ({LIBRARY})") from None
    except AttributeError as error:
        raise KernelError(f"this NVIDIA driver is too old: {error}") from None
    return driver
