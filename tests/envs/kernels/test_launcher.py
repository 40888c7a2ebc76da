"""The launcher against a stand-in for the driver, which runs kernels on the processor."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from envs.kernels import KernelError, elastic
from envs.kernels import launcher as launching
from envs.kernels.launcher import Launcher
from envs.kernels.library import odd_problems, source_of
from envs.kernels.processor import Processor

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")

#: Streams are the priority that they were made with; work is done when it is launched.
DRIVER = r"""
#include <cstring>
#include <map>
static int stand_in_live = 0, stand_in_context = 1, stand_in_priority = 99;
typedef int (*StandInRun)(void **, const unsigned *, const unsigned *, unsigned, unsigned);
extern "C" {
int shim_run_gemm_elastic_1(void **, const unsigned *, const unsigned *, unsigned, unsigned);
int shim_run_gemm_elastic_2(void **, const unsigned *, const unsigned *, unsigned, unsigned);
int stand_in_objects() { return stand_in_live; }
void stand_in_set_context(int there) { stand_in_context = there; }
int stand_in_last_priority() { return stand_in_priority; }
int cuCtxGetCurrent(void **c) { *c = stand_in_context ? &stand_in_live : nullptr; return 0; }
int cuCtxGetStreamPriorityRange(int *lowest, int *highest) { *lowest = 0; *highest = -5; return 0; }
int cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
  *stream = &stand_in_context, stand_in_priority = priority, ++stand_in_live;
  return flags == 1 ? 0 : 1;
}
int cuStreamQuery(void *) { return 0; }
int cuStreamSynchronize(void *) { return 0; }
int cuStreamDestroy_v2(void *) { --stand_in_live; return 0; }
int cuModuleLoadData(void **module, const char *image) {
  if (std::strcmp(image, "image")) return 200;
  *module = &stand_in_live, ++stand_in_live;
  return 0;
}
int cuModuleUnload(void *) { --stand_in_live; return 0; }
int cuModuleGetFunction(void **function, void *, const char *name) {
  *function = !std::strcmp(name, "gemm_elastic_1")   ? (void *)shim_run_gemm_elastic_1
              : !std::strcmp(name, "gemm_elastic_2") ? (void *)shim_run_gemm_elastic_2
                                                     : nullptr;
  return *function ? 0 : 500;
}
int cuMemAlloc_v2(unsigned long long *at, std::size_t bytes) {
  *at = (unsigned long long)std::malloc(bytes), ++stand_in_live;
  std::memset((void *)*at, 255, bytes);
  return 0;
}
int cuMemFree_v2(unsigned long long at) { std::free((void *)at); --stand_in_live; return 0; }
int cuMemsetD32Async(unsigned long long at, unsigned value, std::size_t count, void *) {
  for (std::size_t i = 0; i < count; ++i) ((unsigned *)at)[i] = value;
  return 0;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned, void *, void **arguments, void **) {
  const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
  return ((StandInRun)function)(arguments, grid, block, gx, 0);
}
}
"""

GEMM = elastic(source_of("gemm"), "gemm", (1, 2))
PROBLEM = next(each for each in odd_problems() if each.kernel == "gemm")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[ctypes.CDLL, npt.NDArray[np.float32]]:
    folder = tmp_path_factory.mktemp("driver")
    processor = Processor(GEMM.text, ["gemm", *GEMM.entries.values()], folder, DRIVER)
    arguments = PROBLEM.copied()
    processor.run("gemm", arguments, PROBLEM.grid, PROBLEM.block)
    output = arguments[PROBLEM.output]
    assert isinstance(output, np.ndarray)
    return processor.library, output.astype(np.float32, copy=False)


@pytest.fixture
def driver(built: tuple[ctypes.CDLL, npt.NDArray[np.float32]]) -> Iterator[ctypes.CDLL]:
    assert built[0].stand_in_objects() == 0
    yield built[0]
    built[0].stand_in_set_context(1)
    assert built[0].stand_in_objects() == 0


def as_values(arguments: tuple[Any, ...]) -> list[object]:
    return [
        ctypes.c_void_p(each.ctypes.data) if isinstance(each, np.ndarray) else ctypes.c_int(each)
        for each in arguments
    ]


@pytest.mark.parametrize("counters", [1, 3, 1024])
def test_shards_run_in_a_stream_of_the_lowest_priority(
    driver: ctypes.CDLL,
    built: tuple[ctypes.CDLL, npt.NDArray[np.float32]],
    counters: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launching, "COUNTERS", counters)
    launcher, arguments = Launcher(b"image", driver), PROBLEM.copied()
    assert driver.stand_in_last_priority() == 0
    for first, last in ((0, 1), (1, 3), (3, 4)):
        threads = 256 if first else 200
        shape = PROBLEM.grid, PROBLEM.block, (first, last), 2, threads
        launcher.launch(GEMM, as_values(arguments), *shape)
    launcher.wait()
    assert launcher.idle()
    assert np.asarray(arguments[PROBLEM.output]).tobytes() == built[1].tobytes()
    launcher.close()


def test_what_cannot_be_launched(driver: ctypes.CDLL) -> None:
    with pytest.raises(KernelError, match="cuModuleLoadData failed with code 200"):
        Launcher(b"other", driver)
    launcher = Launcher(b"image", driver)
    for shard in ((0, 0), (2, 1), (0, 5), (-1, 2)):
        with pytest.raises(KernelError, match=r"shard .* is not within its grid"):
            launcher.launch(GEMM, [], PROBLEM.grid, PROBLEM.block, shard, 1, 256)
    other = elastic(source_of("add"), "add")
    with pytest.raises(KernelError, match="cuModuleGetFunction failed with code 500"):
        launcher.launch(other, [], (1, 1, 1), (256, 1, 1), (0, 1), 1, 256)
    launcher.close()
    driver.stand_in_set_context(0)
    with pytest.raises(KernelError, match="no CUDA context is current"):
        Launcher(b"image", driver)


def test_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "LIBRARY", "libno_such_driver.so.1")
    with pytest.raises(KernelError, match="there is no NVIDIA driver here"):
        Launcher(b"image")


def test_a_driver_that_lacks_a_function() -> None:
    with pytest.raises(KernelError, match="this NVIDIA driver is too old"):
        Launcher(b"image", ctypes.CDLL(None))
