"""Tune a live device, and compare the answers with the best of many measured configurations.

The best of many single windows is the luckiest, too. The few best are therefore measured again, and
the best of those is taken; then it and the answers are measured in turns.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from envs.errors import ObjectiveError
from envs.problems.limits import LimitRange, draw_objectives, uniforms_per_draw
from envs.problems.problem import Problem
from envs.spec import Configuration, MeasurementBatch, Objective, Outcome
from tuner.answer import Answer
from tuner.console import progress_bar
from tuner.device import Device
from tuner.evaluation.reference import can_be_kept
from tuner.pairs import mean_window, ratio_of, value
from tuner.search.protocol import Tuner
from tuner.tuning import labelled, tune

#: Limits that are drawn, from which those to tune under are taken.
DRAWS = 100

#: The violation that counts as noise, a logarithm.
NOISE = 0.05

Windows = dict[Configuration, list[Outcome]]


@dataclass(frozen=True)
class LiveOptions:
    """Options of tuning live.

    Attributes:
        limits: to tune under.
        measurements: of a search, at most.
        pairs: of windows that confirm an answer, at most.
        window_s: length of every window.
        pause_s: before each window, in which other programs of the computer may run.
        finalists: of the configurations measured once, those measured again for each limit.
        again: how often.
        turns: windows of the best and of each answer, in turns.
    """

    limits: int
    measurements: int
    pairs: int
    window_s: float
    pause_s: float = 0.1
    finalists: int = 3
    again: int = 2
    turns: int = 3


@dataclass(frozen=True)
class Result:
    """A tuner's answer under limits, beside the best of what was measured.

    Attributes:
        tuner: its name.
        limits_ms: [T] on p99.
        best: of the configurations that were measured.
        answer: what `tuner.tuning.tune` found.
        share: score of the answer over that of the best, in turns; 0 where it broke the limit in
            the search or, by more than `NOISE`, in turns.
        broke: the configuration of each window of the search that broke the limit.
        beyond: those of them that break it in the mean of all their windows, in whatever search;
            the windows of the others broke it by the scatter of this computer alone.
        best_broke: share of the windows of the best, in turns, that broke the limit.
    """

    tuner: str
    limits_ms: tuple[float, ...]
    best: Configuration
    answer: Answer
    share: float
    broke: tuple[Configuration, ...]
    beyond: tuple[Configuration, ...]
    best_broke: float

    @property
    def most_windows(self) -> int:
        """Return how often the search measured the configuration that it measured most."""
        return max(Counter(each for each, _ in self.answer.tried[: self.answer.searched]).values())


class Measured:
    """Configurations of a live device that were measured once each; more may be added.

    Args:
        device: to measure.
        options: how.

    Attributes:
        configurations: in the order in which they were measured.
        outcomes: of each.
    """

    def __init__(self, device: Device, options: LiveOptions) -> None:
        self._device, self._options = device, options
        self._windows: defaultdict[Configuration, list[Outcome]] = defaultdict(list)
        self.configurations: list[Configuration] = []
        self.outcomes: list[Outcome] = []

    def add(self, configuration: Configuration, outcome: Outcome | None = None) -> Outcome:
        """Measure a configuration, or take its outcome of before, and return the outcome."""
        if outcome is None:
            outcome = self.measure(configuration)
        else:
            self._windows[configuration].append(outcome)
        self.configurations.append(configuration)
        self.outcomes.append(outcome)
        return outcome

    def measure(self, configuration: Configuration) -> Outcome:
        """Return the outcome of another window, which is not kept."""
        time.sleep(self._options.pause_s)
        outcome = self._device.measure(configuration, self._options.window_s)
        self._windows[configuration].append(outcome)
        return outcome

    @property
    def batch(self) -> MeasurementBatch:
        """Return the outcomes so far as arrays."""
        return MeasurementBatch.of(self.outcomes, self._device.space.shape[0])

    def objectives(
        self, limits: LimitRange | None = None, split: str = "held_out"
    ) -> list[Objective]:
        """Return limits that some configuration keeps by more than windows scatter.

        Those that are drawn are sorted by the product of the tenants' limits, and each is the
        middle one of an equal part of them.

        Args:
            limits: between which to draw; None for a little below the lowest outcome to a little
                above the highest.
            split: of the bands of limits; training leaves `held_out` out.

        Raises:
            ObjectiveError: no limit that was drawn is kept so clearly.
        """
        batch = self.batch
        uniforms = np.random.default_rng(0).random(
            (DRAWS, uniforms_per_draw(batch.p99_ms.shape[1]))
        )
        drawn = draw_objectives(limits or LimitRange.of(batch), uniforms, split)
        clear = sorted(
            (
                tuple(drawn.p99_ms[row].tolist())
                for row in range(DRAWS)
                if can_be_kept(batch, drawn.row(row), plain=True)
            ),
            key=math.prod,
        )
        if not clear:
            raise ObjectiveError(
                f"of {DRAWS} drawn limits none is kept by more than windows scatter: measure more"
                " configurations, or on a calmer computer"
            )
        places = (np.arange(self._options.limits) + 0.5) * len(clear) / self._options.limits
        return [Objective(clear[place], float("inf")) for place in places.astype(int)]

    def best(self, problem: Problem) -> Configuration:
        """Return the best by the mean of its first window and those that follow it.

        While none of the few best keeps the limits in the mean, the next few are measured again.
        """
        worth = np.array([value(problem, each) for each in self.outcomes])
        order, few = np.argsort(-worth), self._options.finalists
        windows: Windows = {}
        for start in range(0, len(order), few):
            rows = order[start : start + few]
            found = {self.configurations[row]: [self.outcomes[row]] for row in rows}
            self.in_turns(found, self._options.again)
            windows |= found
            means = {each: value(problem, mean_window(own)) for each, own in windows.items()}
            if (best := max(means, key=means.__getitem__)) and means[best] >= 0:
                break
        return labelled(self._device.space, best)

    def compare(
        self, problem: Problem, tuners: dict[str, Callable[[Problem], Tuner]]
    ) -> list[Result]:
        """Let each tuner tune under the limits of a problem, and measure the answers in turns."""
        options, limits_ms = self._options, problem.objective.p99_ms
        best = self.best(problem)
        answers = {
            name: tune(make(problem), problem, self.measure, options.measurements, options.pairs)
            for name, make in tuners.items()
        }
        chosen = [best, *(each.configuration for each in answers.values())]
        windows: Windows = {each: [] for each in chosen}
        self.in_turns(windows, options.turns)
        best_broke = np.mean([problem.judge(each)[1] > 0 for each in windows[best]])
        results = []
        for name, answer in answers.items():
            worth = share(problem, windows[answer.configuration], windows[best])
            broke = broken(problem, answer)
            beyond = tuple(each for each in broke if self._breaks(problem, each))
            results.append(
                Result(name, limits_ms, best, answer, worth, broke, beyond, float(best_broke))
            )
        return results

    def _breaks(self, problem: Problem, configuration: Configuration) -> bool:
        """Return True if the mean of all windows of a configuration breaks a limit."""
        return problem.judge(mean_window(self._windows[configuration]))[1] > 0

    def in_turns(self, windows: Windows, turns: int) -> None:
        """Measure each configuration so many times, in turns; the windows grow."""
        for _ in range(turns):
            for configuration, own in windows.items():
                own.append(self.measure(configuration))


def live_grid(device: Device, options: LiveOptions) -> Measured:
    """Measure all configurations of a live device, once each."""
    grid, catalogue = Measured(device, options), device.space.catalogue
    with progress_bar("grid", len(catalogue)) as advance:
        for row in catalogue:
            grid.add(Configuration.of(row))
            advance(device.space.describe(Configuration.of(row)))
    return grid


def share(problem: Problem, own: Sequence[Outcome], best: Sequence[Outcome]) -> float:
    """Return the score over that of the best; 0 for windows that break a limit in the mean."""
    scores = [[problem.judge(each)[0] for each in windows] for windows in (own, best)]
    ratio = ratio_of(*scores)
    if ratio is None or problem.judge(mean_window(own))[1] > NOISE:
        return 0.0
    return ratio.times


def broken(problem: Problem, answer: Answer) -> tuple[Configuration, ...]:
    """Return the configuration of each window of a search that broke a limit."""
    searched = answer.tried[: answer.searched]
    return tuple(each for each, outcome in searched if problem.judge(outcome)[1] > 0)
