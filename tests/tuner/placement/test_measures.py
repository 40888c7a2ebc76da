"""Measures of shared devices have the values that their definitions give on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import ConfigurationSpace, Objective, workload_of
from tuner.placement.measures import (
    average_normalised_turnaround,
    calibrated_counts,
    fairness,
    inferences_per_joule,
    overlap,
    overlap_warning,
    rates_alone,
    system_throughput,
)

RATES = arrays(np.float64, 3, elements=st.floats(0.1, 1e4))


def test_two_tenants_at_half_their_speed_are_worth_one_device() -> None:
    shared, alone = np.array([50.0, 5.0]), np.array([100.0, 10.0])
    assert system_throughput(shared, alone) == pytest.approx(1.0)
    assert average_normalised_turnaround(shared, alone) == pytest.approx(2.0)
    assert fairness(shared, alone) == pytest.approx(1.0)


def test_a_tenant_that_gets_everything() -> None:
    shared, alone = np.array([100.0, 0.0]), np.array([100.0, 10.0])
    assert system_throughput(shared, alone) == pytest.approx(1.0)
    assert average_normalised_turnaround(shared, alone) == math.inf
    assert fairness(shared, alone) == pytest.approx(0.5)


@given(RATES, RATES)
def test_measures_agree_with_each_other(shared: np.ndarray, alone: np.ndarray) -> None:
    throughput, fair = system_throughput(shared, alone), fairness(shared, alone)
    turnaround = average_normalised_turnaround(shared, alone)
    assert 1 / 3 - 1e-9 <= fair <= 1 + 1e-9
    # The mean of the inverses is never below the inverse of the mean.
    assert turnaround * throughput / 3 >= 1 - 1e-9
    assert system_throughput(2 * shared, alone) == pytest.approx(2 * throughput)
    assert fairness(2 * shared, alone) == pytest.approx(fair)
    order = [2, 0, 1]
    assert system_throughput(shared[order], alone[order]) == pytest.approx(throughput)


def test_inferences_per_joule() -> None:
    assert inferences_per_joule(np.array([30.0, 20.0]), np.array(25.0)) == pytest.approx(2.0)
    assert np.isnan(inferences_per_joule(np.array([30.0]), np.array(np.nan)))


def test_windows_that_overlap() -> None:
    assert overlap(np.array([0.0, 0.0]), np.array([3.0, 3.0])) == 1.0
    assert overlap(np.array([0.0, 1.0]), np.array([4.0, 3.0])) == pytest.approx(0.5)
    assert overlap(np.array([0.0, 5.0]), np.array([4.0, 6.0])) == 0.0
    assert overlap_warning(np.array([0.0, 0.1]), np.array([3.0, 3.1])) == ""
    assert "overlap by 50 %" in overlap_warning(np.array([0.0, 1.0]), np.array([4.0, 3.0]))


@given(st.lists(st.floats(1.0, 1e3), min_size=1, max_size=5), st.floats(0.5, 30.0))
def test_calibrated_windows_overlap(rates: list[float], window_s: float) -> None:
    counts = calibrated_counts(np.array(rates), window_s)
    lasts = np.array(counts) / np.array(rates)
    assert min(counts) >= 1
    assert (np.abs(lasts - window_s) <= 1.0 / np.array(rates) + 1e-9).all()


def test_the_rate_alone_is_the_best_of_all_configurations_of_one_tenant() -> None:
    layers = tuple(reference_network(name) for name in ("resnet50", "mobilenet_v2"))
    workload = workload_of([described(each) for each in layers])
    space = ConfigurationSpace(device_of("orin_nano_8", "MAXN_SUPER"), workload, 3, (1, 4, 16))
    model, objective = model_for(space, layers), Objective((20.0, 5.0), 30.0)
    found = rates_alone(model, objective)
    for tenant in range(2):
        own = model.of_tenants([tenant])
        logs = own.logarithms(own.nominal(), own.space.catalogue)[0]
        kept = (logs[1] <= np.log(objective.p99_ms[tenant])) & (logs[2] <= np.log(30.0))
        assert kept.any()
        assert found[tenant] == pytest.approx(np.exp(logs[0, kept].max()))
