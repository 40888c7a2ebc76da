"""The rights of an ordinary user, even if the tests run as root."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534


@contextlib.contextmanager
def closed_to_others(path: Path) -> Iterator[None]:
    """Let root alone read `path` inside the block, in which the test is not root."""
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(before)
