"""The last good configuration is read again, for the same device, networks and space only."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.errors import StorageError
from envs.spec import Configuration
from tests.worlds import space
from tuner.control.last_good import FILE, LastGood

SPACE = space()
GOOD = Configuration.of(SPACE.catalogue[5])


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    LastGood(tmp_path, SPACE).keep(GOOD)
    assert LastGood(tmp_path, SPACE).load() == GOOD
    assert LastGood(tmp_path, space(batches=(1, 2))).load() is None
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"space": 1}', '{"placements": [[1]]}'])
def test_a_damaged_file_is_not_used(tmp_path: Path, text: str) -> None:
    LastGood(tmp_path, SPACE).keep(GOOD)
    (tmp_path / FILE).write_text(text)
    assert LastGood(tmp_path, SPACE).load() is None


def test_a_folder_that_cannot_be_written_is_told_and_what_was_kept_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        LastGood(tmp_path / "file", SPACE).keep(GOOD)
