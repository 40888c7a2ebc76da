"""Two controllers never share a device, and a process that is gone leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from envs.errors import StorageError
from tuner.control.lock import DeviceLock

HOLD = """
import sys, time
from pathlib import Path
from tuner.control.lock import DeviceLock
with DeviceLock(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
"""


def test_a_second_controller_is_told_who_holds_the_device_and_a_killed_one_holds_it_no_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"process {holder.pid}"), DeviceLock(path):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with DeviceLock(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep")
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(StorageError, match="cannot be opened"), DeviceLock(tmp_path / "lock"):
        pass
    assert target.read_text() == "keep"
