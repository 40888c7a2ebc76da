"""One JSON line a period; a full disk or a closed pipe costs lines, never the service."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from envs.errors import StorageError
from tuner.control.journal import Journal


def test_lines_are_appended_one_each(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(tmp_path / "new" / "journal.jsonl")
        journal.write({"a": 1})
    assert (tmp_path / "new" / "journal.jsonl").read_text() == '{"a": 1}\n{"a": 1}\n'


def test_a_full_disk_loses_lines_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(Path("/dev/full"))
    for _ in range(3):
        journal.write({"a": math.pi})
    assert journal.lost == 3
    assert caplog.text.count("serving goes on without it") == 1


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write({"a": 1})
    (tmp_path / "journal.jsonl").rename(tmp_path / "old.jsonl")
    journal.write({"a": 2})
    assert ((tmp_path / "old.jsonl").read_text(), (tmp_path / "journal.jsonl").read_text()) == (
        '{"a": 1}\n',
        '{"a": 2}\n',
    )


def test_a_journal_that_cannot_be_opened_is_told_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="give another --journal"):
        Journal(tmp_path / "file" / "journal.jsonl")
