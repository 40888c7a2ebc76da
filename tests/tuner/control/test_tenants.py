"""Tenants come and go on a simulated board: what serves goes on, and nothing is forgotten."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import (
    Agreement,
    Configuration,
    ConfigurationSpace,
    Failure,
    Measurement,
    Objective,
    workload_of,
)
from envs.spec.validity import VALID, judge
from tuner.control.controller import ControlOptions
from tuner.control.events import EventKind
from tuner.control.period import Period
from tuner.control.tenants import TenantControl
from tuner.device import Device
from tuner.folders import reference_bundle
from tuner.model_at import at_rates
from tuner.placement.active_parts import ActiveAgreements
from tuner.placement.newcomers import CHANCE_STEP, Believed, chance_of, placed_beside

LAYERS = tuple(reference_network(name) for name in ("resnet50", "mobilenet_v2", "resnet18"))
RATES_IPS = (200.0, 300.0, 300.0)
P99_MS = [20.0, 10.0, 15.0]
FIRST = ["resnet50"]


def board_space(tenants: int, most: int | None = None) -> ConfigurationSpace:
    device = device_of("agx_orin_64", "30W").with_precisions(["fp16"])
    workload = workload_of(
        [described(each) for each in LAYERS[:tenants]], list(RATES_IPS[:tenants])
    )
    every = frozenset(range(tenants))
    return ConfigurationSpace(device, workload, 2, (1, 4), most, optional=every)


def model_at(rates_ips: tuple[float, ...], most: int | None = None) -> DeviceModel:
    space, layers = board_space(len(rates_ips), most), LAYERS[: len(rates_ips)]
    return model_for(at_rates(space, rates_ips), layers, precision="fp16")


class Service:
    """A control over a simulated board with two tenants, and its limits' file."""

    def __init__(self, folder: Path, most: int | None = None, first: Sequence[str] = FIRST) -> None:
        self.path = folder / "limits.json"
        model = model_at(RATES_IPS[:2], most)
        truth = model.drawn(np.random.default_rng(3), 1)
        self.device = Device(
            SimulatedRuntime(model, truth), lambda rates_ips: model_at(rates_ips, most)
        )
        given = {"p99_ms": P99_MS[:2], "active": list(first)}
        self.control = TenantControl(
            self.device, given, self.path, reference_bundle(), folder, ControlOptions(2.0)
        )

    def tell(self, **limits: Any) -> None:
        self.path.write_text(json.dumps(limits))

    def periods(self, count: int) -> list[Period]:
        return [self.control.step() for _ in range(count)]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def served(period: Period) -> set[int]:
    return {tenant for tenant, _, _, _ in period.configuration.slots()}


def rows(period: Period, *tenants: int) -> tuple[Any, ...]:
    return tuple(period.configuration.placements[tenant] for tenant in tenants)


def events(period: Period) -> list[EventKind]:
    return [event.kind for event in period.events]


def test_a_tenant_comes_beside_what_serves_and_what_was_measured_is_kept(service: Service) -> None:
    before = service.periods(12)
    assert all(served(period) == {0} for period in before)
    service.tell(active={"mobilenet_v2": True})
    came = service.control.step()
    assert EventKind.TENANTS_CHANGED in events(came)
    assert served(came) == {0, 1}
    assert rows(came, 0) == rows(before[-1], 0), "what serves stays where it is"
    assert isinstance(came.outcome, Measurement)
    assert came.outcome.tenants[1].throughput_ips == pytest.approx(RATES_IPS[1], rel=0.1)
    assert came.expected is not None
    assert came.outcome.apply_s == pytest.approx(float(came.expected.seconds))
    assert came.expected.requests > RATES_IPS[1] * came.outcome.apply_s, "all of the newcomer wait"
    beside = service.periods(14)
    assert all(served(period) == {0, 1} for period in beside)
    assert all(period.kept for period in beside[9:])
    service.tell(active={"mobilenet_v2": False})
    gone = service.periods(6)
    assert EventKind.TENANTS_CHANGED in events(gone[0])
    assert all(served(period) == {0} for period in gone)
    known = {period.configuration for period in before}
    assert gone[-1].configuration in known, "measurements of the same tenants are recalled"
    assert [each.number for each in (*before, came, *beside, *gone)] == list(range(1, 34))
    line = gone[-1].as_dict(service.device.space)
    assert line["tenants"]["mobilenet_v2"]["throughput_ips"] == 0
    assert line["tenants"]["mobilenet_v2"]["p99_ms"] is None


def test_a_tenant_that_goes_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    service = Service(tmp_path, first=["resnet50", "mobilenet_v2"])
    before = service.periods(10)[-1]
    service.tell(active={"resnet50": False})
    first = service.control.step()
    assert served(first) == {1}
    assert rows(first, 1) == rows(before, 1)


def test_rates_that_are_told_are_expected_at_once_and_stay_known(service: Service) -> None:
    service.periods(4)
    service.tell(rate_ips={"resnet50": 400.0})
    told = service.control.step()
    assert EventKind.ARRIVALS_CHANGED in events(told)
    assert service.control.now.controller.rates_ips == (400.0,)


def test_a_wrong_file_is_reported_and_changes_nothing(service: Service) -> None:
    service.periods(2)
    service.tell(active={"mobilenet_v2": True}, rate_ips={"resnet50": -1})
    period = service.control.step()
    assert events(period) == [EventKind.LIMITS_REFUSED]
    assert served(period) == {0}


def beside(model: DeviceModel) -> Believed | None:
    """Place the third tenant beside two instances of each of the others on the GPU."""
    placements = np.zeros((*model.space.shape, 2), dtype=np.int16)
    placements[:2, 0] = (2, 4)
    objective = Objective(tuple(P99_MS))
    return placed_beside(model, objective, Configuration.of(placements), [2])


def test_a_newcomer_is_placed_where_limits_are_kept_and_what_serves_stays() -> None:
    model = model_at(RATES_IPS).of_tenants((0, 1, 2))
    found = beside(model)
    assert found is not None
    placements = found.configuration.array()
    assert judge(model.space, placements[None])[0] == VALID
    assert (placements[:2, 0] == (2, 4)).all()
    assert (placements[:2, 1:] == 0).all()
    others = []
    for column, instances, batch in itertools.product(range(3), (1, 2), (1, 4)):
        each = placements.copy()
        each[2] = 0
        each[2, column] = (instances, batch)
        others.append(chance_of(model, Objective(tuple(P99_MS)), Configuration.of(each)))
    assert found.chance >= max(others) - CHANCE_STEP
    assert max(others) > min(others)


def test_a_newcomer_is_not_placed_where_there_is_no_room() -> None:
    model = model_at(RATES_IPS).of_tenants((0, 1, 2))
    assert beside(replace(model, space=replace(model.space, max_total_instances=4))) is None


def test_the_first_placement_needs_no_room_beside_what_serves(tmp_path: Path) -> None:
    service = Service(tmp_path, most=2)
    service.periods(6)
    service.tell(active={"mobilenet_v2": True})
    periods = service.periods(6)
    assert all(served(period) == {0, 1} for period in periods)
    assert not any(isinstance(period.outcome, Failure) for period in periods)


def test_agreements_are_those_of_the_active_tenants() -> None:
    whole = {(0, 1): Agreement(1.0, 8), (2, 0): Agreement(0.9, 8)}
    part = ActiveAgreements(whole, (1, 2))
    assert dict(part) == {(1, 0): whole[2, 0]}
    whole[1, 1] = Agreement(0.8, 8)  # found while it serves
    assert dict(part) == {(1, 0): whole[2, 0], (0, 1): whole[1, 1]}
    assert (0, 0) not in part
