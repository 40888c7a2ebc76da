"""The space and its judge: encode and decode, what is valid, and that one judge speaks everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import ConfigurationError, OptionError
from envs.simulator.machine import device_of
from envs.spec.device import DeviceSpec, accelerator
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.validity import (
    FIXED_BATCH,
    LOADABLES,
    MEMORY,
    OUTSIDE,
    TOTAL,
    UNSERVED,
    VALID,
    judge,
    memory_mib,
    reason,
)
from envs.spec.workload import Tenant, Workload
from tests.worlds import network, space

spaces = st.builds(
    space,
    tenants=st.integers(1, 2),
    max_instances=st.integers(1, 3),
    batches=st.sampled_from([(1,), (1, 2), (2, 8), (1, 3, 4)]),
    max_total_instances=st.one_of(st.none(), st.integers(2, 6)),
)


@settings(max_examples=40, deadline=None)
@given(spaces, st.data())
def test_decode_then_encode_is_identity(world: ConfigurationSpace, data: st.DataObject) -> None:
    choice = st.lists(
        st.integers(0, len(world.options) - 1), min_size=world.knobs, max_size=world.knobs
    )
    choices = np.array(data.draw(st.lists(choice, min_size=1, max_size=20)))
    assert (world.encode(world.decode(choices)) == choices).all()


@settings(max_examples=40, deadline=None)
@given(spaces)
def test_the_catalogue_is_exactly_what_the_judge_accepts(world: ConfigurationSpace) -> None:
    choices = np.stack(
        np.unravel_index(
            np.arange(len(world.options) ** world.knobs), (len(world.options),) * world.knobs
        ),
        axis=-1,
    )
    everything = world.decode(choices)
    valid = everything[judge(world, everything) == VALID]
    assert (world.catalogue == valid).all()
    assert len(np.unique(world.codes(world.catalogue))) == len(world.catalogue)
    assert (world.catalogue[..., 0].sum(axis=2) > 0).all(), "every tenant is served"
    if world.max_total_instances is not None:
        assert world.catalogue[..., 0].sum(axis=(1, 2)).max() <= world.max_total_instances
    assert world.default() in {Configuration.of(row) for row in world.catalogue}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 9)), min_size=2, max_size=2))
def test_whatever_is_given_the_judge_answers(placements: list[tuple[int, int]]) -> None:
    world = space()
    inside = all((n == 0 and b == 0) or (1 <= n <= 3 and b in (1, 2, 4)) for n, b in placements)
    served = any(n > 0 for n, _ in placements)
    code = int(judge(world, np.array([[placements]]))[0])
    assert (code == VALID) == (inside and served)


def test_each_reason_is_found() -> None:
    world = space(max_total_instances=3)
    rows = np.array(
        [[[(1, 1), (0, 0)]], [[(0, 0), (0, 0)]], [[(1, 3), (0, 0)]], [[(2, 1), (2, 1)]]]
    )
    assert judge(world, rows).tolist() == [VALID, UNSERVED, OUTSIDE, TOTAL]
    assert judge(space(memory_mib=400.0), rows[3:]).tolist() == [MEMORY]


def test_memory_is_joint() -> None:
    world = space(memory_mib=700.0)
    alone, together = np.array([[[(3, 4), (0, 0)]]]), np.array([[[(3, 4), (3, 4)]]])
    assert judge(world, alone)[0] == VALID
    assert judge(world, together)[0] == MEMORY
    assert memory_mib(world, together)[0] > memory_mib(world, alone)[0]


def test_a_fixed_batch_admits_no_other() -> None:
    workload = Workload((Tenant("fixed", network("fixed", fixed_batch=4)),))
    world = ConfigurationSpace(space().device, workload, 2, (1, 4))
    assert set(world.catalogue[..., 1].ravel().tolist()) == {0, 4}
    assert world.default().placements == (((1, 4), (0, 0)),)
    assert judge(world, np.array([[[(1, 1), (0, 0)]]]))[0] == FIXED_BATCH


def test_a_network_with_an_impossible_batch_is_named() -> None:
    workload = Workload((Tenant("fixed", network("fixed", fixed_batch=3)),))
    with pytest.raises(ConfigurationError, match="export it with a symbolic batch"):
        _ = ConfigurationSpace(space().device, workload, 2, (1, 4)).catalogue


def test_a_dla_core_holds_sixteen_loadables_of_all_tenants() -> None:
    device = DeviceSpec("orin", (accelerator("tensor"), accelerator("dla0")), 12, 60_000)
    world = ConfigurationSpace(
        device, Workload(tuple(Tenant(name, network(name)) for name in "abcdef")), 4, (1,)
    )
    sixteen = [[(0, 0), (count, 1)] for count in (3, 3, 3, 3, 3, 1)]
    eighteen = [[(0, 0), (3, 1)]] * 6
    assert judge(world, np.array([sixteen, eighteen])).tolist() == [VALID, LOADABLES]


def test_a_tenant_has_three_instances_on_a_dla_at_most_and_small_batches() -> None:
    device = DeviceSpec("orin", (accelerator("tensor"), accelerator("dla0")), 12, 60_000)
    world = ConfigurationSpace(device, Workload((Tenant("a", network("a")),)), 4, (1, 8, 16))
    rows = np.array(
        [[[(4, 16), (3, 8)]], [[(0, 0), (4, 1)]], [[(0, 0), (1, 16)]], [[(0, 0), (4, 16)]]]
    )
    assert judge(world, rows).tolist() == [VALID, OUTSIDE, OUTSIDE, OUTSIDE]
    assert [len(options) for options in world.knob_options] == [1 + 4 * 3, 1 + 3 * 2]
    assert reason(world, OUTSIDE).endswith("dla0 at most 3 instances of batch 8")


def test_the_space_of_one_network_on_an_agx_orin() -> None:
    """29 settings of each GPU half (four instances, seven batches), 13 of each DLA (three instances, four batches), but for nothing at all."""
    world = ConfigurationSpace(
        device_of("agx_orin_64", "MAXN"),
        Workload((Tenant("a", network("a")),)),
        4,
        (1, 2, 4, 8, 16, 32, 64),
    )
    assert len(world.catalogue) == 142_128 == 29 * 29 * 13 * 13 - 1
    codes = world.encode(world.catalogue)
    assert all(
        np.isin(codes[:, knob], options).all() for knob, options in enumerate(world.knob_options)
    )
    assert [len(np.unique(codes[:, knob])) for knob in range(world.knobs)] == [29, 29, 13, 13]
    assert (world.decode(codes) == world.catalogue).all()
    assert len(np.unique(world.codes(world.catalogue))) == len(world.catalogue)


def test_a_space_survives_its_dictionary() -> None:
    for world in (space(), space(tenants=2, max_total_instances=4)):
        assert ConfigurationSpace.from_dict(world.to_dict()) == world


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"max_instances": 0}, "max_instances"),
        ({"batches": ()}, "batches"),
        ({"batches": (4, 1)}, "batches"),
        ({"max_total_instances": 0}, "max_total"),
    ],
)
def test_a_wrong_option_names_its_key(change: dict[str, object], key: str) -> None:
    with pytest.raises(OptionError, match=key):
        space(**change)  # type: ignore[arg-type]


def test_an_empty_space_says_what_most_of_it_breaks() -> None:
    with pytest.raises(ConfigurationError, match="do not fit into 30 MiB"):
        _ = space(tenants=2, max_instances=1, memory_mib=30.0).catalogue


def test_an_unknown_accelerator_is_named() -> None:
    with pytest.raises(OptionError, match=r"npu.*choose from"):
        accelerator("npu")


def test_describe_says_where_what_runs() -> None:
    assert (
        space().describe(Configuration((((1, 4), (2, 1)),))) == "net0: cpu_fp32 1x4 + cpu_int8 2x1"
    )
