import math
from dataclasses import replace

import pytest

from cluster.placement.nodes import Place
from cluster.profiles import (
    Point,
    answer_profile,
    front,
    loss_beside_others,
    node_kind,
    replayed_profile,
    simulated_profile,
)
from envs.catalog.reference_networks import reference_network
from envs.errors import OptionError
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.spec import ConfigurationSpace, Origin, workload_of
from envs.traces.reader import BUILT_IN, read_trace
from tuner import optimize

POINT = Point("n", "tensor 1x1", ("gpu",), 1, 1, 100.0, 10.0, 20.0, 500.0, 0.99, Origin.MEASURED)


def model_of(network: str = "resnet50") -> DeviceModel:
    table, device = reference_network(network), device_of("orin_nx_16", "25W")
    space = ConfigurationSpace(device, workload_of([described(table)]), 1, (1, 4))
    return DeviceModel(machine_of("orin_nx_16", "25W"), space, (table,))


def test_the_front_holds_what_nothing_beats() -> None:
    faster = replace(POINT, configuration="faster", rate_ips=120.0)
    frugal = replace(POINT, configuration="frugal", power_w=15.0)
    unread = replace(POINT, configuration="unread", power_w=math.nan)
    elsewhere = replace(POINT, configuration="dla0 1x1", resources=("dla0",), rate_ips=1.0)
    assert front([POINT, faster, frugal, unread, elsewhere]) == (faster, frugal, elsewhere)
    assert [each.configuration for each in front([unread])] == ["unread"]


def test_windows_of_one_configuration_count_as_their_mean() -> None:
    (found,) = front([POINT, replace(POINT, rate_ips=110.0, p99_ms=12.0)])
    assert (found.rate_ips, found.p99_ms) == (105.0, 11.0)


def test_a_profile_by_the_model_is_simulated_and_says_what_a_batch_takes() -> None:
    model = model_of()
    points = simulated_profile(model)
    assert {each.origin for each in points} == {Origin.SIMULATED}
    one = next(each for each in points if each.configuration == "tensor 1x4")
    assert (one.resources, one.instances, one.batch) == (("gpu",), 1, 4)
    assert one.batch_s == pytest.approx(4 / one.rate_ips)
    assert math.isnan(one.agreement)
    several = next(each for each in points if len(each.resources) > 1)
    assert math.isnan(several.batch_s)
    kind = node_kind("nx", model.space, points, sum(model.machine.idle_w))
    assert kind.places == (Place("gpu", True), Place("dla0", False), Place("dla1", False))
    assert {engine.place for engine in kind.engines["resnet50"]} == {"gpu", "dla0", "dla1"}
    assert all(engine.energy_j > 0 for engine in kind.engines["resnet50"])
    assert kind.memory_mib == model.space.device.memory_mib


def test_what_engines_lose_beside_each_other_slows_batches() -> None:
    model = model_of()
    loss = loss_beside_others(model)
    assert loss > 1
    points = simulated_profile(model)
    alone, beside = (
        node_kind("nx", model.space, points, loss=each).engines["resnet50"][0]
        for each in (None, {"resnet50": loss})
    )
    assert beside.batch_s == pytest.approx(loss * alone.batch_s)


def test_a_profile_of_a_recording_is_replayed() -> None:
    trace = read_trace(BUILT_IN / "agx_orin_resnet50.parquet")
    points = replayed_profile(trace)
    assert points
    assert {each.origin for each in points} == {Origin.REPLAYED}
    fastest = max(points, key=lambda each: each.rate_ips)
    assert fastest.rate_ips == pytest.approx(trace.batch.throughput_ips.max())


def test_a_profile_of_an_answer_has_what_was_measured() -> None:
    answer = optimize(
        runtime="replayed", trace="agx_orin_resnet50", allow_uncalibrated=True, measurements=4
    )
    points = answer_profile(answer)
    measured = {str(answer.problem.space.describe(each)) for each, _ in answer.tried}
    assert points
    assert {each.origin for each in points} == {Origin.REPLAYED}
    assert len(points) <= len(measured)


def test_a_profile_is_of_one_network() -> None:
    one = reference_network("resnet50")
    networks = [described(one), described(replace(one, name="other"))]
    space = ConfigurationSpace(device_of("orin_nx_16", "25W"), workload_of(networks), 1, (1,))
    model = DeviceModel(machine_of("orin_nx_16", "25W"), space, (one, replace(one, name="other")))
    with pytest.raises(OptionError, match="a profile is of one network, and this one has"):
        simulated_profile(model)
    with pytest.raises(OptionError, match="no configuration with one instance"):
        node_kind("nx", space, [])
