"""The examples run unchanged, and the flags in the systemd unit exist."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

from tuner.deploy import DeployCommand
from tuner.flags import read_flags

ROOT = Path(__file__).parents[1]


def test_a_users_program_is_served_across_reconfigurations(small_onnx: Path, cache: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "examples/serve.py", str(small_onnx)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "small: cpu_fp32 1x1",
        "small: cpu_int8 1x4",
        "small: cpu_int8 2x4",
    ]
    assert all("classes [" in line for line in lines)


def test_the_unit_calls_the_controller_with_options_that_it_has() -> None:
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    unit.read(ROOT / "examples" / "orin-tuner.service")
    service = unit["Service"]
    given = service["ExecStart"].split()
    assert given[1:3] == ["-m", "tuner.deploy"]
    folder = read_flags(DeployCommand, given[3:]).folder
    assert folder == Path("/var/lib") / service["StateDirectory"]
    assert service["Environment"] == f"XDG_CACHE_HOME=/var/cache/{service['CacheDirectory']}"
    assert service["Type"] == "notify", "the watchdog needs sd_notify"
