"""The examples run as they stand, and the guide's commands are ones that there are."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tuner.deploy import DeployCommand
from tuner.export import HIDDEN, TARGETS, ExportCommand
from tuner.flags import read_flags

ROOT = Path(__file__).parents[1]


def test_a_users_program_is_served_across_reconfigurations(small_onnx: Path, cache: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "examples/serve.py", str(small_onnx)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "small: cpu_fp32 1x1",
        "small: cpu_fp32 1x4 + cpu_int8 1x4",
        "small: cpu_int8 2x4",
    ]
    assert all("classes [" in line for line in lines)


def test_the_unit_calls_the_controller_with_options_that_it_has() -> None:
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    unit.read(ROOT / "examples" / "orin-tuner.service")
    service = unit["Service"]
    given = service["ExecStart"].split()
    assert given[1:3] == ["-m", "tuner.deploy"]
    assert read_flags(DeployCommand, given[3:]).folder == Path("/var/lib") / service["StateDirectory"]
    assert service["Environment"] == f"XDG_CACHE_HOME=/var/cache/{service['CacheDirectory']}"
    assert service["Type"] == "notify", "with a watchdog, which is told by sd_notify"


def test_the_guides_commands_are_ones_that_there_are() -> None:
    guide = (ROOT / "docs" / "on-device.md").read_text(encoding="utf-8").replace("\\\n", " ")
    given = [
        shlex.split(line, comments=True)
        for line in re.findall(r"^ *python -m (tuner\..*)$", guide, re.MULTILINE)
    ]
    deploys = [words[1:] for words in given if words[0] == "tuner.deploy"]
    exports = [words[1:] for words in given if words[0] == "tuner.export"]
    assert len(deploys) >= 4
    assert all(read_flags(DeployCommand, words).serve.networks for words in deploys)
    assert len(exports) >= 2
    for words in exports:
        assert read_flags(ExportCommand, words, hidden=HIDDEN).target in TARGETS
