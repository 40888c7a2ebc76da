"""Small worlds whose answers are known on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import ConfigurationError
from envs.simulator.response import Response, respond
from envs.simulator.tables import COSTS, POSITIONS, Contexts

CUDA, TENSOR, DLA0, DLA1 = range(POSITIONS)
BATCHES = (1, 4)
#: Seconds of one batch of `BATCHES` on paper.
HOST, GPU, DLA = np.array([1e-3, 2e-3]), np.array([4e-3, 12e-3]), np.array([8e-3, 30e-3])
TAIL = 0.1


def paper(tenants: int = 1, rate_ips: float = np.inf, **changed: float) -> Contexts:
    """A board without contention, interference or power limit.

    A GPU batch keeps others out for 3/4 of its time.
    """
    table = np.zeros((len(COSTS), 1, tenants, POSITIONS, len(BATCHES)))

    def put(name: str, positions: list[int], values: npt.NDArray[np.float64]) -> None:
        table[COSTS.index(name)][:, :, positions] = values

    put("host_s", [CUDA, TENSOR, DLA0, DLA1], HOST)
    put("gpu_s", [TENSOR], GPU)
    put("gpu_s", [CUDA], 3 * GPU)
    put("exclusive_s", [TENSOR], 0.75 * GPU)
    put("exclusive_s", [CUDA], 0.75 * 3 * GPU)
    put("dla_s", [DLA0, DLA1], DLA)
    put("gpu_j", [CUDA, TENSOR], 5 * GPU)
    put("cv_j", [DLA0, DLA1], 2 * DLA)
    put("gpu_bytes", [CUDA, TENSOR], 1e9 * GPU)
    put("dla_bytes", [DLA0, DLA1], 1e9 * DLA)
    scalars = {
        "dram_byte_s": 1e11,
        "idle_gpu_w": 3.0,
        "idle_cv_w": 2.0,
        "idle_sys_w": 1.0,
        "max_power_w": 1e3,
        "byte_j": 2e-10,
        "tail": TAIL,
        "max_wait_s": 5e-3,
        "cores": 1.0,
        "poll_share": 0.0,
    }
    scalars |= dict.fromkeys(("capacity", "clock"), 1.0) | {"contention_threshold": 1e3}
    scalars |= dict.fromkeys(
        (
            "threads",
            "pipe_overlap",
            "interference",
            "launch_lock",
            "contention_slope",
            "contention_plateau",
        ),
        0.0,
    )
    scalars |= dict.fromkeys(("quantum_s", "threads_exponent", "other_gpu", "other_byte_s"), 0.0)
    scalars |= dict.fromkeys(("slice_s", "switch_s", "busy_soc_w", "busy_sys_w"), 0.0)
    values = {name: np.array([value]) for name, value in (scalars | changed).items()}
    return Contexts(
        batches=np.array(BATCHES, dtype=float),
        table=table,
        swap_s=np.zeros((1, tenants)),
        mapped_core=np.zeros((1, 0), dtype=np.int64),
        part_share=np.zeros((1, tenants, 0, 2, len(BATCHES))),
        rate_ips=np.full((1, tenants), rate_ips),
        best_effort=np.zeros((1, tenants), dtype=bool),
        segment_s=np.zeros(1),
        **values,
    )


def ask(contexts: Contexts, *slots: tuple[int, int, int], tenant: int = 0) -> Response:
    """One row: (position, instances, level of the batch) each, all of one tenant."""
    instances = np.zeros((1, contexts.tenants, POSITIONS), dtype=np.int64)
    levels = np.zeros_like(instances)
    for position, count, level in slots:
        instances[0, tenant, position], levels[0, tenant, position] = count, level
    return respond(contexts, np.zeros(1, dtype=np.int64), instances, levels)


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


def engine(host_s: float, gpu_s: float, dla_s: float = 0.0, turns: float = 0.0) -> dict[str, float]:
    """The costs of one batch that keeps others out for all of its GPU time."""
    return {
        "host_s": host_s, "gpu_s": gpu_s, "exclusive_s": gpu_s, "dla_s": dla_s, "turns": turns,
    }  # fmt: skip


def with_engines(
    engines: dict[int, dict[str, float]], tenants: int = 1, **changed: float
) -> Contexts:
    """The board on paper with these costs of a batch by position, whatever its size."""
    contexts = paper(tenants, **changed)
    table = np.zeros_like(contexts.table)
    for position, costs in engines.items():
        for name, value in costs.items():
            table[COSTS.index(name), :, :, position] = value
    return replace(contexts, table=table)


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


def test_power_steps_up_once_anything_runs() -> None:
    steps = {"busy_soc_w": 2.0, "busy_sys_w": 1.0}
    for slot in ((TENSOR, 1, 0), (TENSOR, 4, 1), (DLA0, 1, 0)):
        quiet, stepped = ask(paper(), slot), ask(paper(**steps), slot)
        np.testing.assert_allclose(stepped.rails_w - quiet.rails_w, [[2.0, 0.0, 1.0]], rtol=1e-4)
    rare, quiet = (ask(paper(rate_ips=20.0, **each), (TENSOR, 1, 0)) for each in (steps, {}))
    busy = 20.0 * (HOST[0] + GPU[0])
    np.testing.assert_allclose(rare.rails_w - quiet.rails_w, [[2 * busy, 0, busy]], rtol=1e-3)


def test_energy_adds_up() -> None:
    """Watts on each rail: idle, and joules per batch times batches per second."""
    found = ask(paper(), (TENSOR, 1, 0), (DLA0, 1, 1))
    gpu_rate, dla_rate = 1 / (HOST[0] + GPU[0]), 1 / (HOST[1] + DLA[1])
    traffic = gpu_rate * 1e9 * GPU[0] + dla_rate * 1e9 * DLA[1]
    np.testing.assert_allclose(
        found.rails_w[0],
        [3 + gpu_rate * 5 * GPU[0], 2 + dla_rate * 2 * DLA[1], 1 + 2e-10 * traffic],
        rtol=1e-5,
    )
    assert found.power_w[0] == pytest.approx(found.rails_w[0].sum())
    assert found.throughput_ips[0, 0] == pytest.approx(gpu_rate + BATCHES[1] * dla_rate, rel=1e-5)
    assert not found.throttled[0]


def test_a_module_never_draws_more_than_its_limit() -> None:
    free, capped = (
        ask(paper(max_power_w=watts), (TENSOR, 4, 1), (CUDA, 2, 1)) for watts in (1e3, 8.0)
    )
    assert free.power_w[0] > 8.5
    assert capped.power_w[0] == pytest.approx(8.0, rel=1e-5)
    assert capped.throttled[0]
    assert capped.throughput_ips[0, 0] < free.throughput_ips[0, 0]


def test_traffic_of_others_slows_and_ones_own_does_not() -> None:
    shy = {
        "dram_byte_s": 1e9,
        "contention_threshold": 0.5,
        "contention_slope": 1.0,
        "contention_plateau": 0.4,
    }
    alone, beside = (
        ask(paper(**shy), (TENSOR, 1, 0)),
        ask(paper(**shy), (TENSOR, 1, 0), (DLA0, 1, 0)),
    )
    assert alone.throughput_ips[0, 0] == pytest.approx(1 / (HOST[0] + GPU[0]), rel=1e-5)
    quiet = ask(paper(), (TENSOR, 1, 0), (DLA0, 1, 0))
    assert beside.throughput_ips[0, 0] < 0.99 * quiet.throughput_ips[0, 0]


@pytest.mark.parametrize("rate_ips", [20.0, 1e4])
def test_an_open_loop_serves_what_arrives_up_to_its_capacity(rate_ips: float) -> None:
    found = ask(paper(rate_ips=rate_ips), (TENSOR, 1, 0))
    assert found.throughput_ips[0, 0] == pytest.approx(
        min(rate_ips, 1 / (HOST[0] + GPU[0])), rel=1e-4
    )


@pytest.mark.parametrize("position", [TENSOR, DLA0])
def test_a_tenant_whose_requests_are_rare_hardly_disturbs_a_busy_one(position: int) -> None:
    """It waits for at most what it finds, and the other one does not see that it is there."""
    engines = {TENSOR: engine(0.0, 4e-3), DLA0: engine(0.0, 0.2e-3, 2e-3, 2.0)}
    contexts = with_engines(engines, tenants=2, slice_s=1.5e-3, switch_s=0.2e-3)
    contexts = replace(contexts, rate_ips=np.array([[np.inf, 0.1]]))
    instances = np.zeros((1, 2, POSITIONS), dtype=np.int64)
    instances[0, 0, TENSOR] = instances[0, 1, position] = 1
    found = respond(contexts, np.zeros(1, dtype=np.int64), instances, np.zeros_like(instances))
    assert found.throughput_ips[0] == pytest.approx([250, 0.1], rel=2e-3)
    assert found.p50_ms[0, 0] == pytest.approx(4.0, rel=2e-3)
    alone_ms, most_ms = {TENSOR: (4.0, 2 * 4.0), DLA0: (2.2, 2.2 + 2 * 1.5)}[position]
    assert 1.2 * alone_ms < found.p50_ms[0, 1] < 1.01 * most_ms


def test_an_accelerator_that_is_absent_is_refused() -> None:
    contexts = paper()
    table = contexts.table.copy()
    table[:, :, :, DLA1] = np.nan
    with pytest.raises(ConfigurationError, match="lacks"):
        ask(replace(contexts, table=table), (DLA1, 1, 0))


def rarely(rate_ips: float, busy: tuple[int, int], rare: tuple[int, int]) -> Response:
    """Two tenants, (position, instances) each: a closed loop, and requests at a rate."""
    engines = {TENSOR: engine(4e-3, 4e-3), CUDA: engine(0.0, 4e-3)}
    contexts = with_engines(engines, tenants=2, quantum_s=0.3e-3)
    contexts = replace(contexts, rate_ips=np.array([[np.inf, rate_ips]]))
    instances = np.zeros((1, 2, POSITIONS), dtype=np.int64)
    instances[0, 0, busy[0]], instances[0, 1, rare[0]] = busy[1], rare[1]
    return respond(contexts, np.zeros(1, dtype=np.int64), instances, np.zeros_like(instances))


def test_a_tenant_without_requests_changes_nothing_for_others() -> None:
    alone = ask(with_engines({TENSOR: engine(4e-3, 4e-3)}), (TENSOR, 2, 0))
    beside = rarely(1e-6, (TENSOR, 2), (CUDA, 1))
    assert beside.throughput_ips[0, 0] == pytest.approx(alone.throughput_ips[0, 0], rel=1e-4)
    saturated = rarely(1e-3, (CUDA, 1), (CUDA, 1))
    assert saturated.p99_ms[0, 0] == pytest.approx(4.0 * (1 + TAIL), rel=1e-3), "never waits"


def test_a_rare_request_meets_the_batch_of_a_busy_tenant() -> None:
    found = rarely(0.1, (CUDA, 1), (CUDA, 1))
    assert found.p50_ms[0, 1] == pytest.approx(8.0, rel=1e-2)
    assert found.throughput_ips[0, 1] == pytest.approx(0.1, rel=1e-3)
