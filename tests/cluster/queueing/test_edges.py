"""Closed forms at their edges: many cases at once, no arrivals, too many, nonsense."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cluster.queueing import (
    batching_with_wait,
    first_come_late_s,
    first_come_s,
    front_end_s,
    late_mixture_s,
    sharing_by_mean_size_s,
    sharing_late_s,
    sharing_s,
    sharing_variance_s2,
)
from cluster.simulate.requests import batched, poisson_arrivals

Form = Callable[[Any, Any], Any]
FORMS: tuple[Form, ...] = (
    sharing_s,
    sharing_by_mean_size_s,
    sharing_variance_s2,
    sharing_late_s,
    first_come_s,
    first_come_late_s,
)
SERVICE_S = np.array([0.01, 0.03])


@pytest.mark.parametrize("form", FORMS)
def test_cases_and_classes_are_joined_as_arrays_are(form: Form) -> None:
    rates = np.array([[1.0, 2.0], [30.0, 20.0], [0.0, 0.0], [100.0, 0.0]])
    found = form(SERVICE_S, rates)
    assert found.shape == (4, 2)
    for case, rate in zip(found, rates, strict=True):
        assert case.tolist() == form(SERVICE_S.tolist(), rate.tolist()).tolist()
    assert np.isinf(found[3]).all()  # a load of 1, also for the class without arrivals
    alone = 0.0 if form is sharing_variance_s2 else SERVICE_S
    assert found[2] == pytest.approx(alone)
    assert form(np.stack([SERVICE_S, SERVICE_S]), rates[0]).shape == (2, 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_what_is_no_time_or_rate_is_refused(form: Form, wrong: float) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        form(SERVICE_S, np.array([1.0, wrong]))
    with pytest.raises(ValueError, match="must be 0 or more"):
        form(np.array([0.01, wrong]), np.array([1.0, 1.0]))


def test_a_front_end_with_hundreds_of_cores_has_a_time() -> None:
    rates = np.array([0.0, 99.0, 19_900.0, 20_000.0])
    found = front_end_s(0.01, rates, 200)
    assert found[:2] == pytest.approx([0.01, 0.01])
    assert 0.011 < found[2] < 0.02
    assert np.isinf(found[3])


def test_batches_of_requests_that_hardly_ever_come_wait_for_nothing() -> None:
    batch_s = np.array([0.010, 0.015])
    found = batching_with_wait(batch_s, np.array([0.0, 1e-300, 1e-13, 1e-3]), 0.02)
    assert found.mean_s == pytest.approx(0.03, rel=1e-4)
    assert found.gather_s == pytest.approx(0.02, rel=1e-4)
    assert found.load == pytest.approx([0.0, 0.0, 0.0, 1e-5], abs=1e-7)
    assert batching_with_wait(batch_s[:1], 0.0, 0.02).mean_s == pytest.approx(0.01)


def test_batches_that_wait_for_ever_are_full() -> None:
    batch_s = np.array([0.010, 0.012, 0.015])
    times_s = poisson_arrivals(np.array([100.0]), 3000.0, np.random.default_rng(0)).times_s
    stays = batched(times_s, batch_s, 1e9) - times_s
    for wait_s in (1e3, np.inf):
        found = batching_with_wait(batch_s, 100.0, wait_s)
        assert found.mean_batch == pytest.approx(3.0)
        assert found.mean_s == pytest.approx(stays[:-3].mean(), rel=0.05)


def test_batches_that_come_too_fast_take_for_ever() -> None:
    found = batching_with_wait(np.array([0.010, 0.015]), np.array([133.0, 134.0, 1e9]), 10.0)
    assert np.isfinite(found.mean_s).tolist() == [True, False, False]


def test_a_mixture_with_a_place_that_never_ends_is_late_by_its_share() -> None:
    least, delay = np.array([0.1, 0.1]), np.array([0.1, np.inf])
    assert late_mixture_s(np.array([0.5, 0.5]), least, delay) == np.inf
    assert late_mixture_s(np.array([1.0, 0.0]), least, delay) == pytest.approx(
        0.1 + 0.1 * np.log(100)
    )
    # Half a percent never ends: of the others half a percent are late.
    found = late_mixture_s(np.array([0.995, 0.005]), least, delay)
    assert 0.995 * np.exp(-(found - 0.1) / 0.1) == pytest.approx(0.005)
