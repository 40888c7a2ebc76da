"""In a large space shortlist and price follow what was measured; in a small space both stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.belief.renewal import conditioned_draws
from envs.belief.risk import BALANCED, price_after
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.problems.problem import Problem, problem_of
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.simulator.tables import Contexts
from envs.spec import Configuration, ConfigurationSpace, Measurement, Objective, workload_of
from envs.testing.problems import measurement
from tuner.policy.belief_tuner import RENEWED_AFTER
from tuner.search.expected_gain import ExpectedGainTuner

NETWORKS = ("resnet50", "mobilenet_v2", "squeezenet1_1")


def board(batches: tuple[int, ...] = (1, 2, 4, 8, 16), tenants: int = 3) -> DeviceModel:
    layers = tuple(reference_network(name) for name in NETWORKS[:tenants])
    workload = workload_of([described(each) for each in layers])
    space = ConfigurationSpace(device_of("orin_nx_16", "25W"), workload, 3, batches)
    return model_for(space, layers)


def window(model: DeviceModel, truth: Contexts, configuration: Configuration) -> Measurement:
    """Return what a device gives, without noise."""
    found = model.batch(truth, configuration.array()[None])
    made = measurement(found.throughput_ips[0].tolist(), found.p99_ms[0].tolist())
    return replace(made, power_w=float(found.power_w[0]))


def run(problem: Problem, truth: Contexts, count: int) -> ExpectedGainTuner:
    tuner = ExpectedGainTuner(problem)
    for _ in range(count):
        asked = tuner.ask()
        assert problem.model is not None
        tuner.tell(asked, window(problem.model, truth, asked))
    return tuner


@pytest.fixture(scope="module")
def truth() -> Contexts:
    model = board()
    normals = model.normals(np.random.default_rng(5), 1)
    return model.contexts_from(1.5 * normals)


def test_what_was_measured_is_kept_and_others_come(truth: Contexts) -> None:
    problem = problem_of(board(), Objective((60.0, 30.0, 20.0)))
    before = run(problem, truth, RENEWED_AFTER[0] - 1)
    after = run(problem, truth, RENEWED_AFTER[0])
    listed = [{each.placements for each in tuner._candidates} for tuner in (before, after)]
    assert len(listed[1]) == len(listed[0])
    assert len(listed[1] - listed[0]) > 0.2 * len(listed[0])
    assert {configuration.placements for configuration, _ in after._told} <= listed[1]
    assert after._progress.used[0] == RENEWED_AFTER[0]
    assert after._progress.measured[0].sum() == len({each for each, _ in after._told})
    kept = [each for each, _ in after._told if after._progress.held[0, after._rows[each]]]
    assert after.answer in kept


def test_a_space_that_is_listed_keeps_its_shortlist() -> None:
    model = board((1,), 2)
    problem = problem_of(model, Objective((60.0, 30.0)))
    assert not problem.open
    truth = model.drawn(np.random.default_rng(5), 1)
    first, last = (run(problem, truth, count) for count in (1, RENEWED_AFTER[0] + 1))
    assert first._candidates == last._candidates
    assert first._conditions.risk == last._conditions.risk == np.float32(BALANCED)


@pytest.mark.parametrize("late", [60.0, 0.1])
def test_the_price_of_a_broken_limit_follows_how_many_measurements_kept_the_limits(
    truth: Contexts, late: float
) -> None:
    problem, count = problem_of(board(), Objective((late, 30.0, 20.0))), RENEWED_AFTER[0] + 1
    tuner = run(problem, truth, count)
    rows = [tuner._rows[configuration] for configuration, _ in tuner._told]
    broken = int((~tuner._progress.held[0, rows]).sum())
    assert (broken == count) == (late < 1), "nothing keeps a limit of 0.1 ms"
    assert tuner._conditions.risk[0] == pytest.approx(price_after(BALANCED, count, broken))


def test_draws_agree_with_measurements_more_than_the_model_does(truth: Contexts) -> None:
    model, rng = board(), np.random.default_rng(0)
    placements = model.space.decode(
        np.stack([rng.choice(each, 300) for each in model.space.knob_options], axis=-1)
    )
    served = placements[(placements[..., 0].sum(axis=2) > 0).all(axis=1)]
    measured, others = served[:6], served[6:40]
    logs = model.logarithms(truth, measured)[0]
    noise = np.full_like(logs, 1e-4)
    draws = conditioned_draws(model, rng, [Configuration.of(row) for row in measured], logs, noise)

    def error(contexts: Contexts, rows: np.ndarray) -> float:
        return float(
            np.abs(model.logarithms(contexts, rows) - model.logarithms(truth, rows)).mean()
        )

    assert error(draws, measured) < 0.4 * error(model.drawn(rng, 200), measured)
    assert error(draws, others) < 0.7 * error(model.drawn(rng, 200), others)
