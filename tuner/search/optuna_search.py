"""Optuna's TPE and GP samplers behind the tuner seam.

The encoding has two whole numbers a knob: the instances, and the position of the batch in
`space.batches` (about its logarithm). Near settings look near that way; one category a knob would
hide it. A sampler only sees finished trials: a suggestion is looked up among the candidates and its
trial closed, and the measured configuration is added as a trial of its own.
"""

import logging
import math
import warnings
from typing import Any

import numpy as np

from envs.arrays import IntArray
from envs.optional import optional_import
from envs.problems.problem import Problem
from envs.spec import Failure, Outcome
from tuner.search.candidates import CandidateSearch
from tuner.search.limits import limit_margins


class OptunaSearch(CandidateSearch):
    """Tries the default, random candidates, then the suggestions of a sampler of Optuna.

    A suggestion that is spent or not a candidate costs no measurement: the sampler is asked again,
    and after `tries` suggestions the candidate nearest to the first of them is taken. Such
    suggestions are closed as failed trials, which samplers ignore.

    Attributes:
        startup: measurements before the sampler is asked, the default included.
        tries: suggestions per measurement.

    Raises:
        DependencyError: optuna is not installed.
    """

    startup = 5
    tries = 1

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._optuna = optional_import("optuna", "train")
        self._study = self._new_study()
        self._distributions = self._knob_distributions()
        self._outcomes = 0
        self._lowest_score = math.inf

    def _sampler(self, seed: int) -> Any:
        raise NotImplementedError

    def _new_study(self) -> Any:
        verbosity = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(logging.WARNING)  # "A new study created in memory"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
                sampler = self._sampler(int(self.rng.integers(2**31)))
            return self._optuna.create_study(sampler=sampler, direction="maximize")
        finally:
            self._optuna.logging.set_verbosity(verbosity)

    def _knob_distributions(self) -> dict[str, Any]:
        space = self.problem.space
        whole = self._optuna.distributions.IntDistribution
        found: dict[str, Any] = {}
        for knob, options in enumerate(space.knob_options):
            # The last option has the most instances at the largest batch of its accelerator.
            instances, batch = space.options[options[-1]].tolist()
            level = int(np.searchsorted(space.batches, batch))
            found |= {f"instances_{knob}": whole(0, instances), f"level_{knob}": whole(0, level)}
        return found

    def _propose(self) -> int:
        if self._outcomes < self.startup:
            return self.pick(np.flatnonzero(~self.spent))
        suggestions = []
        for _ in range(self.tries):
            instances, levels = self._suggest()
            row = self._row_of(instances, levels)
            if row >= 0 and not self.spent[row]:
                return row
            suggestions.append((instances, levels))
        return self.pick(self.nearest_unspent(*suggestions[0]))

    def _suggest(self) -> tuple[IntArray, IntArray]:
        """Return instances and levels [K] that the sampler would try, candidate or not."""
        trial = self._study.ask(self._distributions)
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        knobs = range(self.problem.space.knobs)
        instances = np.array([trial.params[f"instances_{knob}"] for knob in knobs])
        levels = np.array([trial.params[f"level_{knob}"] for knob in knobs])
        return instances, np.where(instances > 0, levels, -1)

    def _row_of(self, instances: IntArray, levels: IntArray) -> int:
        space = self.problem.space
        batches = np.where(instances > 0, np.asarray(space.batches)[levels], 0)
        return int(
            self.rows(np.stack([instances, batches], axis=-1).reshape(1, *space.shape, 2))[0]
        )

    def _learn(self, row: int, outcome: Outcome) -> None:
        score, _ = self.problem.judge(outcome)
        if isinstance(outcome, Failure):
            # A score far below the others would hide their differences from a Gaussian process.
            score = self._lowest_score if math.isfinite(self._lowest_score) else 0.0
        else:
            self._lowest_score = min(score, self._lowest_score)
        settings = zip(self.instances[row].tolist(), self.levels[row].tolist(), strict=True)
        params: dict[str, int] = {}
        for knob, (instances, level) in enumerate(settings):
            params |= {f"instances_{knob}": instances, f"level_{knob}": max(level, 0)}
        margins = enumerate(limit_margins(outcome, self.problem.objective))
        trial = self._optuna.trial.create_trial(
            params=params,
            distributions=self._distributions,
            value=score,
            constraints={str(limit): margin for limit, margin in margins},
        )
        self._study.add_trial(trial)
        self._outcomes += 1


class TpeSearch(OptunaSearch):
    """Uses tree-structured Parzen estimators, multivariate: instances and batch act together.

    Asking again is cheap and draws anew.
    """

    tries = 10

    def _sampler(self, seed: int) -> Any:
        return self._optuna.samplers.TPESampler(
            n_startup_trials=1,
            n_ei_candidates=100,
            multivariate=True,
            constant_liar=False,
            seed=seed,
        )


class GpSearch(OptunaSearch):
    """Uses Gaussian processes of the score and of each limit, with constrained improvement.

    Three measurements are enough to start. Asking again would fit everything again and suggest the
    same.
    """

    startup = 3

    def _sampler(self, seed: int) -> Any:
        return self._optuna.samplers.GPSampler(n_startup_trials=1, seed=seed)

    def _suggest(self) -> tuple[IntArray, IntArray]:
        torch = optional_import("torch", "train")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # its matrices are small: more threads only wait for each other
        try:
            return super()._suggest()
        finally:
            torch.set_num_threads(threads)
