"""Heat against what can be worked out on paper, and as a runtime lives through it."""

from __future__ import annotations

import numpy as np
import pytest

from envs.catalog.reference_networks import reference_network
from envs.errors import OptionError
from envs.problems.draw import described
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.thermal import Cooling, clock_at, temperature_after
from envs.spec import Configuration, ConfigurationSpace, workload_of

COOLING = Cooling(
    ambient_c=20.0, c_per_w=2.0, time_constant_s=100.0, limit_c=90.0, clock_per_c=0.1, min_clock=0.5
)


def test_it_warms_towards_the_steady_state_as_an_exponential() -> None:
    assert temperature_after(COOLING, 20.0, 30.0, 0.0) == pytest.approx(20.0)
    assert temperature_after(COOLING, 20.0, 30.0, 100.0) == pytest.approx(80.0 - 60.0 / np.e)
    assert temperature_after(COOLING, 50.0, 30.0, 1e6) == pytest.approx(80.0)


def test_two_spans_are_as_good_as_one() -> None:
    halfway = temperature_after(COOLING, 30.0, 40.0, 33.0)
    assert temperature_after(COOLING, halfway, 40.0, 17.0) == pytest.approx(
        temperature_after(COOLING, 30.0, 40.0, 50.0)
    )


def test_clocks_fall_beyond_the_limit_and_no_further_than_the_least() -> None:
    np.testing.assert_allclose(
        clock_at(COOLING, np.array([20.0, 90.0, 92.0, 200.0])), [1.0, 1.0, 0.8, 0.5]
    )


def test_a_cooling_that_cannot_be_names_the_key() -> None:
    with pytest.raises(OptionError, match=r"cooling\.c_per_w"):
        Cooling(c_per_w=0.0)


def test_a_hot_device_serves_less_and_recovers() -> None:
    layers = reference_network("resnet50")
    space = ConfigurationSpace(
        device_of("agx_orin_64", "MAXN"), workload_of([described(layers)]), 4, (1, 8, 64)
    )
    model = DeviceModel(machine_of("agx_orin_64", "MAXN"), space, (layers,))
    busy, idle = (
        Configuration((((instances, batch), (0, 0), (0, 0), (0, 0)),))
        for instances, batch in ((2, 64), (1, 1))
    )
    with SimulatedRuntime(model, cooling=Cooling(ambient_c=45.0, c_per_w=1.6)) as runtime:
        runtime.apply(busy)
        cold = runtime.measure(3.0).throughput_ips[0]
        for _ in range(200):
            hot = runtime.measure(3.0).throughput_ips[0]
        assert runtime.temperature_c > 95.0
        assert hot < 0.95 * cold
        runtime.apply(idle)
        for _ in range(200):
            runtime.measure(3.0)
        runtime.apply(busy)
        assert runtime.measure(3.0).throughput_ips[0] == pytest.approx(cold, rel=0.03)
