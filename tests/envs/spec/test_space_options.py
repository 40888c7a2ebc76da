"""What a space does not offer: accelerators without an engine, batches, loadables of a DLA."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.errors import ConfigurationError, OptionError
from envs.simulator.machine import device_of
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Criticality,
    DeviceSpec,
    Tenant,
    Workload,
    accelerator,
)
from envs.spec.validity import FIXED_BATCH, LOADABLES, OUTSIDE, UNAVAILABLE, VALID, judge, reason
from tests.worlds import network, space


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
        device,
        Workload(tuple(Tenant(name, network(name)) for name in "abcdef")),
        4,
        (1,),
        blocks=frozenset({(0, 1, 7), (1, 1, 5), (2, 1, 5)}),
    )
    every = [[(0, 0), (3, 1)]] * 6  # 7 + 5 + 5 + 3 loadables, however many instances share them
    without_a = [[(1, 1), (0, 0)], *every[1:]]
    assert judge(world, np.array([every, without_a])).tolist() == [LOADABLES, VALID]
    plain = replace(world, blocks=frozenset())
    assert judge(plain, np.array([every])).tolist() == [VALID]
    assert "more loadables" in reason(world, LOADABLES)


def test_each_segment_on_a_dla_is_a_loadable_before_anything_is_built() -> None:
    names = ("tensor", "dla0", "dla0_in_4", "dla0_in_99", "dla1_in_4")
    device = DeviceSpec("orin", tuple(accelerator(name) for name in names), 12, 60_000)
    tenants = [Tenant(n, network(n), criticality=Criticality.BEST_EFFORT) for n in "abcde"]
    world = ConfigurationSpace(device, Workload(tuple(tenants)), 2, (1,))

    def on(*columns: int) -> list[list[tuple[int, int]]]:
        return [
            [(int(column == used), int(column == used)) for column in range(5)] for used in columns
        ]

    four, five, beside = on(2, 2, 2, 2, 0), on(2, 2, 2, 2, 1), on(2, 2, 2, 2, 4)
    rows = np.array([four, five, beside, on(3, 0, 0, 0, 0)])
    assert judge(world, rows).tolist() == [VALID, LOADABLES, VALID, LOADABLES]
    fewer = replace(world, blocks=frozenset({(0, 3, 7), (3, 2, 3)}))
    assert judge(fewer, rows).tolist() == [VALID, VALID, VALID, VALID]


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
    """29 settings on each half of the GPU (four instances, seven batches), 13 on each DLA (three
    instances, four batches), without the one that serves nothing.
    """
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


@pytest.mark.parametrize("pairs", [[[0, 2]], [[-1, 0]], [[0]], [[0, 0.5]], [[True, 0]]])
def test_pairs_that_cannot_be_are_refused(pairs: list[list[int]]) -> None:
    with pytest.raises((OptionError, ValueError), match="unavailable"):
        ConfigurationSpace.from_dict(space().to_dict() | {"unavailable": pairs})


def test_an_accelerator_without_an_engine_is_not_offered() -> None:
    world = replace(space(tenants=2), unavailable=frozenset({(0, 0)}))
    assert [len(each) for each in world.knob_options] == [1, 10, 10, 10]
    rows = np.array([[[(1, 1), (1, 1)], [(1, 1), (0, 0)]], [[(0, 0), (1, 1)], [(1, 1), (0, 0)]]])
    assert world.encode(rows)[:, 0].tolist() == [-1, 0]
    assert world.codes(rows)[0] == -1
    assert judge(world, rows).tolist() == [UNAVAILABLE, VALID]
    assert "net0 on cpu_fp32" in reason(world, UNAVAILABLE)
    assert (world.catalogue[:, 0, 0] == 0).all()
    assert world.default() == Configuration.of(rows[1])
    with pytest.raises(ConfigurationError, match="none with right answers, for net0 on cpu_fp32"):
        world.check(Configuration.of(rows[0]))
    nowhere = replace(world, unavailable=frozenset({(0, 0), (0, 1)}))
    for ask in (nowhere.default, lambda: nowhere.catalogue):
        with pytest.raises(ConfigurationError, match="net0 on cpu_fp32, net0 on cpu_int8"):
            ask()


def test_a_batch_that_cannot_be_served_is_left_out_of_every_answer() -> None:
    whole = space(tenants=2, max_instances=2, batches=(1, 2, 4), max_total_instances=None)
    narrowed = whole.without_batches([(0, 1, 2)])
    listed = {tuple(each.reshape(-1)) for each in narrowed.catalogue}
    all_of_it = {tuple(each.reshape(-1)) for each in whole.catalogue}
    uses = [each for each in whole.catalogue if tuple(each[0, 1]) in ((1, 2), (2, 2))]
    assert listed == all_of_it - {tuple(each.reshape(-1)) for each in uses}
    assert uses
    assert narrowed.batches_of(0, 1) == tuple(b for b in whole.batches if b != 2)
    assert narrowed.batches_of(1, 1) == whole.batches
    with pytest.raises(ConfigurationError, match="on cpu_int8 at batch 2"):
        narrowed.check(Configuration.of(uses[0]))
    assert ConfigurationSpace.from_dict(narrowed.to_dict()) == narrowed


def test_a_pair_without_any_batch_size_is_unavailable() -> None:
    whole = space(tenants=2, max_instances=2, batches=(1, 2, 4), max_total_instances=None)
    narrowed = whole.without_batches([(0, 0, batch) for batch in whole.batches])
    assert narrowed.unavailable == {(0, 0)}
    assert narrowed.default().array()[0, 1].tolist() == [1, whole.batches[0]]


def test_the_default_takes_the_smallest_batch_that_is_left() -> None:
    whole = space(tenants=2, max_instances=2, batches=(1, 2, 4), max_total_instances=None)
    first, second, *_ = whole.batches
    narrowed = whole.without_batches([(0, 0, first)])
    assert narrowed.default().array()[0, 0].tolist() == [1, second]
