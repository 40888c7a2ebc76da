from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_tests_for_hardware_are_where_make_runs_them() -> None:
    """`make test-gpu` and `make test-jetson` look into this folder only."""
    tests = HERE.parents[1]
    marked = [
        path
        for path in tests.rglob("test_*.py")
        if re.search(r"mark\.(?:gpu|jetson)\b", path.read_text(encoding="utf-8"))
    ]
    assert len(marked) >= 4
    assert all(path.is_relative_to(HERE) for path in marked), marked


def test_no_test_for_hardware_needs_a_package_for_training() -> None:
    wanted = re.compile(
        r"^(?:from|import) (torch|stable_baselines3|gymnasium|hydra|optuna)\b", re.M
    )
    found = [p for p in HERE.rglob("*.py") if wanted.search(p.read_text(encoding="utf-8"))]
    assert not found
