"""Stand-ins for TensorRT and pycuda: the TensorRT runtime on a computer without a GPU.

Inside `stand_ins()` the whole of `envs.runtimes.tensorrt` works, on the processor, with the
names and rules of the TensorRT version that was chosen. Whatever it measures says nothing about
a board, and no CUDA graph is captured. Needs onnx and onnxruntime.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envs.runtimes.tensorrt.cuda import GpuFacts
from tests.standins.tensorrt.driver import ORIN, FakeDriver
from tests.standins.tensorrt.faults import Faults
from tests.standins.tensorrt.module import fake_module


@dataclass(frozen=True)
class StandIns:
    """The two modules that stand in.

    Attributes:
        tensorrt: has `world`, the state that tests change and look at (`names.World`).
        driver: takes the place of `pycuda.driver`.
    """

    tensorrt: Any
    driver: FakeDriver

    @property
    def faults(self) -> Faults:
        """Return what fails; change it at any time."""
        return self.driver.faults


def made(
    version: str = "10.3.0",
    dla_cores: int = 2,
    gpu: GpuFacts = ORIN,
    faults: Faults | None = None,
) -> StandIns:
    """Return both modules; see `stand_ins`."""
    faults = faults or Faults()
    found = StandIns(fake_module(version, dla_cores, faults), FakeDriver(gpu, faults))
    found.tensorrt.world.live = lambda: found.driver.live
    return found


@contextlib.contextmanager
def stand_ins(
    version: str = "10.3.0",
    dla_cores: int = 2,
    gpu: GpuFacts = ORIN,
    faults: Faults | None = None,
) -> Iterator[StandIns]:
    """Let `tensorrt` and `pycuda.driver` be stand-ins until the block ends.

    For example, in a test: `with stand_ins(): device = jetson_device()` gives a device with the
    accelerators cuda, tensor, dla0 and dla1. Close inside the block whatever you open there.

    Args:
        version: of TensorRT, one of `tests.standins.tensorrt.names.VERSIONS`.
        dla_cores: how many DLA cores this TensorRT can use.
        gpu: the GPU's name, compute capability and memory.
        faults: what fails; nothing by default.
    """
    found = made(version, dla_cores, gpu, faults)
    modules: dict[str, Any] = {"tensorrt": found.tensorrt, "pycuda.driver": found.driver}
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield found
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(before)
