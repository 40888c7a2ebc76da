import math
from dataclasses import replace

import numpy as np
import pytest

from cluster.profiles.learned import contexts_after, engine_points, measured_by
from envs.catalog.reference_networks import reference_network
from envs.errors import OptionError
from envs.problems.draw import described
from envs.problems.problem import Problem
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.window import simulated_window
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Objective,
    Origin,
    Outcome,
    workload_of,
)
from tuner.folders import reference_bundle
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner

LIMIT = Objective((100.0,))


def board(network: str = "resnet50") -> DeviceModel:
    table = reference_network(network)
    device = device_of("orin_nx_16", "25W")
    used = tuple(each for each in device.accelerators if each.name in ("tensor", "dla0", "dla1"))
    space = ConfigurationSpace(
        replace(device, accelerators=used), workload_of([described(table)]), 1, (1, 2, 4)
    )
    return DeviceModel(machine_of("orin_nx_16", "25W"), space, (table,))


class SlowDla:
    """The nominal board with a DLA that takes four times as long, measured without much noise."""

    def __init__(self, model: DeviceModel) -> None:
        self.model, self.asked = model, list[Configuration]()

    def __call__(self, configuration: Configuration) -> Outcome:
        self.asked.append(configuration)
        found = self.model.response(self.model.nominal(), configuration.array()[None])
        if not configuration.array()[0, 0, 0]:
            found = replace(found, throughput_ips=found.throughput_ips / 4, p99_ms=found.p99_ms * 4)
        rng = np.random.default_rng(len(self.asked))
        return simulated_window(self.model, configuration, found, np.array([math.inf]), rng, 0.0)


@pytest.fixture(scope="module")
def measured() -> tuple[DeviceModel, SlowDla, list[tuple[Configuration, Outcome]]]:
    model = board()
    bundle = load_bundle(reference_bundle())
    device = SlowDla(model)

    def policy(problem: Problem) -> LearnedTuner:
        return LearnedTuner(bundle, problem)

    return model, device, list(measured_by(policy, model, LIMIT, device, 8))


def test_the_policy_measures_few_configurations_once_each(
    measured: tuple[DeviceModel, SlowDla, list[tuple[Configuration, Outcome]]],
) -> None:
    _, device, tried = measured
    assert [each for each, _ in tried] == device.asked
    assert len(set(device.asked)) == len(device.asked) <= 8
    alone = [each for each in device.asked if each.total_instances == 1]
    assert {tuple(np.flatnonzero(each.array()[0, :, 0])) for each in alone} >= {(0,), (1,)}


def test_a_dla_that_the_model_overrates_is_found(
    measured: tuple[DeviceModel, SlowDla, list[tuple[Configuration, Outcome]]],
) -> None:
    model, _, tried = measured
    by_model = {e.configuration: e for e in engine_points(model, model.nominal())}
    ours = {
        e.configuration: e for e in engine_points(model, contexts_after(model, tried), tried=tried)
    }
    assert by_model.keys() == ours.keys()
    for name, point in ours.items():
        true = by_model[name].rate_ips / (1 if name.startswith("tensor") else 4)
        assert point.rate_ips == pytest.approx(true, rel=0.25), name
    assert all(each.origin is Origin.SIMULATED for each in ours.values())
    assert {each.resources for each in ours.values()} == {("gpu",), ("dla0",), ("dla1",)}


def test_uncertain_times_are_planned_with_more() -> None:
    model = board()
    draws = model.drawn(np.random.default_rng(0), 64)
    mean, late = (engine_points(model, draws, sigmas) for sigmas in (0.0, 1.0))
    assert all(slow.batch_s > usual.batch_s for usual, slow in zip(mean, late, strict=True))


def test_nothing_is_known_where_every_window_failed() -> None:
    model = board()
    failed = [(model.space.default(), Failure(FailureKind.OUT_OF_MEMORY, "out of memory"))]
    with pytest.raises(OptionError, match="no window could be measured"):
        contexts_after(model, failed)
