"""Memory of this processor in the place of a GPU's, behind the interface of `envs.runtimes.tensorrt.cuda.Cuda`: a stream does at once what it is given."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.runtimes.tensorrt.cuda import GpuFacts

FACTS = GpuFacts("Orin", (8, 7), 16, 30_000.0, True)


class Memory:
    def __init__(self, owner: FakeCuda, size: int) -> None:
        self._owner, self._bytes, self._freed = owner, (ctypes.c_char * max(1, size))(), False
        owner.live += 1

    def __int__(self) -> int:
        assert not self._freed, "memory was used after it was freed"
        return ctypes.addressof(self._bytes)

    def free(self) -> None:
        assert not self._freed, "freed twice"
        self._freed = True
        self._owner.live -= 1


class Stream:
    def __init__(self, handle: int) -> None:
        self.handle = handle

    def synchronize(self) -> None:
        pass


class Event:
    def record(self, stream: Stream) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def time_till(self, other: Event) -> float:
        return 1.5


class FakeCuda:
    """Attributes: live: pieces of device memory that are not freed; `left_mib` limits one piece."""

    def __init__(self, facts: GpuFacts = FACTS) -> None:
        self._facts, self._streams, self._depth = facts, 0, 0
        self.live = 0
        self.left_mib = float("inf")

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def facts(self) -> GpuFacts:
        self._check()
        return self._facts

    def stream(self) -> Stream:
        self._check()
        self._streams += 1
        return Stream(self._streams)

    def event(self) -> Event:
        self._check()
        return Event()

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        self._check()
        return np.zeros(shape, dtype)

    def memory(self, size: int) -> Memory:
        self._check()
        if size / 2**20 > self.left_mib:
            raise MemoryError(f"the GPU has no {size / 2**20:.0f} MiB left")
        return Memory(self, size)

    def to_device(self, target: Memory, source: npt.NDArray[Any], stream: Stream) -> None:
        self._check()
        assert source.flags.c_contiguous
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    def to_host(self, target: npt.NDArray[Any], source: Memory, stream: Stream) -> None:
        self._check()
        assert target.flags.c_contiguous
        ctypes.memmove(target.ctypes.data, int(source), target.nbytes)

    def _check(self) -> None:
        assert self._depth, "the context is not current"


class RecordedGraph:
    """What was captured, done again at each launch; in the place of `CapturedGraph`."""

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        self._enqueue = enqueue
        self.launches = 0

    def launch(self) -> None:
        self.launches += 1
        self._enqueue()

    def close(self) -> None:
        pass
