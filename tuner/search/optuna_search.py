"""Optuna's TPE and GP samplers behind the tuner seam."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from envs.measurement import Failure, Outcome
from envs.objective import MAX_VIOLATION
from envs.optional import optional_import
from tuner.search.candidates import CandidateSearch
from tuner.search.protocol import Problem


class OptunaSearch(CandidateSearch):
    STARTUP = 5
    TRIES = 20
    log = True
    signed = True
    merge = False
    tell_invalid = False
    kind = "tpe"
    ei = 24
    cat = False
    maximin = False
    unused_level = None  # None keep suggestion -> 0

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._optuna = optional_import("optuna", "train")
        self._limits = [math.isfinite(x) for x in (*problem.objective.p99_ms, problem.objective.power_w)]
        optuna = self._optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        import logging
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seed = int(self.rng.integers(2**31))
            if self.kind == "tpe":
                sampler = optuna.samplers.TPESampler(n_startup_trials=1, multivariate=True, n_ei_candidates=self.ei, constant_liar=False, seed=seed)
            else:
                sampler = optuna.samplers.GPSampler(n_startup_trials=1, seed=seed)
        self._study = optuna.create_study(sampler=sampler, direction="maximize")
        sp = problem.space
        I = optuna.distributions.IntDistribution
        self._dist = {}
        for k in range(sp.knobs):
            if self.cat:
                self._dist[f"o{k}"] = optuna.distributions.CategoricalDistribution(list(range(len(sp.options))))
            else:
                self._dist[f"n{k}"] = I(0, sp.max_instances)
                self._dist[f"b{k}"] = I(0, len(sp.batches) - 1)
        self.told = 0
        self._low = math.inf
        self.stats = [0, 0]

    def _params(self, n, l):
        sp = self.problem.space
        out = {}
        for k in range(sp.knobs):
            if self.cat:
                out[f"o{k}"] = int(0 if n[k] == 0 else 1 + (n[k] - 1) * len(sp.batches) + l[k])
            else:
                out[f"n{k}"] = int(n[k])
                if n[k]: b = int(l[k])
                elif self.unused_level == "rand": b = int(self.rng.integers(len(sp.batches)))
                elif self.unused_level == "mid": b = (len(sp.batches) - 1) // 2
                else: b = 0
                out[f"b{k}"] = b
        return out

    def _suggest(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            t = self._study.ask(self._dist)
        sp = self.problem.space
        if self.cat:
            o = sp.options[[t.params[f"o{k}"] for k in range(sp.knobs)]].astype(np.int64)
            n = o[:, 0]
            l = np.where(n > 0, np.searchsorted(sp.batches, o[:, 1]), -1)
        else:
            n = np.array([t.params[f"n{k}"] for k in range(sp.knobs)])
            l = np.where(n > 0, [t.params[f"b{k}"] for k in range(sp.knobs)], -1)
        self._study.tell(t, state=self._optuna.trial.TrialState.FAIL)
        return n, l

    def _propose(self) -> int:
        left = np.flatnonzero(~self.spent)
        if self.told < self.STARTUP:
            if self.maximin:
                sub = self.rng.choice(left, size=min(len(left), 200), replace=False)
                d = np.min([self.steps_from(self.instances[r], self.levels[r])[sub] for r in np.flatnonzero(self.spent)], axis=0)
                return int(sub[d.argmax()])
            return self.any_of(left)
        first = None
        for _ in range(self.TRIES):
            n, l = self._suggest()
            row = self.row(np.stack([n, np.where(n > 0, np.asarray(self.problem.space.batches)[l], 0)], -1).reshape(*self.problem.space.shape, 2).astype(np.int16))
            if row >= 0 and not self.spent[row]:
                return row
            if first is None: first = (n, l)
            if row < 0 and self.tell_invalid:
                self._add(self._params(n, l), 0.0 if not self.log else 0., [MAX_VIOLATION] * sum(self._limits))
            self.stats[0] += 1
        self.stats[1] += 1
        d = self.steps_from(*first)[left]
        return self.any_of(left[d == d.min()])

    def _add(self, params, value, cons):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.add_trial(self._optuna.trial.create_trial(params=params, distributions=self._dist, value=value, system_attrs={"constraints": cons} if cons else {}))

    def _learn(self, row: int, outcome: Outcome) -> None:
        self.told += 1
        score, violation = self.problem.judge(outcome)
        v = math.log(score) if self.log and score > 0 else score
        if isinstance(outcome, Failure):
            cons = [MAX_VIOLATION] * sum(self._limits); v = self._low if math.isfinite(self._low) else 0.
        else:
            cons = []
            for has, m, lim in zip(self._limits, (*outcome.p99_ms, outcome.power_w), (*self.problem.objective.p99_ms, self.problem.objective.power_w)):
                if has: cons.append(float(np.nan_to_num(np.clip(math.log(m / lim), -3, 3), nan=3.0)))
            self._low = min(self._low, v)
        if not self.signed: cons = [max(c, 0) for c in cons]
        if self.merge and cons: cons = [max(cons)]
        self._add(self._params(self.instances[row], self.levels[row]), v, cons)
