from __future__ import annotations

import os
from pathlib import Path

import pytest

from envs.runtimes.serving.interference import CpuReading, foreign_share, read_cpu
from tests.envs.telemetry.trees import write

KERNEL, PLAIN = 0x0020_8040, 0x0040_0000


def process(proc: Path, number: int, name: str, flags: int, ticks: int) -> None:
    """Write /proc/PID/stat as Linux does (proc_pid_stat(5)): flags are field 9, times 14 and 15."""
    numbers = ["0"] * 40
    numbers[5], numbers[10], numbers[11] = str(flags), str(ticks), "7"
    write(proc / str(number) / "stat", f"{number} ({name}) S {' '.join(numbers)}")


def test_the_driver_of_the_gpu_is_no_other_program(tmp_path: Path) -> None:
    write(tmp_path / "stat", "cpu0 100 0 0 900 0 0 0 0 0 0")
    write(tmp_path / "meminfo", "MemTotal: 1 kB")
    process(tmp_path, 77, "nvgpu_channel_p", KERNEL, 93)
    process(tmp_path, 78, "irq/61-gk20a_stall", KERNEL, 13)
    process(tmp_path, 79, "kworker/0:1", KERNEL, 500)
    process(tmp_path, 80, "my (nvgpu) tool", PLAIN, 500)
    write(tmp_path / "81" / "stat", "damaged")
    reading = read_cpu(tmp_path)
    assert reading is not None
    ticks = os.sysconf("SC_CLK_TCK")
    assert reading.driver_s == pytest.approx((93 + 7 + 13 + 7) / ticks)


def test_what_the_driver_took_is_not_foreign() -> None:
    before = CpuReading(100.0, 10.0, 0.0, 2, 5.0)
    assert foreign_share(before, CpuReading(102.0, 11.0, 1.0, 2, 5.6)) == pytest.approx(0.2)
    # A thread of the driver has ended, so that the sum is smaller than before.
    assert foreign_share(before, CpuReading(102.0, 11.0, 1.0, 2, 0.0)) == pytest.approx(0.5)


def test_this_computer_can_be_read() -> None:
    reading = read_cpu()
    assert reading is not None
    assert reading.driver_s >= 0


def test_a_system_without_these_files_tells_nothing(tmp_path: Path) -> None:
    assert read_cpu(tmp_path) is None
