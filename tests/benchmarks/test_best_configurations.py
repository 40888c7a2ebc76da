from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks.best_configurations import kinds
from envs.spec import Configuration, accelerator
from tuner.evaluation.cases import Case

NAMES = ("tensor", "cuda", "dla0", "dla1")


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        (((1, 4), (0, 0), (0, 0), (0, 0)), (0, 0, 0, 1, 1)),
        (((1, 1), (2, 1), (0, 0), (0, 0)), (1, 0, 0, 0, 3)),
        (((1, 1), (0, 0), (0, 0), (2, 8)), (0, 1, 0, 0, 1)),
        (((0, 0), (0, 0), (1, 8), (1, 1)), (0, 1, 1, 0, 0)),
    ],
)
def test_what_a_best_configuration_has(
    best: tuple[tuple[int, int], ...], expected: tuple[int, ...]
) -> None:
    device = SimpleNamespace(accelerators=tuple(accelerator(name) for name in NAMES))
    problem = SimpleNamespace(space=SimpleNamespace(device=device))
    answer = SimpleNamespace(configuration=Configuration((best,)))
    found = kinds(cast(Case, SimpleNamespace(problem=problem, best=answer)))
    assert tuple(found.values()) == expected
