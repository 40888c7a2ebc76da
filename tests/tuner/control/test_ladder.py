"""What serves when nothing better is known: small, on the GPU first, the processor last."""

from __future__ import annotations

import numpy as np

from envs.simulator.machine import device_of
from envs.spec import Configuration, ConfigurationSpace, Tenant, Workload
from tests.worlds import network, space
from tuner.control.ladder import Ladder, rungs_of


def orin(tenants: int = 1) -> ConfigurationSpace:
    owners = tuple(Tenant(f"net{i}", network(f"net{i}")) for i in range(tenants))
    return ConfigurationSpace(device_of("agx_orin_64", "MAXN"), Workload(owners), 3, (2, 8))


def on(world: ConfigurationSpace, *columns: int) -> Configuration:
    placements = np.zeros((*world.shape, 2), dtype=np.int16)
    for tenant, column in enumerate(columns):
        placements[tenant, column] = (1, 2)
    return Configuration.of(placements)


def test_the_smallest_on_the_gpu_comes_first_and_dlas_last() -> None:
    world = orin()
    assert world.device.accelerator_names == ("tensor", "cuda", "dla0", "dla1")
    assert rungs_of(world) == [on(world, 0), on(world, 1), on(world, 2), on(world, 3)]


def test_a_tenant_that_an_accelerator_does_not_serve_stands_on_another_one() -> None:
    world = orin(2)
    gone = frozenset({(1, 0), (0, 2), (0, 3)})
    narrowed = ConfigurationSpace(world.device, world.workload, 3, (2, 8), unavailable=gone)
    assert rungs_of(narrowed) == [
        on(world, 0, 1),
        on(world, 1, 1),
        on(world, 0, 2),
        on(world, 0, 3),
    ]


def test_a_plain_computer_starts_in_fp32() -> None:
    world = space(batches=(1, 4))
    assert rungs_of(world)[0] == world.default()


def test_of_a_recording_only_what_was_recorded_serves() -> None:
    world = orin()
    rows = world.catalogue[-3:]
    (rung,) = rungs_of(world, rows)
    assert any((rung.array() == row).all() for row in rows)


def test_what_failed_is_left_for_the_next_and_the_reserve_ends_it() -> None:
    first, second, reserve = (Configuration((((n, 1),),)) for n in (1, 2, 3))
    ladder = Ladder([first, second], reserve)
    assert ladder.current == first
    ladder.record(first, failed=True)
    assert (ladder.current, ladder.exhausted) == (second, False)
    ladder.record(second, failed=True)
    assert (ladder.current, ladder.exhausted) == (reserve, True)
    assert ladder.next_of({reserve}) is None
    ladder.record(reserve, failed=True)
    assert ladder.current == first, "where all failed, it begins again"
    ladder.restore()
    ladder.record(second, failed=True)
    ladder.record(second, failed=False)
    assert ladder.next_of({first}) == second


def test_what_would_have_to_be_built_first_comes_after_the_reserve() -> None:
    first, second, reserve = (Configuration((((n, 1),),)) for n in (1, 2, 3))
    ladder = Ladder([first, second], reserve, lambda configuration: configuration == first)
    ladder.record(first, failed=True)
    assert ladder.current == reserve
    assert ladder.next_of({reserve}) == second
