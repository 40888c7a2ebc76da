"""Optuna's TPE and GP samplers behind the tuner seam.

The encoding is two whole numbers a knob, instances and the position of the batch in `space.batches` (about its logarithm), so that
near settings look near; one category a knob hides that. A sampler only sees finished trials: what it suggests is
looked up among the candidates and its trial closed, and what was measured in the end is added as a trial of its own.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import numpy as np

from envs.arrays import IntArray
from envs.optional import optional_import
from envs.problems.problem import Problem
from envs.spec.measurement import Failure, Outcome
from tuner.search.candidates import CandidateSearch, margins


class OptunaSearch(CandidateSearch):
    """The default, random candidates, then what a sampler of Optuna suggests.

    A suggestion that is no candidate, or is spent, costs no measurement: the sampler is asked again, and after `tries` suggestions
    the candidate nearest to the first of them is taken. Such suggestions are closed as failed trials, which samplers overlook.

    Raises:
        DependencyError: optuna is not installed.
    """

    #: Measurements before the model is trusted, the default included. Drawn here, among the candidates, not by the sampler.
    startup = 5
    tries = 1

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._optuna = optional_import("optuna", "train")
        #: Since Optuna 5 constraints belong to the trial; before, a sampler heeded them only if it was given a function.
        self._trial_has_constraints = hasattr(self._optuna.trial.Trial, "set_constraint")
        self._limited = bool(
            np.isfinite([*problem.objective.p99_ms, problem.objective.power_w]).any()
        )
        self._study = self._new_study()
        whole = self._optuna.distributions.IntDistribution
        # The last option of a knob has the most instances at the largest batch that its accelerator takes.
        most = np.array(
            [problem.space.options[options[-1]] for options in problem.space.knob_options]
        )
        levels = np.searchsorted(np.asarray(problem.space.batches), most[:, 1])
        top = {"instances": most[:, 0].tolist(), "level": levels.tolist()}
        self._distributions = {
            f"{name}_{knob}": whole(0, high[knob])
            for knob in range(problem.space.knobs)
            for name, high in top.items()
        }
        self._told = 0
        self._lowest = math.inf

    def _sampler(self, seed: int, **constraints: Any) -> Any:
        raise NotImplementedError

    def _new_study(self) -> Any:
        constraints = (
            {"constraints_func": _unused}
            if self._limited and not self._trial_has_constraints
            else {}
        )
        verbosity = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(logging.WARNING)  # "A new study created in memory"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
                sampler = self._sampler(int(self.rng.integers(2**31)), **constraints)
            return self._optuna.create_study(sampler=sampler, direction="maximize")
        finally:
            self._optuna.logging.set_verbosity(verbosity)

    def _propose(self) -> int:
        if self._told < self.startup:
            return self.any_of(np.flatnonzero(~self.spent))
        suggestions = []
        for _ in range(self.tries):
            instances, levels = self._suggest()
            row = self._row_of(instances, levels)
            if row >= 0 and not self.spent[row]:
                return row
            suggestions.append((instances, levels))
        return self.any_of(self.nearest_left(*suggestions[0]))

    def _suggest(self) -> tuple[IntArray, IntArray]:
        """Instances and levels [K] that the sampler would try, whether or not they are a candidate."""
        trial = self._study.ask(self._distributions)
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        knobs = range(self.problem.space.knobs)
        instances = np.array([trial.params[f"instances_{knob}"] for knob in knobs])
        levels = np.array([trial.params[f"level_{knob}"] for knob in knobs])
        return instances, np.where(instances > 0, levels, -1)

    def _row_of(self, instances: IntArray, levels: IntArray) -> int:
        batches = np.where(instances > 0, np.asarray(self.problem.space.batches)[levels], 0)
        return self.row(
            np.stack([instances, batches], axis=-1).reshape(*self.problem.space.shape, 2)
        )

    def _learn(self, row: int, outcome: Outcome) -> None:
        score, _ = self.problem.judge(outcome)
        if isinstance(outcome, Failure):
            # Bad, but not so far from the rest that a Gaussian process sees nothing else.
            score = self._lowest if math.isfinite(self._lowest) else 0.0
        else:
            self._lowest = min(score, self._lowest)
        params: dict[str, int] = {}
        for knob, (instances, level) in enumerate(
            zip(self.instances[row].tolist(), self.levels[row].tolist(), strict=True)
        ):
            params |= {f"instances_{knob}": instances, f"level_{knob}": max(level, 0)}
        extra: dict[str, Any] = {}
        if self._limited:
            limits = margins(outcome, self.problem.objective)
            named = {str(position): value for position, value in enumerate(limits)}
            extra = (
                {"constraints": named}
                if self._trial_has_constraints
                else {"system_attrs": {"constraints": limits}}
            )
        trial = self._optuna.trial.create_trial(
            params=params, distributions=self._distributions, value=score, **extra
        )
        self._study.add_trial(trial)
        self._told += 1


class TpeSearch(OptunaSearch):
    """Tree-structured Parzen estimators. Multivariate: instances and batch act together. Asking again is cheap, and draws anew."""

    tries = 10

    def _sampler(self, seed: int, **constraints: Any) -> Any:
        return self._optuna.samplers.TPESampler(
            n_startup_trials=1,
            n_ei_candidates=100,
            multivariate=True,
            constant_liar=False,
            seed=seed,
            **constraints,
        )


class GpSearch(OptunaSearch):
    """A Gaussian process of the score and one of each limit, under constrained expected improvement.

    Three measurements are enough to start. Asking again would fit everything again and suggest the same.
    """

    startup = 3

    def _sampler(self, seed: int, **constraints: Any) -> Any:
        return self._optuna.samplers.GPSampler(n_startup_trials=1, seed=seed, **constraints)


def _unused(trial: Any) -> list[float]:
    """Makes a sampler before Optuna 5 heed constraints; they are stored with the trials, so it is never asked for any."""
    raise NotImplementedError
