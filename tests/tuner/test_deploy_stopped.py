"""A service that is stopped while an engine is built: nothing is held against that engine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.standins.tensorrt.child import environment


@pytest.mark.parametrize("slow", ["gpu", "dla"], ids=["before it serves", "while it serves"])
def test_sigterm_during_a_build_ends_with_code_0_and_leaves_no_mark(
    small_onnx: Path, tmp_path: Path, slow: str
) -> None:
    log, journal, cache = tmp_path / "log", tmp_path / "journal", tmp_path / "cache"
    faults = {"build": "hang", "build_on": [slow], "log": str(log)}
    command = f"""
        -m tuner.deploy --network {small_onnx} --runtime tensorrt --precisions fp16
        --folder {tmp_path / "kept"} --lock {tmp_path / "lock"} --journal {journal}
        --p99-ms 60000 --period-s 2"""
    child = subprocess.Popen(
        [sys.executable, *command.split()],
        env=environment(faults=faults) | {"XDG_CACHE_HOME": str(cache)},
        cwd=Path(__file__).parents[2],
    )
    try:
        deadline_s = time.monotonic() + 60
        while not log.exists() or slow not in log.read_text():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert bool(journal.read_text()) == (slow == "dla")
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
    assert not list(cache.rglob("*.building"))
