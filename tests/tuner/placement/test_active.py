"""The part of the active tenants of a runtime is a runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.runtimes.protocol import Runtime
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.spec import Configuration, ConfigurationFailed, Origin
from envs.testing.runtime_contract import RuntimeContract
from tests.worlds import space
from tuner.placement.active import ActiveTenants


def model() -> DeviceModel:
    return model_for(
        replace(space(3, max_instances=2, batches=(1, 4)), optional=frozenset({0, 1, 2}))
    )


class TestActiveTenants(RuntimeContract):
    origin = Origin.SIMULATED

    @pytest.fixture
    def runtime(self) -> Runtime:
        return ActiveTenants(SimulatedRuntime(model()), (0, 2))


def test_the_others_have_no_instance_and_what_both_serve_is_kept() -> None:
    runtime = SimulatedRuntime(model())
    pair, all_three = ActiveTenants(runtime, (0, 2)), ActiveTenants(runtime, (0, 1, 2))
    two = pair.space.default()
    assert pair.apply(two).created == 2
    assert len(pair.measure(1.0).tenants) == 2
    three = Configuration.of(np.insert(two.array(), 1, two.array()[0], axis=0))
    change = all_three.apply(three)
    assert (change.kept, change.created, change.removed) == (2, 1, 0)
    assert all_three.part(all_three.whole(three)) == three
    assert pair.part(pair.whole(two)) == two
    change = pair.apply(two)
    assert (change.kept, change.created, change.removed) == (2, 0, 1)


def test_an_active_tenant_has_to_be_served() -> None:
    runtime = ActiveTenants(SimulatedRuntime(model()), (0, 2))
    placements = runtime.space.default().array()
    placements[1] = 0
    with pytest.raises(ConfigurationFailed, match="each of the 2 active tenants"):
        runtime.apply(Configuration.of(placements))


def test_tenants_that_must_be_served_cannot_be_left_out() -> None:
    runtime = ActiveTenants(SimulatedRuntime(model_for(space(2))), (0,))
    with pytest.raises(ConfigurationFailed, match="a tenant has no instance"):
        runtime.apply(runtime.space.default())
