"""A gradient search with few measurements, as published for the power modes of Jetson boards."""

import math
from collections.abc import Iterator

import numpy as np

from envs.problems.problem import Problem
from envs.spec import Outcome
from tuner.search.hill_climb import HillClimb
from tuner.search.limits import limit_margins

#: The least cost of a step, as the logarithm of latency or power over its limit.
MIN_STEP_COST = 0.02

#: Directions of a knob: more instances, a larger batch, fewer instances, a smaller batch.
MORE_INSTANCES, LARGER_BATCH, FEWER_INSTANCES, SMALLER_BATCH = range(4)


class GradientSearch(HillClimb):
    """Measures the slope along each knob, then bisects along the steepest ones.

    After GMD of Fulcrum (S. K. Prashanthi et al., "Fulcrum: Optimizing Concurrent DNN Training and
    Inferencing on Edge Accelerators", arXiv 2509.20205), which profiles about 15 power modes:
    clocks of CPU, GPU and memory, cores, and the batch of inference. Here the knobs are the
    instances and the batch of each accelerator, the start is the default, as for every tuner, and
    the implementation is a new one after the paper's abstract. One step along each knob gives its
    slope: the score gained over the share of the tightest limit used. Then every knob with a
    gain is bisected, the steepest first, each from where the one before it led. That takes about 15
    measurements for one network. The search repeats this until no knob gains anything, and then
    continues as `HillClimb`.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._measured: dict[int, tuple[float, float]] = {}  # (log score, worst margin) by row
        self._steps = self._walk()

    def _propose(self) -> int:
        for row in self._steps:
            if not self.spent[row]:
                return row
        return super()._propose()

    def _learn(self, row: int, outcome: Outcome) -> None:
        score, _ = self.problem.judge(outcome)
        log_score = math.log(score) if score > 0 else -math.inf
        worst = max(limit_margins(outcome, self.problem.objective), default=0.0)
        self._measured[row] = (log_score, worst)

    def _walk(self) -> Iterator[int]:
        """Yield rows to measure; the outcome of one is known when the next is asked for."""
        here = self.best_row()
        while True:
            slopes = []
            for direction in range(4 * self.problem.space.knobs):
                line = self._line(here, direction)
                if line:
                    yield line[0]
                    slopes.append((self._slope(here, line[0]), direction))
            start = here
            for slope, direction in sorted(slopes, reverse=True):
                if slope <= 0:
                    break
                line = self._line(here, direction)
                low, high = -1, len(line)
                while high - low > 1:
                    middle = (low + high) // 2
                    yield line[middle]
                    if self.worth[line[middle]] > self.worth[here]:
                        low, here = middle, line[middle]
                    else:
                        high = middle
            if here == start:
                return

    def _slope(self, here: int, there: int) -> float:
        """Return log score gained over log of the tightest limit used; 0 without a gain."""
        if not {here, there} <= self._measured.keys() or self.worth[there] <= self.worth[here]:
            return 0.0
        (score, margin), (new_score, new_margin) = self._measured[here], self._measured[there]
        gain = new_score - score if math.isfinite(score) else 1.0
        return max(gain, MIN_STEP_COST**2) / max(new_margin - margin, MIN_STEP_COST)

    def _line(self, here: int, direction: int) -> list[int]:
        """Return the rows ahead of `here` in one of the 4 x K directions, the nearest first."""
        space = self.problem.space
        knob, way = divmod(direction, 4)
        tenant, accelerator = divmod(knob, space.shape[1])
        instances, batch = self.candidates[here][tenant, accelerator].tolist()
        settings: list[tuple[int, int]]
        if way == MORE_INSTANCES:
            size = batch or space.batches[0]
            settings = [(count, size) for count in range(instances + 1, space.max_instances + 1)]
        elif way == LARGER_BATCH:
            settings = [(instances, size) for size in space.batches if size > batch > 0]
        elif way == FEWER_INSTANCES:
            settings = [(count, batch if count else 0) for count in range(instances - 1, -1, -1)]
        else:
            settings = [(instances, size) for size in space.batches[::-1] if size < batch]
        if not settings:
            return []
        line = np.repeat(self.candidates[here][None], len(settings), axis=0)
        line[:, tenant, accelerator] = settings
        rows = self.rows(line)
        found: list[int] = rows[rows >= 0].tolist()
        return found
