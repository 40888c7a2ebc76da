"""Critical tenants beside best effort, with answers known on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.arrays import IntArray
from envs.simulator.response import Response, respond
from envs.simulator.tables import POSITIONS, Contexts
from tests.envs.simulator.paper import DLA, DLA0, GPU, HOST, TAIL, TENSOR, paper

CRITICAL, LOW = 0, 1
#: Share of the GPU, and of a DLA core, that one closed-loop instance keeps from the others.
USE, DLA_USE = 0.75 * GPU[0] / (HOST[0] + GPU[0]), DLA[0] / (HOST[0] + DLA[0])


def world(segment_s: float = 0.0, **changed: float) -> Contexts:
    """The second tenant is best effort."""
    contexts = paper(tenants=2, **changed)
    return replace(contexts, best_effort=np.array([[False, True]]), segment_s=np.array([segment_s]))


def ask(
    contexts: Contexts, *slots: tuple[int, int, int], level: int = 0, segments: int = 1
) -> Response:
    """One row: (tenant, position, instances) each; best effort runs in some segments."""
    shape = (1, 2, POSITIONS)
    instances: IntArray = np.zeros(shape, dtype=np.int64)
    cut = np.ones(shape, dtype=np.int64)
    for tenant, position, count in slots:
        instances[0, tenant, position] = count
    cut[0, LOW] = segments
    levels = np.full(shape, level)
    return respond(contexts, np.zeros(1, dtype=np.int64), instances, levels, cut)


def test_best_effort_in_tiny_segments_does_not_slow_a_critical_tenant_on_the_gpu() -> None:
    alone = ask(world(), (CRITICAL, TENSOR, 1))
    beside = ask(world(), (CRITICAL, TENSOR, 1), (LOW, TENSOR, 1), segments=10**6)
    assert beside.throughput_ips[0, CRITICAL] == pytest.approx(alone.throughput_ips[0, CRITICAL])
    assert beside.p99_ms[0, CRITICAL] == pytest.approx(alone.p99_ms[0, CRITICAL], rel=1e-4)
    slower = HOST[0] + GPU[0] / (1 - USE)
    assert beside.throughput_ips[0, LOW] == pytest.approx(1 / slower, rel=1e-4), (
        "the GPU's part takes longer by the share that the critical tenant has"
    )


def test_many_best_effort_instances_take_exactly_what_is_left_of_the_gpu() -> None:
    found = ask(world(), (CRITICAL, TENSOR, 1), (LOW, TENSOR, 4), segments=10**6)
    assert found.throughput_ips[0, LOW] * 0.75 * GPU[0] == pytest.approx(1 - USE, rel=1e-3)


def test_a_critical_batch_waits_for_the_rest_of_a_segment() -> None:
    for segments in (1, 4, 16):
        found = ask(world(), (CRITICAL, TENSOR, 1), (LOW, TENSOR, 4), segments=segments)
        # Four instances saturate what is left: a segment begins when the critical leaves the GPU,
        # which keeps others out for 3/4 of its time there.
        piece_s, away_s = GPU[0] / segments, HOST[0] + GPU[0] / 4
        wait_s = max(piece_s - away_s, piece_s / 2)
        cycle_s = HOST[0] + GPU[0] + wait_s
        assert found.throughput_ips[0, CRITICAL] == pytest.approx(1 / cycle_s, rel=1e-3)
        worst_s = max(piece_s * 0.99, wait_s)
        assert found.p99_ms[0, CRITICAL] == pytest.approx(
            1e3 * (cycle_s * (1 + TAIL) + worst_s - wait_s), rel=1e-3
        )


def test_best_effort_on_a_dla_core_gives_way_between_its_segments() -> None:
    alone = ask(world(), (CRITICAL, DLA0, 1))
    beside = ask(world(), (CRITICAL, DLA0, 1), (LOW, DLA0, 2), segments=10**6)
    assert beside.p99_ms[0, CRITICAL] == pytest.approx(alone.p99_ms[0, CRITICAL], rel=1e-4)
    assert beside.throughput_ips[0, LOW] * DLA[0] == pytest.approx(1 - DLA_USE, rel=1e-3)


def test_best_effort_without_a_critical_tenant_has_the_device_to_itself() -> None:
    as_critical = ask(paper(tenants=2), (LOW, TENSOR, 2), (CRITICAL, DLA0, 1))
    alone = ask(world(), (LOW, TENSOR, 2), (CRITICAL, DLA0, 1))
    assert alone.throughput_ips == pytest.approx(as_critical.throughput_ips, rel=1e-5)


def test_an_open_loop_leaves_the_rest_to_best_effort_and_waits_for_a_segment() -> None:
    contexts = replace(world(), rate_ips=np.array([[50.0, np.inf]]))
    found = ask(contexts, (CRITICAL, TENSOR, 1), (LOW, TENSOR, 4), segments=10**6)
    assert found.throughput_ips[0, CRITICAL] == pytest.approx(50.0)
    left = 1 - 50.0 * 0.75 * GPU[0]
    assert found.throughput_ips[0, LOW] * 0.75 * GPU[0] == pytest.approx(left, rel=1e-2)
    whole = ask(contexts, (CRITICAL, TENSOR, 1), (LOW, TENSOR, 1), segments=1)
    cut = ask(contexts, (CRITICAL, TENSOR, 1), (LOW, TENSOR, 1), segments=8)
    assert cut.p99_ms[0, CRITICAL] < whole.p99_ms[0, CRITICAL] - 0.5e3 * GPU[0]


def test_each_segment_costs_the_host_its_time() -> None:
    found = ask(world(segment_s=1e-3), (LOW, TENSOR, 1), (CRITICAL, DLA0, 1), segments=5)
    assert found.throughput_ips[0, LOW] == pytest.approx(1 / (HOST[0] + GPU[0] + 4e-3), rel=1e-4)


def test_critical_instances_of_a_plain_computer_have_its_cores_to_themselves() -> None:
    cores = {"threads": 4.0, "capacity": 4.0, "threads_exponent": 1.0}
    alone = ask(world(**cores), (CRITICAL, TENSOR, 1))
    beside = ask(world(**cores), (CRITICAL, TENSOR, 1), (LOW, TENSOR, 3), segments=10**6)
    assert beside.p99_ms[0, CRITICAL] == pytest.approx(alone.p99_ms[0, CRITICAL], rel=1e-3)
    assert beside.throughput_ips[0, LOW] > 0


@settings(max_examples=60, deadline=None)
@given(
    critical=st.integers(1, 4),
    low=st.integers(1, 4),
    segments=st.sampled_from([1, 2, 4, 16]),
    on_dla=st.booleans(),
    rate=st.sampled_from([20.0, 100.0, np.inf]),
)
def test_an_accelerator_is_never_used_more_than_whole_and_more_segments_never_hurt_the_critical(
    critical: int, low: int, segments: int, on_dla: bool, rate: float
) -> None:
    contexts = replace(world(), rate_ips=np.array([[rate, np.inf]]))
    where, work = (DLA0, DLA[0]) if on_dla else (TENSOR, 0.75 * GPU[0])
    slots = ((CRITICAL, where, critical), (LOW, where, low))
    found = ask(contexts, *slots, segments=segments)
    assert (found.throughput_ips * work).sum() <= 1 + 1e-3
    finer = ask(contexts, *slots, segments=4 * segments)
    assert finer.p99_ms[0, CRITICAL] <= found.p99_ms[0, CRITICAL] * (1 + 1e-3)
