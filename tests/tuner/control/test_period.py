"""One JSON line a period; a full disk or a closed pipe costs lines, never the service."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from envs.errors import StorageError
from envs.spec.measurement import Failure, FailureKind, Outcome
from envs.spec.objective import Objective
from envs.spec.space import Configuration
from tests.worlds import respond, space
from tuner.control.events import Event, EventKind
from tuner.control.guard import Phase
from tuner.control.journal import Journal
from tuner.control.period import Period

SPACE = space()
GOOD = Configuration.of(SPACE.catalogue[5])


def period(outcome: Outcome | None = None, kept: bool = True) -> Period:
    found = respond(SPACE, GOOD) if outcome is None else outcome
    return Period(
        3,
        9.5,
        Phase.HOLDING,
        GOOD,
        found,
        Objective((50.0,)),
        kept,
        40.0,
        0.0,
        80.0,
        (Event(EventKind.LIMITS_CHANGED, "limits changed"),),
    )


def test_a_line_says_what_was_served_and_what_it_gave_and_nothing_that_is_no_json() -> None:
    data = json.loads(json.dumps(period().as_dict(SPACE), allow_nan=False))
    assert data["configuration"] == SPACE.describe(GOOD)
    assert data["tenants"]["net0"]["p99_ms"] == respond(SPACE, GOOD).tenants[0].p99_ms
    assert data["power_w"] is None, "no sensor, no number"
    assert data["memory_mib"] == respond(SPACE, GOOD).memory_mib
    assert data["limits"] == {"p99_ms": [50.0], "power_w": None}
    assert (data["period"], data["phase"], data["origin"], data["events"]) == (
        3,
        "holding",
        "measured",
        [{"kind": "limits_changed", "text": "limits changed"}],
    )


def test_a_failure_is_a_line_too() -> None:
    data = period(Failure(FailureKind.OUT_OF_MEMORY, "too large"), kept=False).as_dict(SPACE)
    assert (data["failure"], data["reason"], data["kept"]) == ("out_of_memory", "too large", False)


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
