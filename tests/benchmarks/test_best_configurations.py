from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks.best_configurations import kinds, second_gain
from envs.problems.draw_options import DrawOptions
from envs.spec import Configuration, accelerator
from tuner.evaluation.cases import Case
from tuner.evaluation.simulated import simulated_cases

NAMES = ("tensor", "cuda", "dla0", "dla1")


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        (((1, 4), (0, 0), (0, 0), (0, 0)), (0, 1, 0, 0, 0, 1, 1)),
        (((1, 1), (2, 1), (0, 0), (0, 0)), (1, 1, 0, 0, 0, 0, 3)),
        (((1, 1), (0, 0), (0, 0), (2, 8)), (0, 1, 0, 1, 0, 0, 1)),
        (((0, 0), (0, 0), (1, 8), (1, 1)), (0, 1, 0, 1, 1, 0, 0)),
    ],
)
def test_what_a_best_configuration_has(
    best: tuple[tuple[int, int], ...], expected: tuple[int, ...]
) -> None:
    device = SimpleNamespace(accelerators=tuple(accelerator(name) for name in NAMES))
    problem = SimpleNamespace(space=SimpleNamespace(device=device))
    answer = SimpleNamespace(configuration=Configuration((best,)))
    found = kinds(cast(Case, SimpleNamespace(problem=problem, best=answer)), 1.07)
    assert tuple(found.values()) == expected


def test_the_gain_of_a_second_instance_is_over_the_best_with_at_most_one() -> None:
    """By hand: every configuration with at most one instance on the GPU, judged by the truth."""
    options = DrawOptions(boards=["orin_nano_8"], networks=["resnet50"])
    case = next(each for each in simulated_cases(options, 8, 3) if each.best.exists)
    assert case.truth is not None
    best = 0.0
    for placement in case.problem.candidates:
        batch = case.truth(placement[None])
        late, power = batch.p99_ms[0, 0], batch.power_w[0]
        limits = case.problem.objective
        if placement[..., 0].sum() <= 1 and late <= limits.p99_ms[0] and power <= limits.power_w:
            best = max(best, batch.throughput_ips[0, 0])
    assert second_gain(case) == pytest.approx(case.best.score / best, rel=1e-6)
