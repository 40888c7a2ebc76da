"""Tenants come and go live without a lost request; what the simulated scenarios count is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.dynamic_client import TenantClient
from benchmarks.dynamic_scenarios import SCENARIOS, Phase
from benchmarks.dynamic_simulated import good_of, share_within
from benchmarks.setup import REFERENCE_BUNDLE, invented_samples
from envs.catalog.architectures import build
from envs.errors import RuntimeFault
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.queue import clock
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, Measurement, Objective, Origin, TenantMeasurement
from envs.spec.change_cost import DELAYED_SHARE
from tuner.control.controller import ControlOptions
from tuner.control.guard import Phase as Why
from tuner.control.period import Period
from tuner.control.tenants import TenantControl
from tuner.device import open_device

RATE_IPS = 20.0


def test_a_tenant_comes_and_goes_live_without_a_lost_request(tmp_path: Path) -> None:
    paths = []
    for name, classes in (("first", 10), ("second", 12)):
        paths.append(tmp_path / f"{name}.onnx")
        onnx.save(build("squeezenet1_1", image_size=64, classes=classes), paths[-1])
    samples = [invented_samples(path, tmp_path)["samples"][0] for path in paths]
    limits = tmp_path / "limits.json"
    with open_device(
        paths,
        optional=True,
        max_instances=1,
        batches=[1],
        samples=samples,
        min_agreement=0.0,
        rate_ips=[RATE_IPS, RATE_IPS],
        serving=ServingOptions(outside=True, warmup_s=0.05, timeout_s=60.0),
    ) as device:
        runtime = device.runtime
        assert isinstance(runtime, ServingRuntime)
        given = {"active": ["first"], "p99_ms": 60_000.0}
        options = ControlOptions(0.2)
        control = TenantControl(device, given, limits, REFERENCE_BUNDLE, tmp_path, options)
        first, second = TenantClient(runtime, 0), TenantClient(runtime, 1)
        control.step()
        began_s = clock()
        first.start(RATE_IPS)
        periods = [control.step() for _ in range(3)]
        with pytest.raises(RuntimeFault, match="no instance of second"):
            runtime.submit(1, second.sample)
        limits.write_text(json.dumps({"active": {"second": True}}))
        periods.append(control.step())
        second.start(RATE_IPS)
        periods += [control.step() for _ in range(5)]
        burst = [runtime.submit(1, second.sample) for _ in range(30)]
        second.stop()
        limits.write_text(json.dumps({"active": {"second": False}}))
        periods += [control.step() for _ in range(3)]
        first.stop()
        assert all(future.done() and future.exception() is None for future in burst)
        with pytest.raises(RuntimeFault, match="no instance of second"):
            runtime.submit(1, second.sample)
        for client in (first, second):
            counts = client.counts(began_s, clock(), 1e9)
            assert counts.lost == 0
            assert counts.refused == 0
            assert counts.good == counts.due > 0
    served = [{slot[0] for slot in period.configuration.slots()} for period in periods]
    assert served == [{0}] * 3 + [{0, 1}] * 6 + [{0}] * 3
    assert all(isinstance(period.outcome, Measurement) for period in periods)
    came = periods[3]
    assert came.expected is not None
    assert came.expected.seconds > 0
    assert isinstance(came.outcome, Measurement)
    assert came.outcome.change_requests >= 0


def period(ips: tuple[float, ...], p99_ms: float, apply_s: float, instances: int) -> Period:
    tenants = tuple(TenantMeasurement(each, 1.0, 2.0, p99_ms, 1.0, 9.0, 10) for each in ips)
    outcome = Measurement(tenants, 3.0, Origin.SIMULATED, apply_s=apply_s)
    rows = np.array([[(instances, 1)]] * len(ips))
    objective = Objective((10.0,) * len(ips))
    return Period(
        *(1, 0.0, Why.HOLDING, Configuration.of(rows), outcome, objective, True, 1.0, 0.0, 1.0, ())
    )


def test_the_old_placement_answers_while_a_change_lasts() -> None:
    before = period((100.0, 50.0), 5.0, 0.0, 1)
    after = period((120.0, 50.0), 5.0, 2.0, 2)
    good, took_s = good_of([after], before, Phase((0, 1)), (10.0, 10.0))
    assert took_s == 5.0
    assert good == pytest.approx(0.99 * (3 * 170 + 2 * (1 - DELAYED_SHARE.value) * 150))
    good, _ = good_of([after], before, Phase((1,)), (10.0, 10.0))
    assert good == pytest.approx(0.99 * (3 * 50 + 2 * (1 - DELAYED_SHARE.value) * 50))


def test_only_requests_surely_within_their_limit_count() -> None:
    assert [share_within(1.0, 2.0, 3.0, limit) for limit in (3.0, 2.5, 1.5, 0.5)] == [
        *(0.99, 0.95, 0.5, 0.0)
    ]


def test_the_scenarios_are_six_and_each_changes_something() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == 6
    for scenario in SCENARIOS:
        for one, other in zip(scenario.phases[:-1], scenario.phases[1:], strict=True):
            assert one != other
