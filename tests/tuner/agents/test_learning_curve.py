"""The learning curve of a run: a row for each update, and none twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.errors import StorageError, TraceError
from tuner.agents.learning_curve import COLUMNS, LearningCurve, read_curve


def test_each_update_has_a_row_with_means_over_its_episodes(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    curve = LearningCurve(path, 0)
    curve.add(100, [0.1, 0.3], [0.0, 0.5])
    curve.add(150, [], [])
    curve.add(200, [0.4], [0.25])
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    rows = read_curve(path)
    assert rows[:, :4].tolist() == [[100, 2, 0.2, 0.25], [200, 3, 0.4, 0.25]]
    assert (rows[:, 4] >= 0).all()


def test_a_run_goes_on_from_its_checkpoint_without_a_row_twice(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(f"{','.join(COLUMNS)}\n100,2,0.2,0.25,60.0\n200,4,0.3,0.25,120.0\n300,6,0.")
    curve = LearningCurve(path, 100)
    curve.add(200, [0.5, 0.5], [0.0, 0.0])
    rows = read_curve(path)
    assert rows[:, :4].tolist() == [[100, 2, 0.2, 0.25], [200, 4, 0.5, 0.0]]
    assert rows[1, 4] >= 60, "the seconds of both parts"


def test_a_run_that_begins_anew_forgets_an_older_curve(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    LearningCurve(path, 0).add(100, [0.1], [0.0])
    LearningCurve(path, 0)
    assert len(read_curve(path)) == 0


@pytest.mark.parametrize("content", ["", "steps,gain\n1,2\n", f"{','.join(COLUMNS)}\n1,2,x,4,5\n"])
def test_a_damaged_curve_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(content)
    with pytest.raises(TraceError, match=r"curve\.csv is damaged .*remove it"):
        LearningCurve(path, 100)
    assert path.read_text() == content


def test_a_curve_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    curve = LearningCurve(tmp_path / "curve.csv", 0)
    (tmp_path / "curve.csv").unlink()
    (tmp_path / "curve.csv").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*curve\.csv"):
        curve.add(100, [0.1], [0.0])
