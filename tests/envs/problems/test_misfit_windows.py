"""Windows of a device with a misfit answer as it says on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.problems.draw_options import DrawOptions
from envs.problems.misfits import NUMBERS
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.world import Asked
from envs.simulator.tails import stretched

#: Logarithms of throughput, p99 and power of the first two candidates: as the device is, and hot.
COOL = np.log([[100.0, 200.0], [10.0, 20.0], [8.0, 16.0]])
HOT = np.log([[50.0, 100.0], [20.0, 40.0], [6.0, 12.0]])
NOISE = np.array([0.01, 0.02, 0.03])


@pytest.fixture(scope="module")
def drawn() -> SimulatedWorld:
    options = DrawOptions(boards=["orin_nano_8"], networks=["resnet18"], small_spaces=1.0)
    return SimulatedWorld(options, 1, 0)


def world_of(drawn: SimulatedWorld, **numbers: float) -> SimulatedWorld:
    """Return a world of one problem with two known truths and one misfit."""
    outcomes = drawn.problems.outcomes.copy()
    outcomes[0, 0, :, :2], outcomes[0, 1, :, :2] = COOL, HOT
    misfit = np.array([[numbers.get(name, 0.0) for name in NUMBERS]], dtype=np.float32)
    noise = np.float32(NOISE**2)[None]
    return SimulatedWorld.of(replace(drawn.problems, outcomes=outcomes, misfit=misfit, noise=noise))


def answers(
    world: SimulatedWorld, normals: np.ndarray, step: int = 0, candidate: int = 0, before: int = 0
) -> np.ndarray:
    """Return the windows [B, Q] of one candidate with normal numbers [B, Q + 1]."""
    columns = (0, 0, candidate, before, step)
    return world.respond(Asked(*(np.full(len(normals), each) for each in columns)), normals)


#: The last number tells what happens beside the window: this one is far from any burst.
CALM = np.array([[0.0, 0.0, 0.0, 3.0]])


def test_without_a_misfit_a_window_is_the_truth_and_its_noise(drawn: SimulatedWorld) -> None:
    normals = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 0.0, 0.0, -3.0]])
    expected = COOL[:, 0] + NOISE * normals[:, :3]
    assert answers(world_of(drawn), normals) == pytest.approx(expected, abs=1e-6)


def test_a_heavy_tail_stretches_p99_alone(drawn: SimulatedWorld) -> None:
    normals = np.array([[2.0, 2.0, 2.0, 3.0], [-1.0, -3.0, 0.0, 3.0]])
    scatter = normals[:, :3].copy()
    scatter[:, 1] = stretched(scatter[:, 1], 0.4)
    assert scatter[1, 1] < -15
    found = answers(world_of(drawn, tail=0.4), normals)
    assert found == pytest.approx(COOL[:, 0] + NOISE * scatter, abs=1e-5)


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (3, 0.3), (10, 1.0), (25, 1.0)])
def test_a_drift_walks_to_the_next_truth_and_stays(
    drawn: SimulatedWorld, step: int, share: float
) -> None:
    found = answers(world_of(drawn, drift=0.1), CALM, step)
    assert found[0] == pytest.approx(COOL[:, 0] + share * (HOT - COOL)[:, 0], abs=1e-5)


def test_a_neighbour_answers_as_often_as_said_and_all_of_a_window(drawn: SimulatedWorld) -> None:
    normals = np.zeros((20_000, 4))
    normals[:, 3] = np.random.default_rng(0).standard_normal(len(normals))
    found = answers(world_of(drawn, burst=0.25), normals)
    hot = np.isclose(found, HOT[:, 0], atol=1e-5).all(axis=1)
    cool = np.isclose(found, COOL[:, 0], atol=1e-5).all(axis=1)
    assert (hot ^ cool).all()
    assert hot.mean() == pytest.approx(0.25, abs=0.02)


def test_a_lagging_sensor_tells_part_of_the_window_before(drawn: SimulatedWorld) -> None:
    world = world_of(drawn, lag=0.25)
    found = answers(world, CALM, candidate=1, before=0)[0]
    assert found[:2] == pytest.approx(COOL[:2, 1], abs=1e-6)
    assert np.exp(found[2]) == pytest.approx(0.75 * 16.0 + 0.25 * 8.0, rel=1e-5)
    again = answers(world, CALM, candidate=1, before=1)[0]
    assert np.exp(again[2]) == pytest.approx(16.0, rel=1e-5), "a repeat is told rightly"


def test_drawn_problems_carry_the_numbers_of_their_kind(drawn: SimulatedWorld) -> None:
    options = DrawOptions(
        boards=["orin_nano_8"], networks=["resnet18"], small_spaces=1.0, misfits=["lagging_sensor"]
    )
    numbers = SimulatedWorld(options, 2, 0).problems.misfit
    assert (numbers[:, NUMBERS.index("lag")] >= 0.3).all()
    assert (numbers[:, NUMBERS.index("tail")] == drawn.problems.misfit[0, 0]).all()
    assert (numbers[:, 1:3] == 0).all()
