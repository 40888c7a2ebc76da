"""The processor's cores of a board, and Edge TPUs, beside GPU and DLAs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.arrays import IntArray
from envs.catalog.edge_tpus import edge_tpu_profile, profiled_networks
from envs.catalog.reference_networks import reference_network
from envs.errors import OptionError
from envs.problems.draw import described
from envs.problems.misfits import TRAIN
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for, with_processor
from envs.simulator.machine import device_of
from envs.simulator.roofline import CALL_S
from envs.simulator.tables import POSITIONS
from envs.spec import ConfigurationSpace, DeviceSpec, accelerator, workload_of

Placed = dict[str, dict[int, tuple[int, int]]]


def model(
    board: str,
    mode: str,
    networks: tuple[str, ...],
    rates: list[float] | None = None,
    processor: bool = True,
    edge_tpus: int = 0,
) -> DeviceModel:
    layers = tuple(reference_network(name) for name in networks)
    workload = workload_of([described(each) for each in layers], rates)
    device = device_of(board, mode, processor, edge_tpus)
    return model_for(ConfigurationSpace(device, workload, 4, (1, 2, 8)), layers)


def placements(of: DeviceModel, *configurations: Placed) -> IntArray:
    found = np.zeros((len(configurations), *of.space.shape, 2), dtype=np.int16)
    names = of.space.device.accelerator_names
    for row, configuration in enumerate(configurations):
        for name, tenants in configuration.items():
            for tenant, pair in tenants.items():
                found[row, tenant, names.index(name)] = pair
    return found


def test_what_runs_on_the_gpu_alone_is_predicted_as_without_a_processor_or_edge_tpus() -> None:
    networks = ("mobilenet_v2", "inception_v4")
    bare = model("xavier_nx", "15W", networks, [30.0, np.inf], processor=False)
    full = model("xavier_nx", "15W", networks, [30.0, np.inf], edge_tpus=2)
    assert (bare.positions, full.positions) == (POSITIONS, 8)
    asked: tuple[Placed, ...] = (
        {"tensor": {0: (1, 1), 1: (2, 8)}},
        {"cuda": {0: (1, 2)}, "dla0": {1: (1, 1)}, "dla1": {0: (2, 2)}},
    )
    one, other = (each.response(each.nominal(), placements(each, *asked)) for each in (bare, full))
    for name in ("throughput_ips", "p50_ms", "p99_ms", "rails_w"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_last_resort_changes_no_unknown_of_a_board() -> None:
    bare = model("agx_orin_64", "MAXN", ("resnet50",), processor=False)
    device = bare.space.device
    device = replace(device, accelerators=(*device.accelerators, accelerator("cpu_fp32")))
    column = len(device.accelerators) - 1
    space = replace(bare.space, device=device, unavailable=frozenset({(0, column)}))
    kept = replace(bare, machine=with_processor(bare.machine, space), space=space)
    assert kept.unknown_count == bare.unknown_count
    asked = placements(kept, {"tensor": {0: (1, 1)}, "cpu_fp32": {0: (1, 1)}})
    found = kept.response(kept.drawn(np.random.default_rng(1), 2), asked)
    alone = bare.response(bare.drawn(np.random.default_rng(1), 2), asked[:, :, :-1])
    np.testing.assert_array_equal(found.throughput_ips, alone.throughput_ips)


def test_resnet50_on_twelve_cores_has_the_published_rate_and_power() -> None:
    board = model("agx_orin_64", "MAXN", ("resnet50",))
    found = board.response(board.nominal(), placements(board, {"cpu_fp32": {0: (1, 1)}}))
    assert 30.6 < found.throughput_ips[0, 0] < 34.9
    # 40.9 W at the wall against 14.9 W before, whose supply loses a tenth.
    rise_w = float(found.power_w[0]) - sum(board.machine.idle_w)
    assert rise_w == pytest.approx((40.9 - 14.9) / 1.1, rel=0.2)


def test_the_host_of_the_gpu_and_the_cores_slow_each_other() -> None:
    board = model("xavier_nx", "10W", ("mobilenet_v2",))
    cpu, gpu, both = (
        {"cpu_fp32": {0: (2, 1)}},
        {"tensor": {0: (2, 1)}},
        {"cpu_fp32": {0: (2, 1)}, "tensor": {0: (2, 1)}},
    )
    rates = board.response(board.nominal(), placements(board, cpu, gpu, both))
    alone_cpu, alone_gpu, total = rates.throughput_ips[:, 0]
    assert max(alone_cpu, alone_gpu) < total < alone_cpu + alone_gpu
    # Everybody has as much longer as the cores that are wanted outnumber those that there are.
    assert total > 0.8 * (alone_cpu + alone_gpu)


def test_more_instances_share_out_the_cores_and_gain_what_threads_lose() -> None:
    board = model("agx_orin_64", "MAXN", ("resnet50",))
    asked = placements(board, {"cpu_fp32": {0: (1, 1)}}, {"cpu_fp32": {0: (4, 1)}})
    one, four = board.response(board.nominal(), asked).throughput_ips[:, 0]
    exponent = float(board.nominal().threads_exponent[0])
    assert four / one == pytest.approx(4 ** (1 - exponent), rel=0.01)


@pytest.mark.parametrize("name", ["mobilenet_v2", "inception_v4"])
def test_one_tenant_of_an_edge_tpu_pays_no_swap(name: str) -> None:
    board = model("xavier_nx", "15W", (name,), edge_tpus=1)
    asked = placements(board, {"edgetpu0": {0: (1, 1)}}, {"edgetpu0": {0: (2, 1)}})
    one, two = board.response(board.nominal(), asked).throughput_ips[:, 0]
    service_s = edge_tpu_profile(name).service_s
    assert one == pytest.approx(1 / (service_s + CALL_S), rel=1e-4)
    assert two == pytest.approx(1 / service_s, rel=1e-4)


def test_two_tenants_of_an_edge_tpu_swap_at_every_sample() -> None:
    names = ("mobilenet_v2", "inception_v4")
    board = model("xavier_nx", "15W", names, edge_tpus=2)
    both, apart = (
        {"edgetpu0": {0: (1, 1), 1: (1, 1)}},
        {"edgetpu0": {0: (1, 1)}, "edgetpu1": {1: (1, 1)}},
    )
    found = board.response(board.nominal(), placements(board, both, apart)).throughput_ips
    profiles = [edge_tpu_profile(name) for name in names]
    whole_s = sum(each.service_s + each.swap_s for each in profiles)
    np.testing.assert_allclose(found[0], 1 / whole_s, rtol=1e-4)
    np.testing.assert_allclose(
        found[1], [1 / (each.service_s + CALL_S) for each in profiles], rtol=1e-4
    )


def test_two_instances_of_one_tenant_swap_less_often() -> None:
    board = model("xavier_nx", "15W", ("mobilenet_v2", "inception_v4"), edge_tpus=1)
    asked = placements(board, {"edgetpu0": {0: (2, 1), 1: (1, 1)}})
    found = board.response(board.nominal(), asked).throughput_ips[0]
    small, large = (edge_tpu_profile(name) for name in ("mobilenet_v2", "inception_v4"))
    # In a random order of three, the batch before one of the two is the other one's half the time.
    round_s = 2 * (small.service_s + small.swap_s / 2) + large.service_s + large.swap_s
    np.testing.assert_allclose(found, [2 / round_s, 1 / round_s], rtol=1e-4)


def test_arrivals_at_an_edge_tpu_are_served_as_long_as_it_can() -> None:
    names = ("mobilenet_v2", "inception_v4")
    for rates, served in (([9.0, 3.0], True), ([9.0, 12.0], False)):
        board = model("xavier_nx", "15W", names, rates, edge_tpus=1)
        asked = placements(board, {"edgetpu0": {0: (1, 1), 1: (1, 1)}})
        found = board.response(board.nominal(), asked)
        np.testing.assert_array_equal(
            np.isclose(found.throughput_ips[0], rates, rtol=0.01).all(), served
        )
        assert (found.p99_ms[0] > found.p50_ms[0]).all()


def test_a_plain_computer_keeps_its_cores_to_itself_beside_edge_tpus() -> None:
    layers = (reference_network("mobilenet_v2"),)
    names = ("cpu_fp32", "cpu_int8", "edgetpu0")
    device = DeviceSpec("plain", tuple(accelerator(name) for name in names), 4, 1e6)
    space = ConfigurationSpace(device, workload_of([described(layers[0])]), 2, (1, 2))
    plain = model_for(space, layers)
    assert plain.machine.plain
    assert not plain.has_power
    cpu, tpu, both = (
        {"cpu_fp32": {0: (2, 1)}},
        {"edgetpu0": {0: (1, 1)}},
        {"cpu_fp32": {0: (2, 1)}, "edgetpu0": {0: (1, 1)}},
    )
    rates = plain.response(plain.nominal(), placements(plain, cpu, tpu, both)).throughput_ips[:, 0]
    assert rates[2] == pytest.approx(rates[0] + rates[1], rel=1e-5)


def test_a_network_without_published_times_is_refused_by_name() -> None:
    assert "resnet50" not in profiled_networks()
    with pytest.raises(OptionError, match="nobody has published what resnet50 takes"):
        model("xavier_nx", "15W", ("resnet50",), edge_tpus=1)


def test_drawn_edge_tpus_are_alike_and_cores_differ_by_network() -> None:
    board = model("xavier_nx", "15W", ("mobilenet_v2", "inception_v4"), edge_tpus=2)
    drawn = board.drawn(np.random.default_rng(3), 200)
    own_s = drawn.table[3]
    np.testing.assert_array_equal(own_s[:, :, 6], own_s[:, :, 7])
    ratio = np.log(own_s[:, 0, 4, 0] / own_s[:, 1, 4, 0])
    assert ratio.std() > 0.5  # the root of 2 times NETWORK_SPREAD, and what layers add
    for kind, draw in TRAIN.items():
        misfit = draw(board, np.random.default_rng(5))
        assert misfit.apply(drawn).table.shape == drawn.table.shape, kind
