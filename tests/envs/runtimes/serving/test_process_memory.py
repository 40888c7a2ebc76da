"""Memory of the process as the system counts it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from envs.runtimes.serving.process_memory import give_back, resident_mib


@pytest.mark.skipif(
    not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")),
    reason="the C library is not glibc",
)
def test_what_was_freed_goes_back_to_the_system() -> None:
    pieces = [bytes(8_000) for _ in range(10_000)]  # too small for pages of their own
    held = pieces[::100]
    before = resident_mib()
    del pieces
    give_back()
    assert resident_mib() < before - 40
    assert len(held) == 100


def test_where_nothing_is_known_there_is_no_number(tmp_path: Path) -> None:
    assert resident_mib(tmp_path / "statm") != resident_mib(tmp_path / "statm")
