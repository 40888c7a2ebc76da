"""Tenants beside each other on paper: traffic, rare requests, power and energy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.errors import ConfigurationError
from envs.simulator.response import Response, respond
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
