from __future__ import annotations

import math
from pathlib import Path

from envs.telemetry.system_memory import available_mib, total_mib
from tests.envs.telemetry.trees import write


def test_both_are_read_in_mib(tmp_path: Path) -> None:
    write(tmp_path / "proc/meminfo", "MemTotal:       64349872 kB\nMemAvailable:   2048 kB")
    assert total_mib(tmp_path) == 64349872 / 1024
    assert available_mib(tmp_path) == 2


def test_what_is_not_told_is_not_known(tmp_path: Path) -> None:
    assert math.isnan(total_mib(tmp_path))
    write(tmp_path / "proc/meminfo", "MemFree: 5 kB")
    assert math.isnan(available_mib(tmp_path))
