"""Limits on the memory of this process, which a container or a service manager sets by cgroups.

Sources: Linux Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files", and
cgroup-v1/memory.rst; cgroups(7) for /proc/self/cgroup. Whether memory of the GPU's driver counts
against such a limit on a Jetson is not published; the worst case is that it does.
"""

import math
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from envs.telemetry.sysfs import read_number, read_text

#: Version 1 shows no limit as the last page below 2^63 bytes.
NO_LIMIT = 2**62


class _Version(NamedTuple):
    """The names of a version of cgroups.

    Attributes:
        line: of /proc/self/cgroup, with the path of this process's group.
        mount: below the root of the file system.
        limit, used: files of a group.
        cache: the entry of its memory.stat that counts cached files which were not used lately.
    """

    line: str
    mount: str
    limit: str
    used: str
    cache: str


VERSIONS = (
    _Version(r"^0::(/.*)$", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    _Version(
        r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(/.*)$",
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def left_mib(root: Path = Path("/")) -> float:
    """Return what the tightest limit on this process leaves; infinite where there is none.

    Files in the page cache count as used only if they were used lately: the kernel drops the
    others before it ends a process.

    Args:
        root: of the file system.
    """
    left = (_left_bytes(group, version) for version in VERSIONS for group in _groups(root, version))
    return min(left, default=math.inf) / 2**20


def _groups(root: Path, version: _Version) -> list[Path]:
    """Return the folders of this process's group and of those around it.

    A container sees its own group at the mount point, whatever its path is on the host.
    """
    try:
        found = re.search(version.line, read_text(root / "proc/self/cgroup"), re.MULTILINE)
    except OSError:
        found = None
    path = PurePosixPath(found[1] if found else "/")
    inside = [] if ".." in path.parts else [path, *path.parents]
    names = dict.fromkeys([*(each.relative_to("/") for each in inside), PurePosixPath()])
    return [root / version.mount / name for name in names]


def _left_bytes(group: Path, version: _Version) -> float:
    limit, used = read_number(group / version.limit), read_number(group / version.used)
    if limit is None or used is None or limit >= NO_LIMIT:
        return math.inf
    try:
        cached = re.search(rf"^{version.cache} (\d+)$", read_text(group / "memory.stat"), re.M)
    except OSError:
        cached = None
    return max(0, limit - max(0, used - (int(cached[1]) if cached else 0)))
