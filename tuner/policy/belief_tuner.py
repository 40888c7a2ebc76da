"""A tuner that believes the device model, learns from measurements, and chooses among proposals."""

import math
from abc import ABC, abstractmethod

import numpy as np

from envs.arrays import Floats, Rows, Single
from envs.belief.assess import assess
from envs.belief.features import PROPOSALS, observe
from envs.belief.prior import Prior
from envs.belief.progress import Progress
from envs.belief.renewal import conditioned_draws, renewed_prior
from envs.belief.risk import BALANCED, price_after
from envs.belief.shortlist import ENUMERATED
from envs.errors import BundleError
from envs.problems.batching import batch_of, engines_built
from envs.problems.loading import Loading
from envs.problems.problem import Problem
from envs.spec import Configuration, MeasurementBatch, Outcome, log_score, worst_margin
from tuner.policy.ending import reason_to_end, without_waiting

#: Measurements after which the shortlist of a space that is searched is drawn up anew.
RENEWED_AFTER = (4, 8)


class BeliefTuner(ABC):
    """Asks for the default configuration, then for one of the proposals that it is shown.

    Once its budget is used up it asks for the best it found. A subclass chooses (`_choose`).

    Args:
        problem: to solve; it comes with a model of the device.
        budget: measurements.
        risk: the price of a broken limit, see `envs.belief.risk`; in a space that is searched it
            follows how many measurements kept the limits (`price_after`).
        budget_s: seconds of the measurements and of what they change, after which the search ends.

    Raises:
        BundleError: the problem has no model.
    """

    def __init__(
        self,
        problem: Problem,
        budget: int,
        risk: float = BALANCED,
        budget_s: float = math.inf,
    ) -> None:
        prior = problem.prior
        if prior is None:
            raise BundleError(
                "the policy needs a model of the device and its networks: "
                "give the problem one (envs.simulator.device_model.model_for)"
            )
        self._problem, self._budget, self._risk, self._budget_s = problem, budget, risk, budget_s
        self._told: list[tuple[Configuration, Single]] = []
        self._broken = 0
        self._take_up(prior)
        self._assess()

    def _take_up(self, prior: Prior) -> None:
        """Begin with a shortlist and the belief over it, of which nothing was measured yet."""
        problem = self._problem
        self._placements = prior.placements
        self._candidates = [Configuration.of(row) for row in prior.placements]
        self._rows = {
            configuration: position for position, configuration in enumerate(self._candidates)
        }
        self._batch = batch_of(problem.space, problem.objective, prior, prior.noise())
        self._first = np.zeros(1, dtype=np.int64)
        self._belief = self._batch.belief(self._first)
        self._loading = Loading(self._batch, self._first, fresh=np.zeros(1, dtype=bool))
        self._conditions = self._batch.conditions(
            self._first, self._budget, self._risk, self._budget_s
        )
        self._expect_costs()
        self._progress = Progress.start(1, len(self._candidates))

    @property
    def left(self) -> int:
        """Return the measurements of its budget that are left."""
        return self._budget - int(self._progress.used[0])

    @property
    def broke(self) -> bool:
        """Return True if the last measurement broke a limit."""
        return bool(self._progress.broke[0])

    def ask(self) -> Configuration:
        """Return the configuration to measure next."""
        progress = self._progress
        if not progress.measured.any():
            return self._problem.default
        if self.left <= 0:
            return self.answer
        observation, shown = self.observation()
        return self._candidates[int(shown[self._choose(observation)])]

    def finished(self) -> str:
        """Return why nothing more is worth measuring; empty while something is."""
        if not self._progress.measured.any():
            return ""
        if self._progress.spent_s[0] >= self._conditions.budget_s[0]:
            return f"the {self._conditions.budget_s[0]:g} s for the search are used up"
        return reason_to_end(self.observation()[0], self._has_best)

    def ask_worthwhile(self) -> Configuration:
        """Return the configuration to measure next; unlike `ask`, never one only to wait.

        It goes on beyond its budget: each further measurement is planned as if it were the last.
        Once it has finished it returns the best it found.
        """
        if not self._progress.measured.any():
            return self._problem.default
        if self.left <= 0:
            self._budget = int(self._progress.used[0]) + 1
            self._conditions = self._conditions._replace(budget=self._budget)
        if self.finished():
            return self.answer
        observation, shown = self.observation()
        choice = self._choose(observation)
        choice = self._choose(without_waiting(observation, choice, self._has_best))
        return self._candidates[int(shown[choice])]

    @property
    def answer(self) -> Configuration:
        """Return the best that kept the limits, or what came closest to them."""
        progress = self._progress
        best = progress.best if self._has_best else progress.closest
        return self._candidates[int(best[0])]

    @property
    def _has_best(self) -> bool:
        return bool(self._progress.best[0] >= 0)

    def observation(self) -> tuple[Single, Rows]:
        """Return what is seen of the proposals, [P, F], and which candidates they are, [P]."""
        proposals = min(PROPOSALS, len(self._candidates))
        observations, shown = observe(self._assessment, self._conditions, self._progress, proposals)
        return observations[0], shown[0]

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn from a measurement, and charge it to the budget."""
        row = self._rows.get(configuration)
        if self.left > 0 and row is not None:
            logs = self._logs(outcome)
            self._spend(row, outcome)
            self._take(row, logs, logs)
            self._told.append((configuration, logs))
            self._broken += self.broke
            if self._is_searched:
                if int(self._progress.used[0]) in RENEWED_AFTER:
                    self._renew()
                self._reprice()

    def _reprice(self) -> None:
        """Let the price of the next broken limit follow how many measurements kept the limits."""
        price = price_after(self._risk, int(self._progress.used[0]), self._broken)
        self._conditions = self._conditions._replace(risk=np.array([price], dtype=np.float32))

    @property
    def _is_searched(self) -> bool:
        space = self._problem.space
        return self._problem.open and space.combinations > ENUMERATED

    def _renew(self) -> None:
        """Draw up the shortlist anew, by all measurements so far, and learn from them again.

        A large space has far more configurations than a shortlist, so that those that turn out to
        be good may have neighbours that are not on it.
        """
        model, before = self._problem.model, self._progress
        assert model is not None, "there is a prior"
        windows: dict[Configuration, list[Single]] = {}
        for configuration, logs in self._told:
            windows.setdefault(configuration, []).append(logs)
        rows = [self._rows[configuration] for configuration in windows]
        count = np.array([len(each) for each in windows.values()])
        means = np.stack([np.mean(each, axis=0) for each in windows.values()], axis=1)
        noise = self._conditions.noise[0][:, rows] / count
        asked = [self._candidates[row] for row in np.flatnonzero(before.measured[0])]
        last = self._told[-1][0]
        rng = np.random.default_rng(len(self._told))
        draws = conditioned_draws(model, rng, list(windows), means, noise)
        size, others = len(self._candidates), [*windows, *asked][1:]
        objective = self._problem.objective
        self._take_up(renewed_prior(model, objective, rng, size, draws, self._told[0][0], others))
        for configuration, logs in self._told:
            row = self._rows[configuration]
            self._learn(row, logs, self._conditions.noise[0, :, row])
        progress = self._progress
        progress.measured[0, [self._rows[each] for each in asked]] = True
        progress.used, progress.spent_s, progress.broke = before.used, before.spent_s, before.broke
        self._loading.serving[:] = self._rows[last]
        self._expect_costs()
        self._assess()

    @abstractmethod
    def _choose(self, observation: Single) -> int:
        """Return which of the proposals to measure, of an observation [P, F]."""

    def _spend(self, row: int, outcome: Outcome) -> None:
        """Charge the measurement of a candidate to the budget, and learn what it cost."""
        cost_s = outcome.cost_s
        took_s = cost_s if np.isfinite(cost_s) else float(self._conditions.cost_s[0, row])
        self._loading.note(np.array([row]), np.array([took_s]))
        self._expect_costs()
        self._progress.spent_s += took_s
        self._progress.used += 1

    def _expect_costs(self) -> None:
        if (is_built := self._problem.is_built) is not None:
            self._loading.found(engines_built(self._problem.space, self._placements, is_built))
        self._conditions = self._conditions._replace(cost_s=self._loading.expected_s())

    def _assess(self) -> None:
        self._assessment = assess(self._belief.mean, self._belief.variance, self._conditions)

    def _take(self, row: int, logs: Single, own: Single) -> None:
        """Learn from one more window, [Q] logarithms.

        Args:
            row: which candidate it measured.
            logs: the window as it was, which is judged.
            own: the part that this configuration alone accounts for, which is learned from.
        """
        self._learn(row, own, self._conditions.noise[0, :, row])
        self._progress.broke[:] = self._judged(row, logs)[1] > 0
        self._assess()

    def _learn(self, row: int, logs: Single, noise: Single) -> None:
        """Learn from [Q] logarithms and their variances."""
        candidate = np.array([row])
        surprise = self._belief.update(candidate, logs[None], noise[None])
        score, margin = self._judged(row, logs)
        self._progress.record(candidate, score, margin)
        self._progress.note_surprise(surprise)

    def _judged(self, row: int, logs: Single) -> tuple[Floats, Floats]:
        """Return log score and worst margin, [1] each, of [Q] logarithms.

        A tenant that received no request counts as it is believed to be; power that was not read
        stays unread.
        """
        idle = ~np.isfinite(logs)
        idle[-1] = False
        if not idle[:-1].all():
            logs = np.where(idle, self._belief.mean[0, :, row], logs)
        score = log_score(logs[None, :, None], self._batch.weights, self._batch.terms)
        return score[:, 0], worst_margin(logs[None, :, None], self._batch.limits)[:, 0]

    def _logs(self, outcome: Outcome) -> Single:
        """Return the logarithms [Q] of an outcome, NaN for what was not read."""
        tenants, judged = self._problem.space.shape[0], self._problem.judged(outcome)
        return MeasurementBatch.of([judged], tenants).logs[:, 0].astype(np.float32)
