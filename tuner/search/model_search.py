"""Searches that believe the device model: as it is, or corrected by measurements."""

from collections.abc import Iterator

import numpy as np

from envs.arrays import Floats, Placements
from envs.belief.local_search import search
from envs.belief.score import score_and_violation
from envs.errors import OptionError
from envs.problems.problem import Problem
from envs.simulator.device_model import DeviceModel
from envs.simulator.window_noise import WINDOW_S
from envs.spec import Measurement, MeasurementBatch, Outcome
from tuner.search.candidates import OrderedSearch

#: The number of the model's best configurations that are kept in order, more than any budget.
BEST = 1000

#: How many standard deviations inside the limits the refitted model wants to be. Of 0, 0.5 and 1
#: this value found most within three measurements on 30 problems drawn for training, and broke
#: fewer limits than 0.
CARE = 0.5


class ModelArgmax(OrderedSearch):
    """Tries the default, then the model's best configurations in order; no outcome changes it.

    Raises:
        OptionError: the problem comes without a model.
    """

    def __init__(self, problem: Problem) -> None:
        model_of(problem)
        super().__init__(problem)

    def _plan(self) -> Iterator[int]:
        best = self._best()
        for start in range(0, len(best), 16):
            rows = self.rows(best[start : start + 16])
            yield from rows[rows >= 0].tolist()

    def _best(self) -> Placements:
        """Return the configurations to try [N, T, A, 2], the best first."""
        model = model_of(self.problem)
        return self.problem.once("model_best", lambda: expected_best(model, self.problem))


class ModelRefit(ModelArgmax):
    """Conditions the model on every measurement, and asks for the best of its shortlist by that.

    The belief is that of `envs.belief.gaussian`, over the shortlist of `envs.belief.prior`. No
    configuration is asked for twice; once the shortlist is spent, it continues as `ModelArgmax`.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        prior = problem.prior
        assert prior is not None, "there is a model"
        self._rows = self.rows(prior.placements)
        self._belief = prior.belief()

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
        window_s = outcome.window_s if outcome.window_s > 0 else WINDOW_S  # NaN: not published
        self._belief.update(
            at[:1],
            MeasurementBatch.of([outcome], self.problem.space.shape[0]).logs.T,
            model_of(self.problem).noise_spread(outcome.throughput_ips, outcome.p99_ms, window_s)
            ** 2,
        )


def model_of(problem: Problem) -> DeviceModel:
    """Return the model of a problem; OptionError where it has none."""
    if problem.model is None:
        raise OptionError(
            "searches that believe a model need one: a trace knows neither the layers of its"
            " networks nor the rates of its device"
        )
    return problem.model


def preference(score: Floats, violation: Floats) -> Floats:
    """Return one number to maximise, from log scores and signed violations.

    A configuration within the limits is rated by its score, above all others; those by violation.
    """
    return np.where(violation <= 0, score, -1e3 - violation)


def expected_best(model: DeviceModel, problem: Problem) -> Placements:
    """Return the best configurations [N, T, A, 2] by the model, the best first."""
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
