"""Shortlists, and what is believed of them before the first measurement."""

from __future__ import annotations

import numpy as np
import pytest

from envs.arrays import Placements
from envs.belief.prior import SHORTLIST, next_to_cover, prior_of, starting_configuration
from envs.belief.shortlist import ENUMERATED, unmirrored
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.parameters import nominal
from envs.spec import Configuration, ConfigurationSpace, Objective, local_computer, workload_of
from envs.spec.validity import VALID, judge
from tests.envs.belief.boards import best_of, model_of

OBJECTIVES = (
    Objective((20.0,), 20.0),
    Objective((60.0,)),
    Objective((np.inf,), 12.0),
    Objective((8.0,), 15.0),
)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_shortlist_is_valid_and_holds_the_start_and_the_best_of_the_fitted_model(
    model: DeviceModel, objective: Objective
) -> None:
    assert model.space.combinations <= ENUMERATED
    prior = prior_of(model, objective, np.random.default_rng(0))
    assert len(prior.placements) == SHORTLIST
    assert (judge(model.space, prior.placements) == VALID).all()
    assert len(np.unique(model.space.codes(prior.placements))) == SHORTLIST
    assert Configuration.of(prior.placements[0]) == starting_configuration(model, objective)
    optimum = best_of(model, model.nominal(), model.space.catalogue, objective)
    assert np.isfinite(optimum)
    assert best_of(model, model.nominal(), prior.placements, objective) > optimum + np.log(0.98), (
        "or what is next to it: it serves all draws, not one"
    )


def test_a_shortlist_serves_devices_that_depart_from_the_nominal_one(model: DeviceModel) -> None:
    """Under every draw, the best of eighty is within a few percent of the best of thousands."""
    objective = OBJECTIVES[0]
    prior = prior_of(model, objective, np.random.default_rng(0))
    truths = model.drawn(np.random.default_rng(99), 40)
    every = unmirrored(model.space)
    shares = []
    for number in range(40):
        context = truths.take(np.array([number]))
        optimum = best_of(model, context, every, objective)
        if np.isfinite(optimum):
            shares.append(np.exp(best_of(model, context, prior.placements, objective) - optimum))
    assert len(shares) > 30
    assert np.mean(shares) > 0.98
    assert min(shares) > 0.9


def test_a_prior_depends_on_its_generator_alone(model: DeviceModel) -> None:
    one, same, other = (
        prior_of(model, OBJECTIVES[0], np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    for name in ("placements", "mean", "loadings", "residual_variance", "throughput_ips"):
        assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert not np.array_equal(one.mean, other.mean)


def test_what_is_believed_is_about_what_the_model_says(model: DeviceModel) -> None:
    prior = prior_of(model, OBJECTIVES[0], np.random.default_rng(3))
    quantities = 2 * model.space.shape[0] + 1
    spread = np.sqrt(
        (prior.loadings**2).sum(axis=0).reshape(quantities, -1) + prior.residual_variance
    )
    assert prior.mean.shape == prior.residual_variance.shape == (quantities, SHORTLIST)
    fitted = model.logarithms(model.nominal(), prior.placements)[0]
    assert (np.abs(prior.mean - fitted) < 1.5 * spread).all()
    assert prior.throughput_ips == pytest.approx(np.exp(np.median(fitted[:1], axis=1)))
    assert (spread > 0.03).all()
    assert (spread < 1.0).all()
    samples = model.logarithms(model.drawn(np.random.default_rng(8), 400), prior.placements)
    assert np.median(spread / samples.std(axis=0)) == pytest.approx(1.0, abs=0.15)


def test_a_space_smaller_than_a_shortlist_is_on_it_entirely() -> None:
    small = model_of(batches=(1, 4), most=2, name="orin_nano_8", mode="15W")
    prior = prior_of(small, OBJECTIVES[1], np.random.default_rng(0))
    assert len(prior.placements) == len(small.space.catalogue) == 24
    assert set(small.space.codes(prior.placements)) == set(small.space.codes(small.space.catalogue))


@pytest.mark.parametrize("count", [30, 300])
def test_candidates_and_start_may_be_given(model: DeviceModel, count: int) -> None:
    rng = np.random.default_rng(4)
    given = model.space.catalogue[rng.choice(len(model.space.catalogue), count, replace=False)]
    start = Configuration.of(given[7])
    prior = prior_of(model, OBJECTIVES[1], rng, given, start=start)
    assert Configuration.of(prior.placements[0]) == start
    codes = model.space.codes(prior.placements)
    assert set(codes) <= set(model.space.codes(given))
    assert len(codes) == len(set(codes)) == min(count, SHORTLIST)


def test_the_start_keeps_the_limits_under_every_draw_and_is_fast_where_there_are_none() -> None:
    one = model_of(batches=(1, 4), most=2)
    alone = {
        name: one.logarithms(one.nominal(), alone_on(one, name))[0, :, 0]
        for name in one.space.device.accelerator_names
    }
    limit = float(np.exp(alone["tensor"][-1] + 0.1))
    frugal, fast = (
        starting_configuration(one, Objective((np.inf,), limit)),
        starting_configuration(one, Objective((np.inf,))),
    )
    fresh = one.drawn(np.random.default_rng(5), 400)
    watts = one.logarithms(fresh, np.stack([frugal.array(), fast.array()]))[:, -1]
    assert (watts[:, 0] <= np.log(limit)).mean() > 0.98
    assert (watts[:, 1] > np.log(limit)).mean() > 0.5
    everything = one.logarithms(one.nominal(), one.space.catalogue)[0, 0]
    assert one.logarithms(one.nominal(), fast.array()[None])[0, 0, 0] > everything.max() - 0.05


def alone_on(model: DeviceModel, name: str) -> Placements:
    placements = np.zeros((1, *model.space.shape, 2), dtype=np.int16)
    placements[0, 0, model.space.device.accelerator_names.index(name)] = (1, 1)
    return placements


def test_that_threads_speed_up_little_is_learned_from_two_measurements() -> None:
    """A second thread hardly helps a small network; a second instance doubles its throughput."""
    table = reference_network("mobilenet_v2")
    space = ConfigurationSpace(
        local_computer(cores=2), workload_of([described(table)]), 2, (1, 2, 4)
    )
    model = model_for(space, (table,))
    true = model.logarithms(
        model.contexts(nominal("cpu").with_values(threads_exponent=0.3)), space.catalogue
    )[0]
    prior = prior_of(
        model, Objective((np.inf,)), np.random.default_rng(0), space.catalogue, len(space.catalogue)
    )
    rows = {tuple(row.ravel()): place for place, row in enumerate(prior.placements)}
    truth = {
        tuple(row.ravel()): values for row, values in zip(space.catalogue, true.T, strict=True)
    }
    belief = prior.belief()
    for measured in ((0, 0, 1, 2), (0, 0, 2, 1)):
        belief.update(np.array([rows[measured]]), truth[measured][None], np.full((1, 3), 1e-4))
    both = (0, 0, 2, 2)
    assert belief.mean[0, 0, rows[both]] == pytest.approx(truth[both][0], abs=0.15)


def test_a_shortlist_is_the_one_that_looking_at_all_gains_draws_up() -> None:
    rng = np.random.default_rng(0)
    shares = rng.random((40, 300)).astype(np.float32)
    usual = 1e-3 * shares.mean(axis=0)
    covered, gain = np.zeros(40, dtype=np.float32), shares.sum(axis=0) + usual
    for _ in range(60):
        every = np.maximum(shares - covered[:, None], 0.0).sum(axis=0) + usual
        every[gain < 0] = -1.0
        row = next_to_cover(shares, covered, usual, gain)
        assert row == every.argmax()
        covered, gain[row] = np.maximum(covered, shares[:, row]), -1.0
