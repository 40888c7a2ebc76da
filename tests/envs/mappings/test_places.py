"""Mappings that become places of a device."""

import numpy as np
import pytest

from envs.catalog.reference_networks import reference_groups, reference_network
from envs.mappings.model_costs import group_costs
from envs.mappings.places import mapping_names
from envs.problems.draw import described, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of, machine_of
from envs.simulator.parameters import nominal
from envs.spec import ConfigurationSpace, Mapping, Tenant, Workload, accelerator


def test_mappings_stand_on_both_dla_cores_and_fit_their_network() -> None:
    groups, device = reference_groups("vgg11"), device_of("orin_nx_16", "MAXN")
    names = mapping_names(groups, device, machine_of("orin_nx_16", "MAXN"))
    assert 2 <= len(names) <= 8
    assert {name.replace("dla0", "dla1") for name in names} <= set(names)
    for name in names:
        assert len(Mapping.parse(name).by_group(len(groups))) == len(groups)
    assert len(mapping_names(groups, device, machine_of("orin_nx_16", "MAXN"), most=1)) == 1
    nano = device_of("orin_nano_8", "MAXN_SUPER")  # a board without DLAs
    for name in mapping_names(groups, nano, machine_of("orin_nano_8", "MAXN_SUPER")):
        assert set(Mapping.parse(name).accelerators) == {"tensor", "cuda"}


@pytest.mark.parametrize("network", ["googlenet", "vgg19"])
@pytest.mark.parametrize("batch", [1, 8])
def test_an_instance_alone_takes_what_the_layer_groups_cost(network: str, batch: int) -> None:
    groups, mapping = reference_groups(network), Mapping(("tensor", "dla0", "tensor"), (2, 9))
    board, parameters = device_of("agx_orin_64", "MAXN"), nominal("ampere")
    machine = machine_of("agx_orin_64", "MAXN")
    parts = [accelerator(name) for name in ("tensor", "dla0")]
    by_group = group_costs(groups, parts, machine, parameters, batch)
    chosen = [by_group.accelerators.index(each) for each in mapping.by_group(len(groups))]
    space = ConfigurationSpace(
        board, Workload((Tenant("net", described(reference_network(network))),)), 1, (1, 8)
    ).with_mappings([[mapping.name]])
    model = model_for(space, (reference_network(network),))
    placements = np.zeros((1, *space.shape, 2), dtype=np.int16)
    placements[0, 0, -1] = (1, batch)
    found = model.response(model.nominal(), placements)
    time_s, energy_j = by_group.of(chosen)
    assert found.p50_ms[0, 0] == pytest.approx(1e3 * time_s, rel=1e-3)
    per_batch_j = found.power_w[0] * batch / found.throughput_ips[0, 0]
    assert per_batch_j == pytest.approx(energy_j, rel=1e-2)


def test_a_drawn_problem_has_the_same_device_and_limits_with_mappings() -> None:
    drawn = draw_problem(
        DrawOptions(networks=["vgg11"], split="held_out"), np.random.default_rng(2)
    )
    wider = drawn.with_mappings([["dla0_to_10_tensor"]])
    whole = drawn.model.positions
    assert wider.model.space.shape[1] == drawn.model.space.shape[1] + 1
    assert wider.objective == drawn.objective
    same = np.array_equal(wider.truth.table[:, :, :, :whole], drawn.truth.table, equal_nan=True)
    assert same
