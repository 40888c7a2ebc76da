"""Two tenants, each with mappings of its own network among the places of one device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envs.belief.prior import prior_of
from envs.catalog.reference_networks import reference_groups, reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.simulator.tables import COSTS
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Mapping,
    Objective,
    Tenant,
    Workload,
    accelerator,
)
from envs.spec.memory import memory_mib
from envs.spec.validity import LOADABLES, MEMORY, UNAVAILABLE, VALID, judge

#: A DLA takes all of the first one, and all of the second one but for its last group.
NETWORKS = ("googlenet", "squeezenet1_1")

BATCHES = (1, 4)


@st.composite
def names_of(draw: st.DrawFn, network: str) -> str:
    """Draw a mapping that fits a network, with one or two transitions."""
    groups = reference_groups(network)
    dla = draw(st.sampled_from(("dla0", "dla1")))
    gpu = st.sampled_from(("tensor", "cuda"))
    order = draw(
        st.sampled_from(
            [(dla, draw(gpu)), (draw(gpu), dla), (draw(gpu), dla, draw(gpu)), ("cuda", "tensor")]
        )
    )
    cuts = st.integers(1, len(groups) - 1)
    stops = sorted(draw(st.sets(cuts, min_size=len(order) - 1, max_size=len(order) - 1)))
    mapping = Mapping(order, tuple(stops))
    by_group = mapping.by_group(len(groups))
    taken = [layers.dla.all() for layers in groups]
    assume(all(fits or name != dla for fits, name in zip(taken, by_group, strict=True)))
    anyway = tuple(dla if fits else "tensor" for fits in taken)  # the whole network on the DLA
    assume(by_group != anyway)
    return mapping.name


@st.composite
def worlds(draw: st.DrawFn) -> tuple[DeviceModel, tuple[list[str], list[str]]]:
    """Draw a model of two tenants, and the mappings of each."""
    chosen = tuple(
        draw(st.lists(names_of(network), min_size=1, max_size=3, unique=True))
        for network in NETWORKS
    )
    tables = tuple(map(reference_network, NETWORKS))
    workload = Workload(tuple(Tenant(each.name, described(each)) for each in tables))
    space = ConfigurationSpace(device_of("orin_nx_16", "MAXN"), workload, 2, BATCHES)
    space = space.with_mappings(chosen)
    on_dla = [n for n, each in enumerate(space.device.accelerators) if each.dla_parts]
    counts = {(tenant, column): draw(st.integers(2, 9)) for tenant in (0, 1) for column in on_dla}
    device = replace(space.device, memory_mib=draw(st.sampled_from((700.0, 900.0, 15_000.0))))
    blocks = frozenset((*pair, count) for pair, count in counts.items())
    space = replace(space, device=device, blocks=blocks)
    return model_for(space, tables), chosen


def drawn_placements(space: ConfigurationSpace, seed: int, count: int = 200) -> np.ndarray:
    """Draw configurations with few places in use, some of which are closed to their tenant."""
    rng = np.random.default_rng(seed)
    used = rng.random((count, *space.shape)) < 2 / space.shape[1]
    settings_of = space.options[rng.integers(1, len(space.options), used.shape)]
    return np.where(used[..., None], settings_of, 0).astype(np.int16)


@settings(max_examples=40)
@given(made=worlds())
def test_no_place_is_lost_and_each_is_open_to_its_own_tenant_alone(
    made: tuple[DeviceModel, tuple[list[str], list[str]]],
) -> None:
    model, chosen = made
    space = model.space
    names = space.device.accelerator_names
    assert set(names[4:]) == {name for own in chosen for name in own}
    assert len(set(names)) == len(names)
    for name in names[4:]:
        mapping = Mapping.parse(name)
        assert mapping.name == accelerator(name).name == name
        assert Mapping.of_groups(mapping.by_group(30)) == mapping
    assert ConfigurationSpace.from_dict(space.to_dict()) == space
    roomy = replace(space, blocks=frozenset(), device=replace(space.device, memory_mib=1e5))
    for tenant, own in enumerate(chosen):
        for column in range(4, space.shape[1]):
            placements = np.zeros((1, *space.shape, 2), dtype=np.int16)
            placements[0, :, 0] = (1, 1)
            placements[0, tenant, column] = (1, 4)
            fault = VALID if names[column] in own else UNAVAILABLE
            assert judge(roomy, placements) == [fault]
            assert ((tenant, column) in model.divided) == (fault == VALID)
            if fault == VALID:
                assert (roomy.decode(roomy.encode(placements)) == placements).all()
                text = roomy.describe_each(Configuration.of(placements[0]))[tenant]
                assert text == f"{names[0]} 1x1 + {names[column]} 1x4"


@settings(max_examples=40)
@given(made=worlds(), seed=st.integers(0, 999))
def test_a_configuration_is_valid_where_all_its_tenants_fit_together(
    made: tuple[DeviceModel, tuple[list[str], list[str]]], seed: int
) -> None:
    space = made[0].space
    placements = drawn_placements(space, seed)
    served = (placements[..., 0] > 0).any(axis=2).all(axis=1)
    placements = placements[served & (space.encode(placements) >= 0).all(axis=1)]
    counts = {(tenant, column): count for tenant, column, count in space.blocks}
    memory = memory_mib(space, placements)
    for row, code, filled in zip(placements, judge(space, placements), memory, strict=True):
        loaded = {"dla0": 0, "dla1": 0}
        for tenant, column, _, _ in Configuration.of(row).slots():
            used = space.device.accelerators[column]
            if used.dla_parts:
                core = next(each for each in used.resources if each in loaded)
                loaded[core] += counts[tenant, column]
        if max(loaded.values()) > 16:
            assert code == LOADABLES
        elif filled > space.device.memory_mib:
            assert code == MEMORY
        else:
            assert code == VALID


@settings(max_examples=25)
@given(made=worlds(), data=st.data())
def test_neither_the_gpu_nor_a_dla_core_is_busy_for_more_than_all_of_the_time(
    made: tuple[DeviceModel, tuple[list[str], list[str]]], data: st.DataObject
) -> None:
    model, chosen = made
    names = model.space.device.accelerator_names
    places = [names.index(data.draw(st.sampled_from([*own, "dla0", "tensor"]))) for own in chosen]
    level, instances = data.draw(st.sampled_from((0, 1))), data.draw(st.sampled_from((1, 2)))
    placements = np.zeros((1, *model.space.shape, 2), dtype=np.int16)
    for tenant, column in enumerate(places):
        placements[0, tenant, column] = (instances, BATCHES[level])
    contexts = model.nominal()
    per_s = model.batch(contexts, placements).throughput_ips[0] / BATCHES[level]
    busy = {"gpu": 0.0, "dla0": 0.0, "dla1": 0.0}
    at = model.slots(placements)[0][0].argmax(axis=1)
    for tenant, column in enumerate(places):
        used = model.space.device.accelerators[column]
        cost = contexts.table[:, 0, tenant, at[tenant], level]
        busy["gpu"] += per_s[tenant] * cost[COSTS.index("exclusive_s")]
        if used.dla_core is not None:
            busy[f"dla{used.dla_core}"] += per_s[tenant] * cost[COSTS.index("dla_s")]
    assert max(busy.values()) <= 1.0 + 1e-3
    assert busy["gpu"] > 0 or all(used == names.index("dla0") for used in places)


@settings(max_examples=15)
@given(made=worlds(), seed=st.integers(0, 999))
def test_simulator_and_belief_take_all_of_them(
    made: tuple[DeviceModel, tuple[list[str], list[str]]], seed: int
) -> None:
    model, _ = made
    model = replace(
        model,
        space=replace(
            model.space, blocks=frozenset(), device=replace(model.space.device, memory_mib=1e5)
        ),
    )
    count = model.space.shape[1]
    placements = np.zeros((2 * count, *model.space.shape, 2), dtype=np.int16)
    for row in range(2 * count):  # each place of each tenant, the other tenant on the GPU
        placements[row, :, 0] = (1, 1)
        placements[row, row % 2] = 0
        placements[row, row % 2, row // 2] = (1, 4)
    placements = placements[judge(model.space, placements) == VALID]
    used = {(t, a) for row in placements for t, a, _, _ in Configuration.of(row).slots()}
    pairs = {(t, a) for t in range(2) for a in range(count)}
    assert used == pairs - model.space.closed
    assert np.isfinite(model.batch(model.nominal(), placements).logs).all()
    prior = prior_of(model, Objective((np.inf, np.inf)), np.random.default_rng(seed), placements)
    assert len(prior.placements) == len(placements)
    belief = prior.belief()
    before = belief.variance.sum()
    seen = belief.mean[:, :, 0] + 0.05
    belief.update(np.array([0]), seen, prior.noise())
    assert np.isfinite(belief.mean).all()
    assert belief.variance.sum() < before
