"""Costs of layer groups: together they are the network's, and transitions cost what they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_groups, reference_names, reference_network
from envs.errors import OptionError
from envs.graph.layer_table import LAYER_KINDS, LayerTable
from envs.mappings.model_costs import group_costs, merged, whole_costs
from envs.simulator.machine import Machine, machine_of, plain_machine
from envs.simulator.mapping_costs import divide
from envs.simulator.parameters import NAMES, SOFTWARE, ParameterSet, drawn, nominal
from envs.simulator.rail_energy import module_joules
from envs.simulator.response import respond
from envs.simulator.tables import contexts_of, position_of
from envs.spec import Mapping, accelerator

BOARDS = (
    ("agx_xavier", "MAXN", "fp16"),
    ("agx_orin_64", "MAXN", "int8"),
    ("orin_nx_16", "15W", "int8"),
)
ON_BOARD = [accelerator(name) for name in ("cuda", "tensor", "dla0", "dla1")]
ON_CORES = [accelerator(name) for name in ("cpu_fp32", "cpu_int8")]


def board(place: tuple[str, str, str], native: bool = True) -> Machine:
    name, mode, precision = place
    return machine_of(name, mode, precision, precision, native)


@given(
    st.sampled_from(reference_names()),
    st.sampled_from(BOARDS),
    st.booleans(),
    st.integers(1, 16),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_all_groups_on_one_accelerator_cost_as_the_whole_network(
    name: str, place: tuple[str, str, str], native: bool, batch: int, seed: int
) -> None:
    machine, groups = board(place, native), reference_groups(name)
    normals = np.random.default_rng(seed).standard_normal((1, len(NAMES)))
    parameters = drawn(machine.architecture, normals)
    costs = group_costs(groups, ON_BOARD, machine, parameters, batch)
    time_s, energy_j = whole_costs(groups, ON_BOARD, machine, parameters, batch)
    takes_all = reference_network(name).dla.all()
    for at in range(len(ON_BOARD)):
        found = costs.of([at] * len(groups))
        if at >= 2 and not takes_all:
            assert found == (np.inf, np.inf)
        else:
            assert found == pytest.approx((time_s[at], energy_j[at]), rel=1e-9)


def alone(
    machine: Machine, layers: LayerTable, name: str, batch: int, parameters: ParameterSet
) -> tuple[float, float]:
    """Return the time and the energy of a batch of a single instance in the simulator."""
    chosen = accelerator(name)
    contexts = contexts_of(machine, [chosen], [layers], (batch,), parameters)
    instances = np.zeros((1, 1, contexts.positions), dtype=np.int64)
    instances[0, 0, position_of(chosen, plain=machine.plain)] = 1
    found = respond(contexts, np.zeros(1, dtype=np.int64), instances, np.zeros_like(instances))
    time_s = found.p50_ms[0, 0] / 1e3
    return time_s, found.power_w[0] * batch / found.throughput_ips[0, 0]


@pytest.mark.parametrize("place", BOARDS)
@pytest.mark.parametrize("name", ["googlenet", "resnet50", "vgg19"])
def test_time_and_energy_are_those_of_an_instance_alone_in_the_simulator(
    place: tuple[str, str, str], name: str
) -> None:
    machine = replace(board(place), max_power_w=1e3)  # energies know no limit of power
    groups, batch = reference_groups(name), 4
    parameters = nominal(machine.architecture)
    used = [accelerator(each) for each in ("tensor", "dla0")]
    costs = group_costs(groups, used, machine, parameters, batch)
    for at, each in enumerate(used):
        expected = alone(machine, reference_network(name), each.name, batch, parameters)
        assert costs.of([at] * len(groups)) == pytest.approx(expected, rel=1e-4)


def test_a_plain_computer_takes_as_long_as_in_the_simulator() -> None:
    machine, groups = plain_machine(2), reference_groups("resnet18")
    parameters = nominal("cpu")
    costs = group_costs(groups, ON_CORES, machine, parameters)
    for at, each in enumerate(ON_CORES):
        expected_s, _ = alone(machine, reference_network("resnet18"), each.name, 1, parameters)
        time_s, energy_j = costs.of([at] * len(groups))
        assert time_s == pytest.approx(expected_s, rel=1e-4)
        assert 0 < energy_j < np.inf
    fp32, int8 = costs.of([0] * len(groups))[0], costs.of([1] * len(groups))[0]
    half = len(groups) // 2
    both = costs.of([1] * half + [0] * (len(groups) - half))[0]
    assert int8 < both < fp32 + int8


def test_a_dla_takes_no_group_that_it_does_not_run_whole() -> None:
    groups = reference_groups("squeezenet1_1")  # its last pool covers 13 x 13 pixels
    machine = board(BOARDS[1])
    costs = group_costs(groups, ON_BOARD, machine, nominal("ampere"))
    taken = [bool(layers.dla.all()) for layers in groups]
    assert taken.count(False) == 1
    assert np.isfinite(costs.time_s[:, 2]).tolist() == taken
    assert np.isfinite(costs.energy_j[:, 2]).tolist() == taken
    assert costs.bytes[~np.array(taken), 2] == 0
    time_s, _ = whole_costs(groups, ON_BOARD, machine, nominal("ampere"))
    assert np.isfinite(time_s).all()


def layer(kind: str, elements: float, weights: float = 100.0) -> LayerTable:
    multiplies = float(kind in ("conv", "matmul"))
    one = np.ones(1)
    return LayerTable(
        name="made",
        kind=np.array([LAYER_KINDS.index(kind)]),
        macs=one * elements * 9 * multiplies,
        weights=one * weights,
        reads=one * elements,
        writes=one * elements,
        reduction=one * 9 * multiplies,
        channels=one * multiplies,
        dla=one > 0,
        inputs=elements,
        outputs=elements,
    )


def transitions(
    groups: Sequence[LayerTable], machine: Machine, parameters: ParameterSet, batch: int = 1
) -> FloatArray:
    found = group_costs(groups, ON_BOARD, machine, parameters, batch)
    return np.asarray(found.transition_s[1])


def simple() -> ParameterSet:
    """Return parameters for which a transition is calculated by hand."""
    return nominal("ampere").with_values(
        kernel_floor_us=10.0,
        engine_slowdown=1.0,
        bandwidth_efficiency=0.5,
        dla_bandwidth_gb_s=100.0,
        dla_task_us=200.0,
        dla_layer_us=7.0,
        reformat_passes=3.0,
        dla_hold=0.5,
    )


def test_a_transition_is_a_pass_of_the_gpu_the_srams_content_and_a_task() -> None:
    machine = replace(
        board(BOARDS[1]), gpu_ghz=1.3, dla_ghz=1.6, dram_byte_s=204.8e9, tensor_bytes=2
    )
    groups = [layer("matmul", 1e5), layer("elementwise", 1e5)]
    found = transitions(groups, machine, simple(), batch=2) * 1e6
    # 2 samples of 100 000 elements: 2 bytes each on Tensor Cores, 1 on a DLA, 4 on CUDA cores.
    dram, dla = 204.8e3 * 0.5, 100e3  # bytes a microsecond
    assert found[1, 2] == pytest.approx(10 + 6e5 / dram + 2e5 / dla + 200)
    assert found[2, 1] == pytest.approx(10 + 6e5 / dram + 2e5 / dla)
    assert found[0, 1] == found[1, 0] == pytest.approx(10 + 12e5 / dram)
    assert found[2, 3] == found[3, 2] == np.inf
    assert np.diag(found).tolist() == [0, 0, 0, 0]

    linear = transitions(groups, replace(machine, dla_native=False), simple(), batch=2) * 1e6
    on_dla = 2e5 / dla
    reformatted = 3 * 2e5 * 8 / dram
    assert linear[2, 1] == pytest.approx(10 + reformatted + 1.5 * on_dla)
    assert linear[1, 2] == pytest.approx(10 + reformatted + 1.5 * (on_dla + 200))


def test_a_tensor_larger_than_the_sram_is_counted_once() -> None:
    machine = board(BOARDS[1])
    sizes = (1e6, 2e6, 3e6)
    found = [
        transitions([layer("matmul", size), layer("elementwise", size)], machine, simple())[2, 1]
        for size in sizes
    ]
    # Beyond 1 MiB only the pass of the GPU grows.
    assert found[2] - found[1] < found[1] - found[0]
    grown = 2 * 1e6 / (machine.dram_byte_s * 0.5)
    assert found[2] - found[1] == pytest.approx(grown)


def test_a_pool_that_is_parted_from_its_convolution_costs_a_layer_more() -> None:
    machine = board(BOARDS[1])
    kept = transitions([layer("conv", 1e4), layer("elementwise", 1e4)], machine, simple(), 3)
    broken = transitions([layer("conv", 1e4), layer("pool", 1e4)], machine, simple(), 3)
    after = transitions([layer("pool", 1e4), layer("conv", 1e4)], machine, simple(), 3)
    more = broken - np.where(np.isfinite(kept), kept, 0)
    for pair in ((1, 2), (2, 1)):
        assert more[pair] == pytest.approx(3 * 7e-6 * 1.6 / machine.dla_ghz)
        assert after[pair] == pytest.approx(kept[pair])
    assert more[0, 1] == 0


def test_the_energy_of_a_mapping_is_a_modules_power_over_its_time() -> None:
    machine, groups = board(BOARDS[1]), reference_groups("resnet50")
    costs = group_costs(groups, ON_BOARD, machine, nominal("ampere"))
    time_s, energy_j = costs.of([1] * 10 + [2] * (len(groups) - 10))
    rest_w = sum(machine.idle_w) * nominal("ampere").idle_scale[0]
    assert energy_j > rest_w * time_s
    assert energy_j < machine.max_power_w * time_s
    assert (costs.transition_j[1:, 1, 2] > rest_w * costs.transition_s[1:, 1, 2]).all()


@pytest.mark.parametrize("most", [1, 3, 7, 200])
def test_merged_groups_have_the_costs_of_their_parts(most: int) -> None:
    groups = reference_groups("googlenet")
    costs = group_costs(groups, ON_BOARD, board(BOARDS[0]), nominal("volta"))
    fewer, starts = merged(costs, most)
    assert fewer.groups == len(starts) == min(most, len(groups))
    chosen = [1 + index % 2 for index in range(fewer.groups)]
    bounds = [*starts.tolist(), len(groups)]
    spread = np.repeat(chosen, np.diff(bounds))
    assert fewer.of(chosen) == pytest.approx(costs.of(spread))
    assert fewer.layers.sum() == costs.layers.sum()
    assert (fewer.crossing_bytes == costs.crossing_bytes[starts]).all()
    if 1 < most < len(groups):  # joined groups are of similar size
        assert fewer.time_s[:, 1].max() < 0.7 * costs.time_s[:, 1].sum()


def test_an_engine_that_is_slower_makes_every_group_slower_on_the_gpu() -> None:
    machine, groups = board(BOARDS[0]), reference_groups("googlenet")
    slow = group_costs(groups, ON_BOARD, machine, nominal("volta"))
    fast = group_costs(
        groups, ON_BOARD, machine, nominal("volta").with_values(**SOFTWARE["mlperf"])
    )
    assert (fast.time_s[:, 1] <= slow.time_s[:, 1]).all()
    assert (fast.time_s[:, 2] == slow.time_s[:, 2]).all()


def test_more_than_one_parameter_set_and_other_accelerators_are_refused() -> None:
    groups, machine = reference_groups("alexnet"), board(BOARDS[1])
    two = drawn("ampere", np.zeros((2, len(NAMES))))
    with pytest.raises(OptionError, match="the costs of one parameter set, 2 were given"):
        group_costs(groups, ON_BOARD, machine, two)
    for name in ("edgetpu0", "tensor_in_4"):
        with pytest.raises(OptionError, match=f"{name} runs no layer groups"):
            group_costs(groups, [accelerator(name)], machine, nominal("ampere"))


@given(st.sampled_from(["googlenet", "resnet18", "yolov5s_672"]), st.booleans(), st.data())
@settings(max_examples=30, deadline=None)
def test_a_mapping_costs_what_it_takes_as_a_place_in_the_simulator(
    name: str, native: bool, data: st.DataObject
) -> None:
    machine, groups = board(BOARDS[1], native), reference_groups(name)
    parameters, sizes = nominal("ampere"), np.array([2.0])
    names = ("cuda", "tensor", "dla0")
    costs = group_costs(groups, [accelerator(each) for each in names], machine, parameters, 2)
    stops = data.draw(
        st.lists(st.integers(1, len(groups) - 1), min_size=1, max_size=4, unique=True)
    )
    places = np.searchsorted(sorted(stops), np.arange(len(groups)), side="right") % len(names)
    mapping = Mapping.of_groups(tuple(names[at] for at in places))
    parts = [accelerator(each) for each in mapping.accelerators]
    cost, _ = divide(mapping, parts, groups).cost(machine, sizes, parameters)
    time_s = (cost.host_s + cost.gpu_s + cost.dla_s).item()
    energy_j = module_joules(cost, machine, parameters).item()
    assert costs.of(places) == pytest.approx((time_s, energy_j), rel=1e-9)
