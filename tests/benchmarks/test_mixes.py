"""Requests that share a GPU, simulated one by one, against paper and against the device model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.mixes_simulation import Client, simulated
from benchmarks.mixes_world import MIXES, client, clients_of, model_of, single

#: Host, work on the GPU, and work that others can go beside, in seconds.
ONE = Client(1e-3, 3e-3, 1e-3)
SECONDS = 4.0


def test_an_instance_alone_takes_the_sum_of_its_times() -> None:
    found = simulated([ONE], SECONDS)[0]
    assert found.rate_ips(SECONDS) == pytest.approx(1 / 5e-3, rel=1e-2)
    assert found.p99_ms == pytest.approx(5.0)


def test_whole_requests_take_turns_on_the_device() -> None:
    found = simulated([replace(ONE, whole=True)] * 2, SECONDS)
    assert [each.rate_ips(SECONDS) for each in found] == pytest.approx([1 / 10e-3] * 2, rel=1e-2)


def test_a_gpu_is_never_used_more_than_whole() -> None:
    found = simulated([ONE] * 5, SECONDS)
    assert sum(each.rate_ips(SECONDS) for each in found) == pytest.approx(1 / 3e-3, rel=1e-2)


def test_what_goes_first_waits_for_at_most_one_piece() -> None:
    for pieces in (1, 4, 100):
        critical, low = simulated([ONE, replace(ONE, pieces=pieces, first=1)], SECONDS)
        assert critical.p99_ms <= 5.0 + 3.0 / pieces + 1e-6
        assert low.rate_ips(SECONDS) > 50.0


def test_in_a_gap_of_the_critical_a_piece_of_best_effort_begins() -> None:
    critical = replace(ONE, pieces=3, gap_s=1e-6)
    low = replace(ONE, host_s=0.0, rest_s=0.0, pieces=30, first=1)
    found = simulated([critical, low], SECONDS)[0]
    assert found.p99_ms == pytest.approx(5.0 + 3 * 0.1, rel=0.03), "one piece before each of three"


def test_even_and_poisson_arrivals_come_at_their_rate() -> None:
    even, poisson = (
        simulated([replace(ONE, rate_ips=50.0, even=each)], 40.0)[0] for each in (True, False)
    )
    assert even.rate_ips(40.0) == pytest.approx(50.0, rel=1e-2)
    assert even.p99_ms == pytest.approx(5.0)
    assert poisson.rate_ips(40.0) == pytest.approx(50.0, rel=0.1)
    assert poisson.p99_ms > 6.0


@pytest.mark.parametrize("segments", ["tensor", "tensor_in_4", "tensor_in_16"])
def test_the_device_model_agrees_with_the_simulation(segments: str) -> None:
    model = model_of("agx_orin_64", MIXES[0], math.inf, ["tensor"])
    placements = single(model.space, range(1))
    placements[0, 1, model.space.device.accelerator_names.index(segments)] = (1, 1)
    predicted = model.response(model.nominal(), placements)
    critical, low = simulated(
        [client(model, 0, 1), *clients_of(model, placements, cut=True)[0]], SECONDS
    )
    rates = [each.rate_ips(SECONDS) for each in (critical, low)]
    assert predicted.throughput_ips[0, 0] == pytest.approx(rates[0], rel=0.12)
    assert predicted.throughput_ips[0, 1] == pytest.approx(rates[1], rel=0.35), (
        "the model takes work to be spread evenly; here the critical fills most of the GPU"
    )
