"""Check that a bundle uses what a recording told on that device only, and keeps it in its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.errors import BundleError
from envs.problems.problem import Problem, problem_of
from envs.problems.twin import recording_of
from envs.simulator.conditioning import conditioned
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.spec import Objective
from envs.traces.reader import Trace
from tests.worlds import space
from tuner.control.decider import Decider
from tuner.model_at import at_rates
from tuner.policy.bundle import Bundle, load_bundle, save_bundle
from tuner.policy.device_twin import DeviceTwin
from tuner.policy.learned import LearnedTuner


@pytest.fixture(scope="module")
def knowing(bundle: Bundle, trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the small policy with what the whole trace told, after a trip through a file."""
    model = conditioned(model_for(trace.space), recording_of(trace))
    path = tmp_path_factory.mktemp("twin") / "twin.bundle"
    save_bundle(path, replace(bundle, twin=DeviceTwin.of(model)))
    return load_bundle(path)


def problem(model: DeviceModel) -> Problem:
    return problem_of(model, Objective((80.0,)))


def believed(bundle: Bundle, given: Problem, trace: Trace) -> float:
    """Return how far the believed throughputs are from the recorded ones, before measuring."""
    tuner = LearnedTuner(bundle, given)
    prior = tuner._problem.prior
    assert prior is not None
    recorded = trace.batch.take(trace.find(prior.placements)).logs[0]
    return float(np.median(np.abs(prior.mean[0] - recorded)))


def test_the_belief_on_its_device_starts_from_the_recording(
    bundle: Bundle, knowing: Bundle, trace: Trace
) -> None:
    given = problem(model_for(trace.space))
    assert believed(bundle, given, trace) > 0.1
    assert believed(knowing, given, trace) < 0.03
    assert believed(bundle, given, trace) > 0.1, "other tuners of the problem are told nothing"
    assert LearnedTuner(knowing, given)._problem is LearnedTuner(knowing, given)._problem


def test_a_recorded_configuration_is_believed_as_it_was_recorded_and_at_its_rates_only(
    knowing: Bundle, trace: Trace
) -> None:
    model = model_for(trace.space)
    assert knowing.twin is not None
    informed = knowing.twin.informed(model)
    nominal = informed.logarithms(informed.nominal(), trace.placements)[0, :2]
    ips, p99 = np.abs(nominal - trace.batch.logs[:2]).max(axis=1)
    assert ips < 0.02
    assert p99 < 0.06, "one window tells less of p99"
    space = at_rates(trace.space, (20.0,))
    other = knowing.twin.informed(replace(model, space=space)).unknowns
    assert other is not None
    assert not len(other.recorded)
    assert np.array_equal(other.mean, knowing.twin.unknowns.mean)


def test_any_other_device_is_believed_as_before(
    bundle: Bundle, knowing: Bundle, trace: Trace
) -> None:
    other = model_for(space(batches=(1, 2)))
    assert knowing.twin is not None
    assert knowing.twin.informed(other) is other
    assert "is not used here" in knowing.twin.remark(other)
    assert "starts from a recording" in knowing.twin.remark(model_for(trace.space))
    own = model_for(trace.space)
    informed = knowing.twin.informed(own)
    assert informed.unknowns is knowing.twin.unknowns
    assert knowing.twin.informed(informed) is informed
    without = replace(problem(own), model=None)
    assert knowing.twin.informed_problem(without) is without
    assert LearnedTuner(knowing, problem(other)).ask() == LearnedTuner(bundle, problem(other)).ask()


def test_a_service_is_told_as_well(knowing: Bundle, trace: Trace) -> None:
    model, told = model_for(trace.space), []

    def model_at(rates_ips: tuple[float, ...]) -> DeviceModel:
        return model

    for bundle in (knowing, replace(knowing, twin=None)):
        decider = Decider(bundle, model_at, None, Objective((80.0,)), (np.inf,))
        prior = decider._tuner._problem.prior
        assert prior is not None
        told.append(np.sqrt((prior.loadings**2).sum(axis=0)).mean())
    assert told[0] < 0.5 * told[1], "less is uncertain"


DAMAGES: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "twin.directions does not fit": lambda arrays: arrays.update(
        {"twin.mean": arrays["twin.mean"][1:]}
    ),
    "twin.mean does not fit": lambda arrays: arrays.update({"twin.mean": arrays["twin.spread"][0]}),
    "twin.spread is not finite": lambda arrays: arrays["twin.spread"].fill(np.nan),
    "twin.spread is not above 0 and": lambda arrays: arrays["twin.spread"].fill(2.0),
    "twin.left is not above 0": lambda arrays: arrays["twin.left"].fill(0.0),
    "twin.recorded holds no config": lambda arrays: arrays["twin.recorded"].fill(0.5),
    "a number beyond 20": lambda arrays: arrays["twin.mean"].fill(1e30),
    "KeyError": lambda arrays: arrays.pop("twin.directions"),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_damaged_twin_is_refused(knowing: Bundle, tmp_path: Path, reason: str) -> None:
    path = tmp_path / "twin.bundle"
    save_bundle(path, knowing)
    with np.load(path) as file:
        arrays = dict(file)
    DAMAGES[reason](arrays)
    with path.open("wb") as opened:
        np.savez(opened, **arrays)
    with pytest.raises(BundleError, match=reason):
        load_bundle(path)


def test_arrays_of_a_twin_without_one_are_refused(knowing: Bundle, tmp_path: Path) -> None:
    assert knowing.twin is not None
    path = tmp_path / "twin.bundle"
    bare = replace(knowing, twin=None, weights=knowing.weights | knowing.twin.arrays())
    save_bundle(path, bare)
    with pytest.raises(BundleError, match="its arrays are not those of a policy"):
        load_bundle(path)
