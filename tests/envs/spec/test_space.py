"""The space and its judge: encoding, what is valid, and that every user asks the same judge."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import ConfigurationError, OptionError
from envs.spec import Configuration, ConfigurationSpace, DeviceSpec, Tenant, Workload, accelerator
from envs.spec.validity import MEMORY, OUTSIDE, TOTAL, UNSERVED, VALID, judge, memory_mib
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


def test_a_space_survives_its_dictionary() -> None:
    partial = replace(space(tenants=2), unavailable=frozenset({(1, 0), (0, 1)}))
    for world in (space(), space(tenants=2, max_total_instances=4), partial):
        assert ConfigurationSpace.from_dict(json.loads(json.dumps(world.to_dict()))) == world
    assert "unavailable" not in space().to_dict(), "older readers know nothing of it"


def large(tenants: int = 5, memory_mib: float = 60_000.0) -> ConfigurationSpace:
    """Tenants on four accelerators with 113 settings each: far more codes than 63 bits hold."""
    device = DeviceSpec(
        "large",
        tuple(replace(accelerator("tensor"), name=f"gpu{i}") for i in range(4)),
        12,
        memory_mib,
    )
    workload = Workload(tuple(Tenant(f"net{i}", network(f"net{i}")) for i in range(tenants)))
    return ConfigurationSpace(device, workload, 16, (1, 2, 4, 8, 16, 32, 64))


def test_codes_of_a_space_beyond_63_bits_tell_configurations_apart() -> None:
    world, rng = large(), np.random.default_rng(0)
    assert len(world.options) ** world.knobs > 2**63
    assert not world.enumerable
    with pytest.raises(OptionError, match="searches it"):
        _ = world.catalogue
    options = rng.integers(0, len(world.options), (100, world.knobs))
    near = options[:, None] + np.zeros((1, 113 * world.knobs, 1), dtype=int)
    for knob in range(world.knobs):
        near[:, 113 * knob : 113 * (knob + 1), knob] = np.arange(113)
    near = np.unique(near.reshape(-1, world.knobs), axis=0)
    codes = world.codes(world.decode(near))
    assert (codes >= 0).all()
    assert len(np.unique(codes)) == len(near) > 200_000
    assert (world.codes(world.decode(near)) == codes).all()
    assert int(world.codes(world.decode(near[7]))) == codes[7]
    wrong = world.decode(near[:1])
    wrong[0, 0, 0] = (1, 3)
    assert world.codes(wrong).tolist() == [-1]


def test_the_default_of_a_space_of_any_size() -> None:
    assert large().default().placements == (((1, 1), (0, 0), (0, 0), (0, 0)),) * 5
    with pytest.raises(ConfigurationError, match="do not fit into 100 MiB"):
        large(memory_mib=100.0).default()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.floats(50.0, 1_200.0),
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 1))),
)
def test_the_default_is_found_where_anything_is_valid(
    tenants: int, memory: float, pairs: set[tuple[int, int]]
) -> None:
    unavailable = frozenset(pair for pair in pairs if pair[0] < tenants)
    world = replace(space(tenants, 1, (1, 4), memory), unavailable=unavailable)
    try:
        start = world.default()
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            _ = world.catalogue
    else:
        world.check(start)
        assert start.total_instances == tenants


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
