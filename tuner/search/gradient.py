"""A gradient search with few measurements, as published for the power modes of Jetson boards."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from envs.problems.problem import Problem
from envs.spec.measurement import Outcome
from envs.spec.objective import Objective
from tuner.search.candidates import margins
from tuner.search.hill_climb import HillClimb

#: A step whose cost does not show (a logarithm of latency or power over its limit) is taken to cost this much.
LEAST_COST = 0.02


class GradientSearch(HillClimb):
    """Slopes first, then bisection along the steepest knobs.

    After GMD of Fulcrum (S. K. Prashanthi et al., "Fulcrum: Optimizing Concurrent DNN Training and Inferencing on Edge Accelerators",
    arXiv 2509.20205), which profiles about 15 power modes: clocks of CPU, GPU and memory, cores, and the batch of inference. Here the knobs
    are the instances and the batch of each accelerator, and the implementation is a new one from what the paper's abstract says. One step
    along each knob gives its slope, throughput gained for what it takes of the tightest limit; then every knob that gains anything is bisected
    from where the ones before it led, steepest first. That is about 15 measurements for one network; from there it begins again, until no
    knob gains anything, and then goes on as `HillClimb`. What was changed beside the knobs: it starts from the default, as everybody does.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._seen: dict[int, tuple[float, float]] = {}
        self._steps = self._walk()

    def _propose(self) -> int:
        for row in self._steps:
            if not self.spent[row]:
                return row
        return super()._propose()

    def _learn(self, row: int, outcome: Outcome) -> None:
        score, _ = self.problem.judge(outcome)
        self._seen[row] = (
            math.log(score) if score > 0 else -math.inf,
            pressure(outcome, self.problem.objective),
        )

    def _walk(self) -> Iterator[int]:
        """Rows to measure; what they gave is known when the next one is asked for, if it ever is."""
        here = self.best_row()
        while True:
            slopes = []
            for knob in range(4 * self.problem.space.knobs):
                line = self._line(here, knob)
                if not line:
                    continue
                yield line[0]
                slopes.append((self._slope(here, line[0]), knob))
            before = here
            for slope, knob in sorted(slopes, reverse=True):
                if slope <= 0:
                    break
                line = self._line(here, knob)
                low, high = -1, len(line)
                while high - low > 1:
                    middle = (low + high) // 2
                    yield line[middle]
                    low, high = (
                        (middle, high)
                        if self.worth[line[middle]] > self.worth[here]
                        else (low, middle)
                    )
                    here = line[middle] if low == middle else here
            if here == before:
                return

    def _slope(self, here: int, there: int) -> float:
        """Log throughput gained over log of the tightest limit used; 0 where nothing is gained, or nothing is known."""
        if (
            here not in self._seen
            or there not in self._seen
            or self.worth[there] <= self.worth[here]
        ):
            return 0.0
        (score, used), (more, then) = self._seen[here], self._seen[there]
        gain = more - score if math.isfinite(score) else 1.0
        return max(gain, LEAST_COST * LEAST_COST) / max(then - used, LEAST_COST)

    def _line(self, here: int, knob: int) -> list[int]:
        """Rows ahead of `here` along one knob, nearest first. Every accelerator has four: more instances, larger batch, and the way back of both."""
        space = self.problem.space
        where, direction = divmod(knob, 4)
        tenant, accelerator = divmod(where, space.shape[1])
        instances, batch = (int(value) for value in self.candidates[here][tenant, accelerator])
        settings: list[tuple[int, int]] = []
        if direction == 0:
            settings = [
                (count, batch or space.batches[0])
                for count in range(instances + 1, space.max_instances + 1)
            ]
        elif direction == 1:
            settings = [(instances, size) for size in space.batches if size > batch > 0]
        elif direction == 2:
            settings = [(count, batch if count else 0) for count in range(instances - 1, -1, -1)]
        else:
            settings = [(instances, size) for size in space.batches[::-1] if size < batch]
        if not settings:
            return []
        line = np.repeat(self.candidates[here][None], len(settings), axis=0)
        line[:, tenant, accelerator] = settings
        rows = self.rows(line)
        return rows[rows >= 0].tolist()  # type: ignore[no-any-return]


def pressure(outcome: Outcome, objective: Objective) -> float:
    """Log of what was measured over what is allowed, for the tightest limit; 0 where there is none."""
    return max(margins(outcome, objective), default=0.0)
