from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

from envs.runtimes.tensorrt.cuda import CapturedGraph, Cuda, capture_refusal
from tests.driver.conftest import Stub


def test_pycuda_is_the_real_one_and_reads_the_attributes(cuda: Cuda, stub: Stub) -> None:
    assert cuda.driver.Stream.__module__ == "pycuda._driver"
    with cuda.current():
        facts = cuda.facts()
        assert cuda.free_mib() == stub.get("memory_mib")
    assert (facts.name, facts.capability, facts.sm) == ("Orin", (8, 7), 16)
    assert facts.integrated
    assert facts.clock_mhz == 1300
    assert facts.driver_version == 12060


def test_memory_events_and_streams_exist_until_they_are_released(cuda: Cuda, stub: Stub) -> None:
    before = stub.live
    with cuda.current():
        stream, first, last = cuda.stream(), cuda.event(), cuda.event()
        sent, received = cuda.pinned((1000,), np.float32), cuda.pinned((1000,), np.float32)
        memory = cuda.memory(4000)
        sent[:] = np.arange(1000)
        first.record(stream)
        cuda.to_device(memory, sent, stream)
        cuda.to_host(received, memory, stream)
        last.record(stream)
        last.synchronize()
        assert last.query()
        assert first.time_till(last) >= 0
        assert (received == sent).all()
        memory.free()
        sent.base.free()
        received.base.free()
        del stream, first, last
    assert stub.live == before
    assert stub.get("mistakes") == 0


def test_a_copy_out_of_bounds_is_refused(cuda: Cuda, stub: Stub) -> None:
    with cuda.current():
        stream, memory, sent = cuda.stream(), cuda.memory(16), cuda.pinned((5,), np.int32)
        with pytest.raises(cuda.driver.LogicError, match="invalid argument"):
            cuda.to_device(memory, sent, stream)
        memory.free()
        sent.base.free()
        del stream
    assert stub.get("mistakes") == 1


def test_the_context_is_current_only_inside_the_block_in_each_thread(
    cuda: Cuda, stub: Stub
) -> None:
    errors: list[Exception] = []

    def without() -> None:
        try:
            cuda.memory(1)
        except Exception as error:
            errors.append(error)

    def inside() -> None:
        with cuda.current(), cuda.current():
            cuda.memory(1).free()

    with cuda.current():
        for work in (without, inside):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert len(errors) == 1
    assert stub.live["contexts"] == 0


def test_memory_that_ends_is_a_memory_error_with_its_size(cuda: Cuda, stub: Stub) -> None:
    stub.set(allocations_left=1)
    with cuda.current():
        memory = cuda.memory(1)
        with pytest.raises(MemoryError, match="no 3 MiB left"):
            cuda.memory(3 << 20)
        memory.free()


def _there_and_back(cuda: Cuda, memory: Any, sent: Any, received: Any, stream: Any) -> None:
    cuda.to_device(memory, sent, stream)
    cuda.to_host(received, memory, stream)


def test_a_graph_copies_again_what_was_captured(cuda: Cuda, stub: Stub) -> None:
    before = stub.live
    with cuda.current():
        stream, memory = cuda.stream(), cuda.memory(16)
        sent, received = cuda.pinned((4,), np.int32), cuda.pinned((4,), np.int32)

        copies = partial(_there_and_back, cuda, memory, sent, received, stream)
        graph = CapturedGraph(stream.handle, copies)
        for value in (7, 8):
            sent[:] = value
            assert not (received == value).any()
            graph.launch()
            assert (received == value).all()
        graph.close()
        for piece in (memory, sent.base, received.base):
            piece.free()
        del stream, copies
    assert stub.live == before
    assert stub.get("mistakes") == 0


def test_a_capture_that_fails_half_way_ends(cuda: Cuda, stub: Stub) -> None:
    before = stub.live
    with cuda.current():
        stream = cuda.stream()
        with pytest.raises(cuda.driver.Error):
            CapturedGraph(stream.handle, stream.synchronize)  # not permitted in a capture
        stream.synchronize()
        del stream
    assert stub.live == before


def test_captures_are_possible_or_have_a_reason(cuda: Cuda, stub: Stub) -> None:
    before = stub.live
    assert capture_refusal(cuda) == ""
    stub.set(graphs=0)
    assert capture_refusal(cuda) == "cuStreamBeginCapture_v2 failed: operation not supported (801)"
    stub.set(graphs=1, allocations_left=0)
    assert "no 0 MiB left" in capture_refusal(cuda)
    assert stub.live["graphs"] == before["graphs"]
