"""The coordinator takes no more than is left, launches everything once, and delays one shard."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.kernels import KernelError
from envs.kernels.coordinator import Coordinator
from envs.kernels.occupancy import LIMITS, BlockNeeds, whole
from envs.kernels.space import (
    REASONS,
    Gpu,
    KernelWork,
    Shard,
    Space,
    design_space,
    lengths,
    ranked,
    shard_at,
)
from envs.kernels.timeline import POLICIES, Mix, simulate

GPU = Gpu(LIMITS[87], sms=4)


def work(
    blocks: int = 48,
    threads: int = 256,
    registers: int = 32,
    duration_s: float = 1e-3,
    shared: int = 0,
) -> KernelWork:
    versions = tuple(
        BlockNeeds(max(32, threads // cover), registers, shared) for cover in (1, 2, 4, 8)
    )
    return KernelWork("k", blocks, BlockNeeds(threads, registers, shared), duration_s, versions)


def best_shard(mine: KernelWork, space: Space) -> Shard | None:
    order = ranked(space)
    return shard_at(GPU, mine, space, int(order[0])) if order.size else None


works = st.builds(
    work,
    st.integers(1, 300),
    st.sampled_from((64, 128, 256, 512)),
    st.integers(16, 100),
    st.floats(2e-5, 3e-3),
    st.sampled_from((0, 3000, 20_000)),
)


def test_a_wave_by_hand() -> None:
    # 6 blocks of 8 warps fill 48 warps; 24 blocks a wave on 4 SMs; 48 blocks are two waves.
    one = work()
    assert one.resident(GPU) == 6
    assert one.wave_s(GPU) == pytest.approx(0.5e-3)
    space = design_space(GPU, one, None, math.inf, math.inf)
    chosen = best_shard(one, space)
    assert chosen is not None
    assert chosen.duration_s == pytest.approx(5e-6 + 1e-3)
    assert chosen.per_sm == 6
    assert chosen.length == 48


def test_what_a_critical_kernel_leaves_by_hand() -> None:
    # The critical kernel has 5 blocks of 8 warps on each SM: 8 warps are left, 4 within its limit.
    critical = work(blocks=20)
    assert critical.room(GPU).warps == 40
    space = design_space(GPU, work(), critical, math.inf, 1.1)
    kept = space.pruned < 0
    warps = np.array([each.threads // 32 for each in work().versions])[space.version]
    assert (warps * space.per_sm)[kept].max() == 4
    assert space.counts()["no room"] > 0
    assert space.counts()["too slow for critical"] > 0
    assert design_space(GPU, work(), work(), math.inf, 1.1).pruned_share() == 1.0


def test_a_kernel_that_does_not_fit_is_refused() -> None:
    with pytest.raises(KernelError, match="a block of k does not fit on an SM"):
        work(registers=128, threads=1024).resident(GPU)
    with pytest.raises(KernelError, match="k has 0 blocks"):
        work(blocks=0)
    with pytest.raises(KernelError, match="kernel k has no elastic version"):
        Coordinator(GPU, [KernelWork("k", 1, BlockNeeds(32, 32, 0), 1e-3)])


@given(works, works, st.floats(1e-5, 1e-2), st.floats(1.0, 2.0))
@settings(max_examples=50, deadline=None)
def test_a_shard_keeps_room_time_and_slowdown(
    mine: KernelWork, critical: KernelWork, budget_s: float, slowdown: float
) -> None:
    space = design_space(GPU, mine, critical, budget_s, slowdown)
    chosen = best_shard(mine, space)
    assert (space.pruned < len(REASONS)).all()
    if chosen is None:
        assert space.pruned_share() == 1.0
        return
    assert whole(GPU.limits).holds(critical.room(GPU) + chosen.room)
    assert chosen.duration_s <= budget_s
    assert 1 + chosen.room.warps / critical.room(GPU).warps <= slowdown
    # No kept point works off more blocks a second.
    kept = space.pruned < 0
    rate = space.length[kept] / space.duration_s[kept]
    assert chosen.length / chosen.duration_s == pytest.approx(rate.max())


@given(st.integers(1, 500))
def test_lengths_are_those_of_even_parts(blocks: int) -> None:
    found = lengths(blocks)
    assert found[0] == 1
    assert found[-1] == blocks
    assert (np.diff(found) > 0).all()


mixes = st.builds(
    lambda critical, gaps, best_effort, foreseen, errors: Mix(
        critical, list(np.cumsum(gaps)), best_effort, foreseen, errors
    ),
    st.lists(works, min_size=1, max_size=3),
    st.lists(st.floats(0, 5e-3), min_size=1, max_size=6),
    st.lists(works, min_size=1, max_size=3),
    st.booleans(),
    st.lists(st.floats(0.5, 2.0), min_size=1, max_size=3),
)


@given(mixes, st.floats(1e-4, 2e-3))
@settings(max_examples=40, deadline=None)
def test_everything_is_launched_once_and_critical_waits_for_one_shard(
    mix: Mix, longest_s: float
) -> None:
    coordinator = Coordinator(GPU, mix.best_effort, 1.1, longest_s)
    outcome = simulate(GPU, mix, "elastic", coordinator)
    wait_s = coordinator.wait_s
    assert wait_s == longest_s or wait_s <= max(each.duration_s * 9 for each in mix.best_effort)
    assert len(outcome.latencies_s) == len(mix.arrivals_s)
    at = (0, 0, 0)
    for _, launch in outcome.launches:
        assert (launch.round, launch.kernel, launch.first) == at
        assert launch.first < launch.last <= mix.best_effort[launch.kernel].blocks
        if launch.last < mix.best_effort[launch.kernel].blocks:
            at = (launch.round, launch.kernel, launch.last)
        elif launch.kernel + 1 < len(mix.best_effort):
            at = (launch.round, launch.kernel + 1, 0)
        else:
            at = (launch.round + 1, 0, 0)
    begins = [begun for begun, _ in outcome.launches]
    ends = [begun + launch.shard.duration_s for begun, launch in outcome.launches]
    assert all(end <= begun + 1e-9 for end, begun in zip(ends, begins[1:], strict=False))
    assert all(launch.shard.duration_s <= wait_s for _, launch in outcome.launches)
    assert all(wait <= wait_s + 1e-9 for wait in outcome.waits_s)


@given(mixes)
@settings(max_examples=20, deadline=None)
def test_no_policy_makes_a_critical_request_faster(mix: Mix) -> None:
    alone = simulate(GPU, mix, "alone")
    for policy in POLICIES:
        coordinator = Coordinator(GPU, mix.best_effort) if policy == "elastic" else None
        beside = simulate(GPU, mix, policy, coordinator)
        pairs = zip(beside.latencies_s, alone.latencies_s, strict=True)
        assert all(one >= other - 1e-9 for one, other in pairs), policy
        assert beside.span_s >= alone.span_s - 1e-9


def test_policies_by_hand() -> None:
    # One critical kernel of 1 ms that fills the GPU comes after 2.5 ms; best effort takes 1 ms.
    mix = Mix([work()], [2.5e-3], [work()], foreseen=True)
    launch, gap = 5e-6, 2.5e-3
    alone = simulate(GPU, mix, "alone")
    assert alone.latencies_s == [pytest.approx(1e-3 + launch)]
    # The third best-effort kernel ends at 3.015 ms.
    sequential = simulate(GPU, mix, "sequential")
    assert sequential.latencies_s == [pytest.approx(3 * (1e-3 + launch) - gap + 1e-3 + launch)]
    assert sequential.rounds == pytest.approx(3)
    # Half a wave of 0.5 ms is waited for; there is no room beside.
    streams = simulate(GPU, mix, "streams")
    assert streams.latencies_s == [pytest.approx(0.25e-3 + 1e-3 + launch)]
    # The coordinator foresees the request and fills the gap with shards that fit.
    elastic = simulate(GPU, mix, "elastic", Coordinator(GPU, mix.best_effort, 1.1, 1e-2))
    assert elastic.latencies_s == [pytest.approx(1e-3 + launch)]
    assert elastic.rounds >= 2
    assert not elastic.waits_s
    # It does not foresee this one, and has one shard of at most 0.6 ms out.
    unseen = Mix([work()], [2.5e-3], [work()], foreseen=False)
    late = simulate(GPU, unseen, "elastic", Coordinator(GPU, mix.best_effort, 1.1, 0.6e-3))
    assert 1e-3 + launch < late.latencies_s[0] <= 1.6e-3 + launch
