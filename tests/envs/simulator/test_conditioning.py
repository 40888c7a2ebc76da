"""A model conditioned on a recording: what is recovered, what stays open, how far it is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.conditioning import DISCREPANCY, Recording, conditioned, fingerprint
from envs.simulator.device_model import ENGINE_SPREAD, DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.parameters import NAMES
from envs.simulator.unknowns import Unknowns
from envs.spec import ConfigurationSpace, workload_of


def model_of(batches: tuple[int, ...] = (1, 4, 16), mode: str = "MAXN") -> DeviceModel:
    table = reference_network("resnet50")
    space = ConfigurationSpace(
        device_of("orin_nx_16", mode), workload_of([described(table)]), 3, batches
    )
    return DeviceModel(machine_of("orin_nx_16", mode), space, (table,))


@pytest.fixture(scope="module")
def model() -> DeviceModel:
    return model_of()


@pytest.fixture(scope="module")
def device(model: DeviceModel) -> FloatArray:
    """Return the unknowns of a device that nobody knows, [D]."""
    return np.random.default_rng(7).standard_normal(model.unknown_count)


def logs_of(model: DeviceModel, device: FloatArray) -> FloatArray:
    return model.logarithms(model.contexts_from(device[None]), model.space.catalogue)[0]


def rows_of(model: DeviceModel, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(model.space.catalogue))[:count]


def recorded(model: DeviceModel, logs: FloatArray, rows: np.ndarray) -> Recording:
    noise = np.full((len(logs), len(rows)), 0.01**2)
    return Recording(model.space.catalogue[rows], logs[:, rows], noise)


def test_a_device_that_the_model_describes_is_recovered_from_forty_of_its_configurations(
    model: DeviceModel, device: FloatArray
) -> None:
    truth, rows = logs_of(model, device), rows_of(model, 40)
    twin = conditioned(model, recorded(model, truth, rows))
    unseen = np.setdiff1d(np.arange(truth.shape[1]), rows)
    before = np.abs(model.logarithms(model.nominal(), model.space.catalogue)[0] - truth)
    after = np.abs(twin.logarithms(twin.nominal(), twin.space.catalogue)[0] - truth)
    halved = np.median(after[:, unseen], axis=1) < 0.5 * np.median(before[:, unseen], axis=1)
    assert halved.all()
    assert (np.median(after[:, unseen], axis=1) < 0.015).all()
    assert (np.quantile(after[:, unseen], 0.95, axis=1) < 0.05).all()
    assert twin.unknowns is not None
    assert (twin.unknowns.discrepancy < 0.03).all(), "the model explains all of it"


def test_the_spread_that_is_left_holds_the_truth_as_often_as_it_says(model: DeviceModel) -> None:
    inside = []
    for seed in range(6):
        device = np.random.default_rng(seed).standard_normal(model.unknown_count)
        truth, rows = logs_of(model, device), rows_of(model, 15, seed)
        twin = conditioned(model, recorded(model, truth, rows))
        draws = twin.logarithms(twin.drawn(np.random.default_rng(0), 200), twin.space.catalogue)
        own = twin.own_departures(twin.space.catalogue)[1]
        spread = np.sqrt(draws.var(axis=0) + own)
        unseen = np.setdiff1d(np.arange(truth.shape[1]), rows)
        inside.append((np.abs(draws.mean(axis=0) - truth) < 1.645 * spread)[:, unseen].mean())
    assert np.mean(inside) > 0.88
    assert min(inside) > 0.7


def test_one_number_moves_the_belief_by_its_weight(model: DeviceModel) -> None:
    """On paper the mean moves by v / (v + s) of the surprise, v before and s of the number."""
    row = rows_of(model, 1)
    placement = model.space.catalogue[row]
    rng = np.random.default_rng(0)
    near = 0.1 * rng.standard_normal((2000, model.unknown_count))  # there the model is linear
    prior = model.logarithms(model.contexts_from(near), placement)[:, 0, 0].var() / 0.1**2
    expected = model.logarithms(model.nominal(), placement)[0, 0, 0]
    logs = np.full((3, len(model.space.catalogue)), np.nan)
    logs[0, row] = expected + 0.02
    recording = recorded(model, logs, row)
    twin = conditioned(model, recording)
    assert twin.unknowns is not None
    assert twin.unknowns.discrepancy[0] == pytest.approx(DISCREPANCY, rel=0.2), "one tells little"
    own = twin.unknowns.discrepancy[0] ** 2 + recording.noise[0, 0]
    apart = replace(twin, unknowns=twin.unknowns.without_departures())
    after = apart.logarithms(apart.nominal(), placement)[0, 0, 0]
    assert after - expected == pytest.approx(0.02 * prior / (prior + own), abs=0.001)
    (spread,) = twin.unknowns.spread
    assert spread**2 == pytest.approx(own / (prior + own), rel=0.15)


def test_what_was_not_read_teaches_nothing(model: DeviceModel, device: FloatArray) -> None:
    truth, rows = logs_of(model, device), rows_of(model, 12)
    truth[1] = np.nan  # no percentile at all
    short = conditioned(model, recorded(model, truth, rows[:8]))
    truth[:, rows[8:]] = np.nan  # and rows in which nothing was read
    longer = conditioned(model, recorded(model, truth, rows))
    assert short.unknowns is not None
    assert longer.unknowns is not None
    assert short.unknowns.mean == pytest.approx(longer.unknowns.mean)
    assert short.unknowns.discrepancy[1] == pytest.approx(DISCREPANCY)
    tail = NAMES.index("tail")
    assert short.unknowns.variance()[tail] == pytest.approx(1.0), "only a percentile shows it"


def test_departures_that_no_unknown_explains_end_in_the_discrepancy(
    model: DeviceModel, device: FloatArray
) -> None:
    truth, rows = logs_of(model, device), rows_of(model, 80)
    truth[1] += 0.1 * np.random.default_rng(3).standard_normal(truth.shape[1])
    twin = conditioned(model, recorded(model, truth, rows))
    assert twin.unknowns is not None
    served, late, _ = twin.unknowns.discrepancy
    assert late == pytest.approx(0.1, rel=0.3)
    assert served < 0.03


def test_a_recorded_configuration_keeps_its_own_departure(
    model: DeviceModel, device: FloatArray
) -> None:
    truth, rows = logs_of(model, device), rows_of(model, 30)
    truth[0, rows[0]] -= 0.3  # one of them is slower than anything explains
    truth[2, rows[1]] = np.nan
    twin = conditioned(model, recorded(model, truth, rows))
    assert twin.unknowns is not None
    mean, variance = twin.own_departures(model.space.catalogue)
    unseen = np.setdiff1d(np.arange(truth.shape[1]), rows)
    assert mean[0, rows[0]] == pytest.approx(-0.3, abs=0.06)
    assert (mean[:, unseen] == 0).all()
    assert mean[2, rows[1]] == 0
    assert (twin.unknowns.discrepancy**2 == variance[:, unseen].T).all()
    assert (variance[:2, rows] <= 0.01**2).all(), "no more than the noise of its window"
    assert variance[2, rows[1]] == pytest.approx(twin.unknowns.discrepancy[2] ** 2)
    predicted = twin.logarithms(twin.nominal(), model.space.catalogue[rows])[0]
    assert predicted[0] == pytest.approx(truth[0, rows], abs=0.02)
    forgotten = replace(twin, unknowns=twin.unknowns.without_departures())
    assert (forgotten.own_departures(model.space.catalogue)[0] == 0).all()


def test_draws_have_the_mean_and_the_covariance_that_was_left() -> None:
    direction = np.array([[0.6, 0.8, 0.0]])
    none = np.zeros((3, 0))
    left = Unknowns(
        np.array([1.0, 2.0, 3.0]),
        direction,
        np.array([0.1]),
        np.ones(3),
        np.zeros((0, 1, 1, 2), dtype=np.int16),
        none,
        none,
    )
    draws = left.of(np.random.default_rng(0).standard_normal((200_000, 3)))
    expected = np.eye(3) - (1 - 0.1**2) * direction.T @ direction
    assert draws.mean(axis=0) == pytest.approx([1.0, 2.0, 3.0], abs=0.01)
    assert np.cov(draws.T) == pytest.approx(expected, abs=0.01)
    assert left.variance() == pytest.approx(np.diag(expected))


def test_unknowns_of_nothing_are_the_fitted_model(model: DeviceModel) -> None:
    plain = model.contexts_from(np.zeros((1, model.unknown_count)))
    assert np.nan_to_num(plain.table) == pytest.approx(
        np.nan_to_num(model.nominal().table), rel=1e-9
    )
    slow = np.zeros((1, model.unknown_count))
    slow[:, len(NAMES) :] = 1.0
    times, before = (each.table[1, 0, 0, :2] for each in (model.contexts_from(slow), plain))
    assert times / before == pytest.approx(np.exp(ENGINE_SPREAD))


def test_a_fingerprint_names_the_device_its_networks_and_batch_sizes(model: DeviceModel) -> None:
    own = fingerprint(model)
    assert fingerprint(model_of()) == own
    assert fingerprint(replace(model, space=replace(model.space, max_instances=2))) == own
    others = (model_of((1, 4)), model_of(mode="15W"))
    assert own not in {fingerprint(each) for each in others}
    assert fingerprint(replace(model, networks=(reference_network("resnet152"),))) != own
