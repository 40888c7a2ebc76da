"""Real pycuda on the stub driver, in the place of a GPU's.

Only `make test-driver` has these tests run, in a process of their own: whoever has loaded the stub
cannot use a GPU any more.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Network
from tests.driver.build import SKIPPED
from tests.envs.runtimes.tensorrt.conftest import small
from tests.envs.runtimes.tensorrt.worlds import MixedWorld, World
from tests.standins.tensorrt import engines
from tests.standins.tensorrt.module import fake_module

__all__ = ["small"]

#: The folder of `tests.driver.build`.
VARIABLE = "ORIN_TUNER_STUB_DRIVER"
COUNTS = ("memory", "pinned", "streams", "events", "graphs", "executables", "contexts")

_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Stub:
    """The stub driver: what it counts, and what fails in it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self._kept: list[Any] = []  # functions that a graph may call

    def set(self, **values: int) -> None:
        """Set values by name, such as allocations_left=3."""
        for name, value in values.items():
            self.library.stub_set(name.encode(), ctypes.c_long(value))

    def get(self, name: str) -> int:
        return int(self.library.stub_get(name.encode()))

    @property
    def live(self) -> dict[str, int]:
        """Count what exists now, by kind."""
        return {name: self.get(f"live_{name}") for name in COUNTS}

    def run(self, stream: int, function: Callable[[], object]) -> int:
        """Enqueue a function, as a kernel would be; return the driver's error."""
        kept = _HOST_FUNCTION(lambda data: function() and None)
        self._kept.append(kept)
        return int(self.library.cuLaunchHostFunc(ctypes.c_void_p(stream), kept, None))


@pytest.fixture(scope="session")
def _stub() -> Stub:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip("make test-driver runs these tests, in a process of their own")
    reason = Path(folder, SKIPPED)
    if reason.exists():
        pytest.skip(reason.read_text().strip())
    # pycuda finds the library that is loaded already, by its name.
    library = ctypes.CDLL(str(Path(folder, "lib", "libcuda.so.1").resolve()), ctypes.RTLD_GLOBAL)
    library.stub_get.restype = ctypes.c_long
    sys.path.insert(0, str(Path(folder, "site").resolve()))
    return Stub(library)


@pytest.fixture
def stub(_stub: Stub) -> Iterator[Stub]:
    """A driver without faults; afterwards nothing is left and nobody made a mistake."""
    before = _stub.live
    yield _stub
    _stub.library.stub_heal()
    _stub.set(allocations_left=-1, pinned_left=-1, work_left=-1, graphs=1, mistakes=0)
    _stub.set(lowest_priority=0, highest_priority=-5, priorities=2, events_left=-1)
    assert _stub.live["contexts"] == before["contexts"]


@pytest.fixture
def cuda(stub: Stub) -> Cuda:
    return Cuda()


@pytest.fixture
def world(
    stub: Stub,
    cuda: Cuda,
    small: tuple[Path, Network],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """TensorRT's stand-in whose engines work in the order of a stream, also in a graph."""
    at_once = engines._Context.execute_async_v3

    def enqueue(context: Any, stream: int) -> bool:
        return stub.run(stream, lambda: at_once(context, stream)) == 0

    monkeypatch.setattr(engines._Context, "execute_async_v3", enqueue)
    return _Stubbed(small, tmp_path / "engines", cuda)


class _Stubbed(World):
    """A factory over TensorRT's stand-in and real pycuda."""

    def __init__(self, small: tuple[Path, Network], cache: Path, cuda: Cuda) -> None:
        places = ("cuda", "tensor", "dla0", "dla1", "tensor_in_3")
        super().__init__(small, cache, accelerators=places)
        self.module, self.cuda = fake_module("10.3.0", 2), cuda
        self.factory.close()
        self.bindings = Bindings(self.module)
        self.factory = self.again()


class StubbedMixedWorld(_Stubbed, MixedWorld):
    """The same with a critical network and best effort."""
