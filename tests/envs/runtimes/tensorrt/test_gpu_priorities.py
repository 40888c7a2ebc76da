"""Priorities of streams on a real GPU; skipped with the reason where there is none."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.driver_calls import STREAMS, driver_calls
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.instance_streams import InstanceStreams
from envs.runtimes.tensorrt.priority_stream import priority_range
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.spec import ConfigurationSpace, Network
from tests.envs.runtimes.tensorrt.on_device import index_of, served
from tests.envs.runtimes.tensorrt.test_graph import run, values
from tests.worlds import critical_and_best_effort

pytestmark = pytest.mark.gpu

CRITICAL, BEST_EFFORT = 0, 1


def test_the_driver_gives_streams_the_priorities_of_their_tenants() -> None:
    cuda = Cuda()
    library = ctypes.CDLL(str(sys.modules[cuda.driver.Stream.__module__].__file__))
    streams = InstanceStreams(cuda, (False, True))
    with cuda.current():
        lowest, highest = priority_range(driver_calls(cuda.driver, STREAMS))
        for tenant, wanted in ((CRITICAL, highest), (BEST_EFFORT, lowest)):
            made, found = streams.of(tenant), ctypes.c_int()
            handle = ctypes.c_void_p(made.stream.handle)
            assert library.cuStreamGetPriority(handle, ctypes.byref(found)) == 0
            assert found.value == wanted
            made.close()
    assert streams.refused == ""


@pytest.mark.parametrize("graphs", [True, False])
def test_answers_of_both_are_those_of_the_network(
    graphs: bool, space: ConfigurationSpace, small: tuple[Path, Network], engines: Path
) -> None:
    both = replace(space, workload=critical_and_best_effort(small[1], small[1]))
    options, paths = BuildOptions(level=1), [small[0]] * 2
    factory = TensorRTEngineFactory(both, paths, engines, options, graphs=graphs)
    on = index_of(space, "cuda")
    for tenant in (CRITICAL, BEST_EFFORT):
        engine = factory.load(tenant, on, 1)
        engine.buffers(4)
        for count in (4, 1):
            images = values(count, 3, 64, 64)
            expected = run(onnx.load(str(small[0])), images)[0]
            np.testing.assert_allclose(
                served(engine, images), expected, atol=1e-4 * np.abs(expected).max()
            )
        assert 0 < engine.elapsed_ms() < 1000
        engine.close()
    assert not any("priorities" in remark for remark in factory.remarks())
    factory.close()
