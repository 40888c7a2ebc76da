"""What a change costs: engines by accelerator and batch, seconds on paper, builds that teach."""

from __future__ import annotations

import numpy as np
import pytest

from envs.spec import ConfigurationSpace, DeviceSpec, Network, Place, accelerator, workload_of
from envs.spec.build_times import BuildTimes
from envs.spec.change_cost import (
    COMMON_SD,
    CONTEXT_S,
    DLA_BUILD_S,
    DLA_BUILD_S_LAYER,
    LOAD_S,
    LOAD_S_MIB,
    OWN_SD,
    SESSION_S,
    SESSION_S_MIB,
    STOP_S,
    build_log_s,
    built_engines,
    change_s,
    engines_of,
)

NETWORK = Network("net", "0" * 64, 10**9, 40 * 2**20, 2**20, 100, (), (), None)


def space_of(*names: str, device: str = "Jetson AGX Orin", tenants: int = 1) -> ConfigurationSpace:
    accelerators = tuple(accelerator(name) for name in names)
    networks = [
        Network(f"net{n}", f"{n}" * 64, 10**9, 40 * 2**20, 2**20, 100, (), (), None)
        for n in range(tenants)
    ]
    spec = DeviceSpec(device, accelerators, 8, 32_000.0)
    return ConfigurationSpace(spec, workload_of(networks), 4, (1, 4))


def rows(*placements: list[tuple[int, int]]) -> np.ndarray:
    """Return configurations [N, 1, A, 2] of one tenant."""
    return np.array([[row] for row in placements], dtype=np.int16)


def test_a_gpu_has_one_engine_for_all_batches_and_both_dlas_share_one_for_each() -> None:
    space = space_of("tensor", "cuda", "dla0", "dla1")
    none = (0, 0)
    placements = rows(
        [(1, 1), none, none, none],
        [(3, 4), none, none, none],
        [none, (1, 4), (1, 1), none],
        [none, none, none, (1, 1)],
        [none, none, (2, 4), (1, 1)],
    )
    found = engines_of(space, placements).reshape(-1, 4, 2)
    used = [set(zip(*np.nonzero(each), strict=True)) for each in found]
    assert used == [{(0, 0)}, {(0, 0)}, {(1, 0), (2, 0)}, {(2, 0)}, {(2, 0), (2, 1)}]


def test_engines_that_are_there_are_asked_for_by_their_places() -> None:
    """One of a GPU serves every batch size, so that none may be missing."""
    space = space_of("tensor", "cuda", "dla0", "dla1")
    there = {Place(0, 0, 1), Place(0, 1, 1), Place(0, 1, 4), Place(0, 2, 4)}
    found = built_engines(space, there.__contains__).reshape(4, 2)
    assert set(zip(*np.nonzero(found), strict=True)) == {(1, 0), (2, 1)}
    assert not built_engines(space_of("cpu_fp32"), lambda place: True).any()


def test_a_processor_builds_nothing() -> None:
    space = space_of("cpu_fp32", "cpu_int8", device="AMD")
    assert not engines_of(space, rows([(1, 1), (2, 4)])).any()
    assert (build_log_s(space)[0] == -np.inf).all()
    times = BuildTimes.of(space)
    assert (times.expected_s() == 0).all()
    assert (times.draw(np.random.default_rng(0)) == 0).all()


def test_seconds_of_changes_are_those_of_the_table() -> None:
    space = space_of("tensor", "dla0", "dla1")
    none = (0, 0)
    placements = rows(
        [(1, 1), none, none],
        [(3, 1), none, none],
        [(3, 4), none, none],
        [none, (1, 4), none],
        [none, (1, 4), (1, 4)],
    )
    start, stop = CONTEXT_S.value, STOP_S.value
    load_gpu = LOAD_S.value + 20 * LOAD_S_MIB.value  # 40 MiB in FP32, FP16 on Tensor Cores
    load_dla = LOAD_S.value + 10 * LOAD_S_MIB.value
    one, three, larger, dla, both = placements
    for before, after, seconds in (
        (None, one, start + load_gpu),
        (one, one, 0.0),
        (one, three, 2 * start),
        (three, one, 2 * stop),
        (three, larger, 3 * start + 3 * stop),  # the same engine, other contexts
        (one, dla, start + stop + load_dla),
        (dla, both, start + load_dla),  # the other core loads the same plan as well
    ):
        assert change_s(space, before, after) == pytest.approx(seconds)
    table = change_s(space, placements[:, None], placements[None])
    assert table.shape == (5, 5)
    assert (np.diag(table) == 0).all()
    assert table[0, 3] == pytest.approx(start + stop + load_dla)


def test_each_session_of_a_processor_reads_its_weights() -> None:
    space = space_of("cpu_fp32", "cpu_int8", device="AMD")
    two = rows([(2, 1), (1, 1)])[0]
    session = 3 * SESSION_S.value + (2 * 40 + 10) * SESSION_S_MIB.value
    assert change_s(space, None, two) == pytest.approx(session)


def test_builds_take_longer_on_smaller_boards_and_at_lower_precisions() -> None:
    agx, nano = (
        build_log_s(space_of("cuda", "tensor", "dla0", device=name))[0].reshape(3, 2)
        for name in ("Jetson AGX Orin", "Jetson Orin Nano")
    )
    assert (agx[:2, 1] == -np.inf).all()
    assert (nano[:2, 0] > agx[:2, 0]).all()
    assert agx[1, 0] > agx[0, 0]
    assert np.exp(agx[2]) == pytest.approx(
        [DLA_BUILD_S["int8"].value + 100 * DLA_BUILD_S_LAYER.value] * 2
    )


def test_builds_that_were_seen_tell_of_the_others() -> None:
    times = BuildTimes.of(space_of("tensor", "cuda", "dla0"))
    prior = np.exp(times.log_s)
    built = np.zeros(6, dtype=bool)
    built[[0, 2]] = True
    seen = times.after(built, np.where(built, 3.0 * prior, np.nan))
    mean, variance = seen.common()
    weight = 2 * COMMON_SD**2 / (2 * COMMON_SD**2 + OWN_SD**2)
    assert mean == pytest.approx(weight * np.log(3.0))
    assert variance == pytest.approx((1 - weight) * COMMON_SD**2)
    spread = np.exp((variance + OWN_SD**2) / 2)
    assert seen.expected_s()[4] == pytest.approx(prior[4] * 3.0**weight * spread)
    one_by_one = times.after(built & (np.arange(6) == 0), 3.0 * prior).after(
        built & (np.arange(6) == 2), 3.0 * prior
    )
    assert one_by_one.common() == pytest.approx(seen.common())


def test_what_is_built_is_not_waited_for() -> None:
    space = space_of("tensor", "dla0")
    none = (0, 0)
    needed = engines_of(space, rows([(1, 1), none], [(1, 4), (1, 4)], [none, (1, 1)]))
    times = BuildTimes.of(space)
    first, _, small, large = times.expected_s()
    built = np.array([True, False, False, False])
    assert times.waiting_s(needed, ~np.ones(4, bool)) == pytest.approx(
        [first, first + large, small]
    )
    assert times.waiting_s(needed, built) == pytest.approx([0, large, small])


def test_draws_scatter_as_believed() -> None:
    times = BuildTimes.of(space_of("tensor", "cuda", "dla0", "dla1", tenants=4))
    rng = np.random.default_rng(0)
    known = np.isfinite(times.log_s)
    logs = np.array([np.log(times.draw(rng)[known]) - times.log_s[known] for _ in range(4000)])
    assert logs.std() == pytest.approx(np.hypot(COMMON_SD, OWN_SD), rel=0.03)
    assert logs.mean(axis=1).std() == pytest.approx(
        np.sqrt(COMMON_SD**2 + OWN_SD**2 / known.sum()), rel=0.05
    )
