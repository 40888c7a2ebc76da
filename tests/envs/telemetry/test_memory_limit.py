"""Limits of cgroups on the memory of this process, in trees of files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from envs.runtimes.tensorrt.device import RESERVE_MIB, memory_for_instances
from envs.telemetry.memory_limit import left_mib
from envs.telemetry.system_memory import available_mib
from tests.envs.telemetry.trees import write
from tests.standins.tensorrt.driver import ORIN

MIB = 2**20
UNLIMITED_V1 = 2**63 - 4096


def second(group: Path, limit: object, used: int, inactive: int = 0) -> None:
    """Write a group of version 2."""
    write(group / "memory.max", limit)
    write(group / "memory.current", used)
    stat = f"anon 5\nfile 7\ninactive_file {inactive}\nactive_file 9"
    write(group / "memory.stat", stat)


def first(group: Path, limit: int, used: int, inactive: int = 0) -> None:
    """Write a group of version 1."""
    write(group / "memory.limit_in_bytes", limit)
    write(group / "memory.usage_in_bytes", used)
    write(group / "memory.stat", f"inactive_file 3\ntotal_inactive_file {inactive}")


def test_a_container_sees_its_limit_at_the_mount(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/")
    second(tmp_path / "sys/fs/cgroup", 4096 * MIB, 1000 * MIB)
    assert left_mib(tmp_path) == 3096


def test_a_service_is_limited_by_every_group_around_it(tmp_path: Path) -> None:
    mount = tmp_path / "sys/fs/cgroup"
    write(tmp_path / "proc/self/cgroup", "0::/system.slice/tuner.service")
    write(mount / "memory.stat", "inactive_file 0")  # the root has no limit
    second(mount / "system.slice", 8192 * MIB, 8000 * MIB)
    second(mount / "system.slice/tuner.service", 2048 * MIB, 100 * MIB)
    second(mount / "system.slice/other.service", 2 * MIB, 1 * MIB)
    assert left_mib(tmp_path) == 192


def test_cached_files_that_nobody_used_lately_make_room(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/")
    second(tmp_path / "sys/fs/cgroup", 4096 * MIB, 4000 * MIB, inactive=3000 * MIB)
    assert left_mib(tmp_path) == 3096


@pytest.mark.parametrize(
    "line", ["4:memory:/docker/0a1b", "4:cpu,memory:/docker/0a1b", "4:memory,hugetlb:/docker/0a1b"]
)
def test_the_first_version_is_read_as_well(tmp_path: Path, line: str) -> None:
    """JetPack 5 has it; in a container the path is that of the host."""
    write(tmp_path / "proc/self/cgroup", f"12:pids:/x\n{line}\n0::/")
    first(tmp_path / "sys/fs/cgroup/memory", 3000 * MIB, 500 * MIB, inactive=100 * MIB)
    assert left_mib(tmp_path) == 2600
    first(tmp_path / "sys/fs/cgroup/memory/docker/0a1b", 2000 * MIB, 500 * MIB)
    assert left_mib(tmp_path) == 1500


def test_no_limit_is_none(tmp_path: Path) -> None:
    assert math.isinf(left_mib(tmp_path))
    write(tmp_path / "proc/self/cgroup", "4:memory:/\n0::/../elsewhere")
    second(tmp_path / "sys/fs/cgroup", "max", 5)
    first(tmp_path / "sys/fs/cgroup/memory", UNLIMITED_V1, 5)
    assert math.isinf(left_mib(tmp_path))
    assert math.isnan(available_mib(tmp_path))


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    second(tmp_path / "sys/fs/cgroup", 10 * MIB, 11 * MIB)
    assert left_mib(tmp_path) == 0


@pytest.mark.parametrize(("limit_mib", "available"), [(6000, 5000), (64_000, 20_000)])
def test_what_is_available_is_the_lesser_of_the_board_s_and_the_limit_s(
    tmp_path: Path, limit_mib: int, available: float
) -> None:
    write(tmp_path / "proc/meminfo", f"MemTotal: {30_000 * 1024} kB\nMemAvailable: 20480000 kB")
    second(tmp_path / "sys/fs/cgroup", limit_mib * MIB, 1000 * MIB)
    assert available_mib(tmp_path) == available
    assert memory_for_instances(ORIN, 100.0, tmp_path) == available - RESERVE_MIB
    (tmp_path / "proc/meminfo").unlink()
    assert available_mib(tmp_path) == limit_mib - 1000
