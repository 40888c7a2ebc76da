from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from tests.driver.conftest import Stub
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, TENSOR, World, served


def _images(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(count, 3, 64, 64)).astype(np.float32)


@pytest.fixture
def built(world: World) -> World:
    for accelerator in (CUDA, TENSOR, DLA0):
        for batch in (1, 4):
            world.factory.build(0, accelerator, batch)
    return world


@pytest.mark.parametrize("accelerator", [CUDA, TENSOR, DLA0])
def test_an_engine_serves_and_leaves_nothing_behind(
    accelerator: int, built: World, stub: Stub
) -> None:
    before, launches = stub.live, stub.get("launches")
    engine = built.engine(accelerator, 4)
    first, second = served(engine, _images(4)), served(engine, _images(4, seed=1))
    again = served(engine, _images(4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 1e-4
    assert (stub.get("launches") - launches == 3) == (accelerator != DLA0)
    assert engine.elapsed_ms() >= 0
    engine.close()
    assert stub.live == before
    assert stub.get("mistakes") == 0


def test_a_graph_gives_the_same_answers_as_single_calls(built: World, stub: Stub) -> None:
    images, answers = _images(4), []
    for graphs in (1, 0):
        stub.set(graphs=graphs)
        built.factory.close()
        built.factory = built.again()
        engine = built.engine(CUDA, 4)
        assert (stub.live["executables"] == 1) == bool(graphs)
        answers.append(served(engine, images))
        engine.close()
    np.testing.assert_array_equal(*answers)
    assert stub.live["executables"] == 0


def test_segments_are_a_graph_each_and_leave_nothing_behind(world: World, stub: Stub) -> None:
    in_3 = 4
    world.factory.build(0, in_3, 4)
    before, images = stub.live, _images(4)
    engine = world.engine(in_3, 4)
    assert stub.live["executables"] == 3
    whole, launches = served(engine, images), stub.get("launches")
    engine.launch_first([images])
    for _ in range(2):
        assert engine.done()
        engine.launch_next()
    assert engine.parts_left == 0
    assert stub.get("launches") - launches == 3
    np.testing.assert_array_equal(engine.result()[0], whole)
    engine.close()
    assert stub.live == before
    one = world.engine(TENSOR, 4)
    np.testing.assert_allclose(whole, served(one, images), rtol=1e-3, atol=1e-4)
    one.close()
    assert stub.get("mistakes") == 0


def test_smaller_batches_run_beside_the_graph(built: World, stub: Stub) -> None:
    engine = built.engine(CUDA, 4)
    images = _images(4)
    full, part = served(engine, images), served(engine, images[:2])
    np.testing.assert_allclose(part, full[:2], rtol=1e-4, atol=1e-5)
    engine.close()
    assert stub.get("mistakes") == 0


def test_engines_are_made_used_and_closed_in_different_threads(built: World, stub: Stub) -> None:
    before, made, answers = stub.live, [], []

    def within(work: Any) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    within(lambda: made.append(built.engine(CUDA, 4)))
    within(lambda: answers.append(served(made[0], _images(4))))
    within(made[0].close)
    assert len(answers) == 1
    assert stub.live == before
    assert stub.get("mistakes") == 0


@pytest.mark.parametrize("accelerator", [CUDA, DLA0])
def test_memory_that_ends_at_any_piece_is_an_error_that_leaves_nothing(
    accelerator: int, built: World, stub: Stub
) -> None:
    built.engine(accelerator, 4).close()  # loads the plan
    before, failed = stub.live, 0
    for name in ("allocations_left", "pinned_left"):
        for pieces in range(20):
            stub.set(**{name: pieces})
            engine = built.factory.load(0, accelerator, 1)
            reason = None
            try:
                engine.buffers(4)
            except Exception as error:
                reason, failed = str(error), failed + 1
            stub.set(**{name: -1})
            engine.close()
            assert stub.live == before
            assert reason != ""
            if reason is None:
                break
        else:
            pytest.fail("memory never was enough")
    assert failed >= 4
    assert stub.get("mistakes") == 0


@pytest.mark.parametrize("accelerator", [CUDA, DLA0])
@pytest.mark.parametrize("work", range(4))
def test_after_a_fault_of_the_device_every_call_fails_and_close_does_not(
    accelerator: int, work: int, built: World, stub: Stub
) -> None:
    engine = built.engine(accelerator, 4)
    served(engine, _images(4))
    stub.set(work_left=work)

    def three_batches() -> None:
        for _ in range(3):
            served(engine, _images(4))

    for _ in range(3):
        with pytest.raises(Exception, match=r"illegal|not enqueued|failed"):
            three_batches()
    assert not engine.elapsed_ms() > 1e9
    engine.close()
    engine.close()


def test_a_fault_while_an_engine_is_made_is_an_error_too(built: World, stub: Stub) -> None:
    stub.set(work_left=1)
    engine = built.factory.load(0, CUDA, 1)
    with pytest.raises(Exception, match=r"illegal|not enqueued|failed"):
        engine.buffers(4)
    engine.close()
