"""The examples run unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_users_program_is_served_across_reconfigurations(small_onnx: Path, cache: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "examples/serve.py", str(small_onnx)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "small: cpu_fp32 1x1",
        "small: cpu_int8 1x4",
        "small: cpu_int8 2x4",
    ]
    assert all("classes [" in line for line in lines)
