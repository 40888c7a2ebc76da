"""Small worlds whose answers are known on paper."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.simulator.response import respond
from envs.simulator.tables import POSITIONS
from tests.envs.simulator.paper import (
    BATCHES,
    CUDA,
    DLA,
    DLA0,
    DLA1,
    GPU,
    HOST,
    TAIL,
    TENSOR,
    ask,
    engine,
    paper,
    with_engines,
)


@pytest.mark.parametrize(
    ("position", "work"), [(TENSOR, GPU), (CUDA, 3 * GPU), (DLA0, DLA), (DLA1, DLA)]
)
@pytest.mark.parametrize("level", [0, 1])
def test_one_instance_alone_takes_its_service_time(
    position: int, work: npt.NDArray[np.float64], level: int
) -> None:
    found, seconds = ask(paper(), (position, 1, level)), HOST[level] + work[level]
    assert found.throughput_ips[0, 0] == pytest.approx(BATCHES[level] / seconds, rel=1e-5)
    assert found.p99_ms[0, 0] == pytest.approx(1e3 * seconds * (1 + TAIL), rel=1e-5)
    assert found.p50_ms[0, 0] == pytest.approx(1e3 * seconds, rel=1e-5)


def test_two_instances_on_one_dla_core_take_turns() -> None:
    found = ask(paper(), (DLA0, 2, 0))
    assert found.throughput_ips[0, 0] == pytest.approx(1 / DLA[0], rel=1e-5), (
        "the core is never idle, and never does two at once"
    )
    assert found.p99_ms[0, 0] == pytest.approx(1e3 * 2 * DLA[0] * (1 + TAIL), rel=1e-5)
    assert ask(paper(), (DLA0, 1, 0), (DLA1, 1, 0)).throughput_ips[0, 0] == pytest.approx(
        2 / (HOST[0] + DLA[0]), rel=1e-5
    ), "two cores do not meet"


def test_five_tenants_take_turns_on_one_dla_core() -> None:
    instances = np.zeros((1, 5, POSITIONS), dtype=np.int64)
    instances[0, :, DLA0] = 1
    found = respond(paper(5), np.zeros(1, dtype=np.int64), instances, np.zeros_like(instances))
    np.testing.assert_allclose(found.throughput_ips[0], 1 / (5 * DLA[0]), rtol=1e-5)
    np.testing.assert_allclose(found.p99_ms[0], 1e3 * 5 * DLA[0] * (1 + TAIL), rtol=1e-5)


def bisected(
    fixed: npt.NDArray[np.float64],
    gpu: npt.NDArray[np.float64],
    own: npt.NDArray[np.float64],
    number: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Stretches: what the others have on the GPU, and as much more as makes the GPU just full."""
    use = number * own / (fixed + gpu)
    first = 1 + use.sum() - own / (fixed + gpu)
    low, high = 0.0, 1e3
    if (number * own / (fixed + gpu * first)).sum() <= 1:
        return first
    for _ in range(100):
        middle = (low + high) / 2
        full = (number * own / (fixed + gpu * (first + middle))).sum() > 1
        low, high = (middle, high) if full else (low, middle)
    return first + low


@given(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), st.tuples(st.integers(0, 1), st.integers(0, 1))
)
@settings(max_examples=40, deadline=None)
def test_gpu_instances_share_what_bisection_says(
    counts: tuple[int, int], levels: tuple[int, int]
) -> None:
    if sum(counts) == 0:
        return
    n, level = np.array(counts, dtype=float), np.array(levels)
    fixed, gpu = HOST[level], np.array([3.0, 1.0]) * GPU[level]
    stretch = bisected(fixed, gpu, 0.75 * gpu, n)
    found = ask(
        paper(), *((position, counts[position], levels[position]) for position in (CUDA, TENSOR))
    )
    expected = (n * np.array(BATCHES)[level] / (fixed + gpu * stretch)).sum()
    assert found.throughput_ips[0, 0] == pytest.approx(expected, rel=1e-3)
    assert found.p99_ms[0, 0] == pytest.approx(
        1e3 * (fixed + gpu * stretch)[n > 0].max() * (1 + TAIL), rel=1e-3
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_instances_that_never_wait_for_the_host_share_one_rate(count: int) -> None:
    """TensorRT contexts with CUDA graphs: a flat total rate, and a latency that grows with N."""
    found = ask(with_engines({TENSOR: engine(0.0, 4e-3)}), (TENSOR, count, 0))
    assert found.throughput_ips[0, 0] == pytest.approx(250, rel=1e-4)
    assert found.p50_ms[0, 0] == pytest.approx(4.0 * count, rel=1e-4)


@given(st.floats(1e-4, 1e-2), st.floats(1e-4, 1e-2))
@settings(max_examples=30, deadline=None)
def test_two_instances_are_what_mean_value_analysis_says(host_s: float, gpu_s: float) -> None:
    """A queue with two customers, who think for the host's time (Reiser and Lavenberg 1980)."""
    found = ask(with_engines({TENSOR: engine(host_s, gpu_s)}), (TENSOR, 2, 0))
    met = gpu_s / (host_s + gpu_s)
    expected = 2 / (host_s + gpu_s * (1 + met))
    assert found.throughput_ips[0, 0] == pytest.approx(expected, rel=1e-3)
    assert found.throughput_ips[0, 0] <= 1.001 / gpu_s


def test_two_threads_wait_for_one_lock_as_for_the_gpu() -> None:
    found = ask(with_engines({TENSOR: engine(6e-3, 4e-3)}, launch_lock=1.0), (TENSOR, 2, 0))
    expected_s = 6e-3 * (1 + 0.6) + 4e-3 * (1 + 0.4)
    assert found.throughput_ips[0, 0] == pytest.approx(2 / expected_s, rel=1e-4)
    many = ask(with_engines({TENSOR: engine(6e-3, 4e-3)}, launch_lock=1.0), (TENSOR, 8, 0))
    assert many.throughput_ips[0, 0] == pytest.approx(1 / 6e-3, rel=1e-3), "one at a time"


def test_an_engine_with_turns_on_a_busy_gpu_waits_a_slice_for_each() -> None:
    engines = {TENSOR: engine(0.0, 1e-3), DLA0: engine(0.0, 0.1e-3, 1e-3, 2.0)}
    times = {"slice_s": 1.5e-3, "switch_s": 0.2e-3}
    alone = ask(with_engines(engines, **times), (DLA0, 1, 0))
    assert alone.throughput_ips[0, 0] == pytest.approx(1 / 1.1e-3, rel=1e-4)
    contexts = with_engines(engines, **times)
    instances = np.zeros((1, 1, POSITIONS), dtype=np.int64)
    instances[0, 0, [TENSOR, DLA0]] = 1
    both = respond(contexts, np.zeros(1, dtype=np.int64), instances, np.zeros_like(instances))
    # x: extra stretch; the GPU gives 0.1 ms and two switches a DLA batch, the rest to its own.
    extra = bisected_extra()
    cycle_s = 1e-3 + 2 * 1.5e-3 + 0.1e-3 * (1 + extra)
    expected = 1 / cycle_s + 1 / (1e-3 * (1 + extra))
    assert both.throughput_ips[0, 0] == pytest.approx(expected, rel=1e-3)


def bisected_extra() -> float:
    """The extra stretch at which the GPU of the test above is just full."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        use = 1 / (1 + middle) + 0.5e-3 / (4e-3 + 0.1e-3 * (1 + middle))
        low, high = (middle, high) if use > 1 else (low, middle)
    return low


def test_an_engine_without_turns_does_not_wait_for_the_gpu() -> None:
    engines = {TENSOR: engine(0.0, 1e-3), DLA0: engine(0.0, 0.0, 1e-3)}
    found = ask(
        with_engines(engines, slice_s=1.5e-3, switch_s=0.2e-3), (TENSOR, 1, 0), (DLA0, 1, 0)
    )
    assert found.throughput_ips[0, 0] == pytest.approx(2000, rel=1e-4)
