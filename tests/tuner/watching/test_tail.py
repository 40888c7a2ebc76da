"""Reading the end of a file: cut lines, replaced files, and more than memory wants to hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuner.watching.tail import POLL_BYTES, Tail


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_a_cut_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    append(path, b"one\ntw")
    tail = Tail(path)
    assert tail.poll().lines == (b"one",)
    assert tail.poll().lines == ()
    append(path, b"o\nthree\n")
    assert tail.poll().lines == (b"two", b"three")


def test_a_file_that_comes_later_is_replaced_or_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path)
    assert "No such file" in tail.poll().problem
    append(path, b"first line\n")
    assert tail.poll().lines == (b"first line",)
    path.rename(tmp_path / "journal.1")
    append(path, b"other\n")
    found = tail.poll()
    assert (found.lines, found.anew) == ((b"other",), True)
    path.write_bytes(b"x\n")
    found = tail.poll()
    assert (found.lines, found.anew) == ((b"x",), True)


def test_of_a_file_of_1_gb_only_the_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    with path.open("wb") as file:
        file.seek(1 << 30)  # a hole: it takes no room on the disk
        file.write(b"\n" + b"line\n" * 100)
    read = []
    real = os.pread

    def counted(descriptor: int, count: int, offset: int) -> bytes:
        read.append(count)
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", counted)
    found = Tail(path).poll()
    assert found.skipped
    assert found.lines == (b"line",) * 100
    assert sum(read) == POLL_BYTES


def test_a_line_without_an_end_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path, most=1000)
    for _ in range(20):
        append(path, b"x" * 900)
        assert tail.poll().lines == ()
    assert len(tail._partial) <= 1000
    append(path, b"\nwhole\n")
    assert tail.poll().lines[-1] == b"whole"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_has_no_end_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert Tail(path).poll().problem == f"{path} is not a plain file"
