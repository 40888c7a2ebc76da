"""Searches and worlds with an answer that is known."""

from __future__ import annotations

from envs.problems.problem import Problem
from envs.spec import Configuration, MeasurementBatch, Objective
from envs.testing.problems import World, measurement, small_space, smooth
from tuner.search.oracle import Oracle
from tuner.search.protocol import Tuner
from tuner.search.registry import make_search


def outcomes(problem: Problem, world: World) -> MeasurementBatch:
    return MeasurementBatch.of(
        [world(Configuration.of(row)) for row in problem.candidates], problem.space.shape[0]
    )


def make_tuner(name: str, problem: Problem) -> Tuner:
    return (
        Oracle(problem, outcomes(problem, smooth))
        if name == "oracle"
        else make_search(name, problem)
    )


def best_score(problem: Problem, configurations: list[Configuration], world: World) -> float:
    verdicts = [problem.judge(world(configuration)) for configuration in configurations]
    return max((score for score, violation in verdicts if violation <= 0), default=0.0)


def line(p99_limit_ms: float, start: int = 1) -> tuple[Problem, World]:
    """Return a problem with one knob: n of 1..8 instances give 10 n inferences/s at 10 n ms."""
    space = small_space(accelerators=("cuda",), batches=(1,), max_instances=8)
    problem = Problem(
        space, space.catalogue, Objective((p99_limit_ms,)), Configuration((((start, 1),),))
    )
    return problem, lambda configuration: measurement(
        [10.0 * configuration.total_instances], [10.0 * configuration.total_instances]
    )
