"""The limit on agreement while a device serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.graph.layers import read_network_and_layers
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.machine import device_of
from envs.spec import Agreement, ConfigurationSpace, Measurement, workload_of
from tuner.control.build import Assembled, controller_of
from tuner.control.controller import ControlOptions
from tuner.control.events import EventKind
from tuner.control.period import Period
from tuner.device import Device
from tuner.folders import reference_bundle
from tuner.model_at import models_of

#: Of cuda, tensor, dla0 and dla1.
AGREEMENTS = {"cuda": 0.9995, "tensor": 0.995, "dla0": 0.992, "dla1": 0.992}


class Service:
    """A simulated board whose accelerators agree with FP32 as `AGREEMENTS` says."""

    def __init__(self, network: Path, folder: Path) -> None:
        described, layers = read_network_and_layers(network)
        device = device_of("agx_orin_64", "MAXN")
        space = ConfigurationSpace(device, workload_of([described]), 2, (1, 4))
        agreements = {
            (0, column): Agreement(AGREEMENTS[name], "equal classes", 400)
            for column, name in enumerate(space.device.accelerator_names)
        }
        model_at = models_of(space, (layers,))
        runtime = SimulatedRuntime(model_at((float("inf"),)), agreements=agreements)
        self.device = Device(runtime, model_at, agreements=agreements, min_agreement=0.99)
        self.limits = folder / "limits.json"
        self.made: Assembled = controller_of(
            self.device,
            {"p99_ms": 50.0, "min_agreement": 0.99},
            self.limits,
            reference_bundle(),
            folder,
            ControlOptions(1.0),
        )

    def periods(self, count: int) -> list[Period]:
        return [self.made.controller.step() for _ in range(count)]

    def used(self, period: Period) -> set[str]:
        names = self.device.space.device.accelerator_names
        return {names[column] for _, column, _, _ in period.configuration.slots()}


@pytest.fixture
def service(small_onnx: Path, tmp_path: Path) -> Service:
    return Service(small_onnx, tmp_path)


def test_a_higher_limit_leaves_accelerators_out_at_once_and_a_lower_one_brings_them_back(
    service: Service,
) -> None:
    before = service.periods(12)
    assert service.used(before[-1]) - {"cuda"}
    assert all(period.kept for period in before[-4:])
    service.limits.write_text('{"min_agreement": 0.999}')
    after = service.periods(8)
    assert after[0].events[0].kind is EventKind.LIMITS_CHANGED
    assert "agreement >= 0.999" in after[0].events[0].text
    assert all(service.used(period) == {"cuda"} for period in after)
    assert all(period.kept for period in after)
    service.limits.write_text('{"min_agreement": 0.99, "p99_ms": 49}')
    assert service.used(service.periods(12)[-1]) - {"cuda"}


def test_a_limit_that_nothing_keeps_is_said_and_counts_as_broken(service: Service) -> None:
    service.periods(3)
    service.limits.write_text('{"min_agreement": 0.9999}')
    periods = service.periods(3)
    texts = [e.text for e in periods[0].events if e.kind is EventKind.LIMITS_REFUSED]
    assert [text.split(":")[0] for text in texts] == [
        "nothing that can serve keeps min_agreement=0.9999"
    ]
    assert not any(period.kept for period in periods)
    outcome = periods[-1].outcome
    assert isinstance(outcome, Measurement)
    assert outcome.tenants[0].agreement < 0.9999


def test_a_wrong_limit_is_refused_and_the_old_one_stays(service: Service) -> None:
    service.periods(2)
    service.limits.write_text('{"min_agreement": 1.5}')
    (period,) = service.periods(1)
    assert period.events[0].kind is EventKind.LIMITS_REFUSED
    assert "must lie in 0..1" in period.events[0].text
    assert period.objective.min_agreement == 0.99
