"""Searches that believe the device model: as it is, or corrected by what was measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from envs.arrays import Floats, Placements
from envs.belief.gaussian import Belief
from envs.belief.shortlist import score_and_violation, search
from envs.errors import OptionError
from envs.problems.problem import Problem
from envs.simulator.device_model import DeviceModel, noise_spread
from envs.spec.measurement import Measurement, MeasurementBatch, Outcome
from tuner.search.candidates import OrderedSearch

#: As many of the model's best configurations are kept in order; nobody measures more.
BEST = 1000

#: How many standard deviations inside the limits the refitted model wants to be. Of 0, 0.5 and 1 this found most within three measurements on 30 problems
#: drawn for training, and broke fewer limits than 0.
CARE = 0.5


class ModelArgmax(OrderedSearch):
    """Trusts the fitted model: the default, then what it finds best within the limits, then the next best; no measurement changes its mind.

    Raises:
        OptionError: the problem comes without a model.
    """

    def __init__(self, problem: Problem) -> None:
        model_of(problem)
        super().__init__(problem)

    def _plan(self) -> Iterator[int]:
        model = model_of(self.problem)
        best = self.problem.once("model_best", lambda: expected_best(model, self.problem))
        for start in range(0, len(best), 16):
            rows = self.rows(best[start : start + 16])
            yield from rows[rows >= 0].tolist()


class ModelRefit(ModelArgmax):
    """Conditions the model on every measurement, and asks for what it then believes to be the best of its shortlist, never twice.

    The belief is that of `envs.belief.gaussian`, over the shortlist of `envs.belief.prior`; once that is spent, it goes on as `ModelArgmax`.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        prior = problem.prior
        assert prior is not None, "there is a model"
        self._rows = self.rows(prior.placements)
        self._belief = Belief.of(prior.mean[None], prior.basis[None], prior.left[None])

    def _propose(self) -> int:
        free = (self._rows >= 0) & ~self.spent[self._rows]
        if not free.any():
            return super()._propose()
        mean, doubt = self._belief.mean[0], np.sqrt(self._belief.variance[0])
        late = mean.copy()
        tenants = self.problem.space.shape[0]
        late[tenants:] += CARE * doubt[tenants:]
        score, violation = score_and_violation(model_of(self.problem), late, self.problem.objective)
        return int(self._rows[np.where(free, preference(score, violation), -np.inf).argmax()])

    def _learn(self, row: int, outcome: Outcome) -> None:
        at = np.flatnonzero(self._rows == row)
        if not len(at) or not isinstance(outcome, Measurement):
            return
        self._belief.update(
            at[:1],
            MeasurementBatch.of([outcome], self.problem.space.shape[0]).logs.T,
            noise_spread(outcome.throughput_ips, outcome.window_s) ** 2,
        )


def model_of(problem: Problem) -> DeviceModel:
    if problem.model is None:
        raise OptionError(
            "searches that believe a model need one: a trace knows neither the layers of its networks nor the rates of its device"
        )
    return problem.model


def preference(score: Floats, violation: Floats) -> Floats:
    """One number to maximise of log scores and signed violations: what keeps the limits by its score, above all else by its violation."""
    return np.where(violation <= 0, score, -1e3 - violation)


def expected_best(model: DeviceModel, problem: Problem) -> Placements:
    """What the fitted model finds best, best first: [N, T, A, 2]."""
    context = model.nominal()
    placements = (
        search(model, context, problem.objective, np.random.default_rng(0))
        if problem.open
        else problem.candidates
    )
    worth = preference(
        *score_and_violation(model, model.logarithms(context, placements)[0], problem.objective)
    )
    if len(worth) > BEST:
        top = np.argpartition(-worth, BEST)[:BEST]
        placements, worth = placements[top], worth[top]
    ordered: Placements = placements[np.argsort(-worth, kind="stable")]
    return ordered
