"""Small files that the controller reads cannot end it, hang it, fill its memory or redirect it."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from envs.errors import ObjectiveError, StorageError
from envs.spec import Configuration, workload_of
from tests.commands import call
from tests.security.attacks import Payload, little_memory, refused, untouched
from tests.worlds import network, space
from tuner.control.guard import Guard
from tuner.control.journal import Journal
from tuner.control.last_good import FILE, LastGood
from tuner.control.limits import Limits
from tuner.control.lock import DeviceLock

SPACE = space()
SERVED = workload_of([network("a"), network("b")])
ALONE = workload_of([network("a")])
GOOD = Configuration.of(SPACE.catalogue[5])

#: Contents that are not JSON, or too large.
CONTENTS = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 5000,
    b'"' + b"x" * (32 << 20) + b'"',
    b"null",
    b"[]",
    b"3",
]


@pytest.mark.parametrize(
    "content",
    [*CONTENTS, pickle.dumps(Payload(Path("ran")))],
    ids=lambda content: repr(content[:12]),
)
def test_invalid_limits_change_nothing(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "limits.json"
    limits = Limits({"p99_ms": 50.0}, SERVED, True, path)
    path.write_bytes(content)
    with untouched(tmp_path), little_memory(200), refused(r"limits\.json", ObjectiveError):
        limits.refresh()
    assert limits.objective.p99_ms == (50.0, 50.0)
    assert not limits.refresh(), "it is said once"


@pytest.mark.parametrize(
    "data",
    [
        *(
            {"p99_ms": value}
            for value in (
                "__import__('os')",
                [[1], [2]],
                [None, "x"],
                {"a": []},
                {"a": {"b": 1}},
                10**400,
                -(10**400),
                float("nan"),
                0,
            )
        ),
        *(
            {"power_w": value}
            for value in ("x" * 10_000, [1], {"a": 1}, -1, float("-inf"), 10**400)
        ),
        *({name: 1} for name in ("__class__", "\x1b[2J", "two\nlines", "x" * 100_000)),
        *({"p99_ms": {name: 1}} for name in ("../../x", "\x1b]0;owned\x07", "y" * 100_000)),
    ],
    ids=lambda data: repr(data)[:30],
)
def test_limits_of_wrong_types_change_nothing(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({"p99_ms": 50.0}, SERVED, True, path)
    path.write_text(json.dumps(data))
    with refused(".", ObjectiveError):
        limits.refresh()
    assert limits.objective.p99_ms == (50.0, 50.0)


def test_a_pipe_a_device_or_a_folder_in_place_of_limits_does_not_hang(tmp_path: Path) -> None:
    names = ("pipe", "endless", "folder")
    every = [Limits({"p99_ms": 50.0}, ALONE, True, tmp_path / name) for name in names]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for limits in every:
        with (
            little_memory(200),
            refused("cannot be read as JSON .it is not a plain file", ObjectiveError),
        ):
            limits.refresh()


def test_a_file_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    limits = Limits({"p99_ms": 50.0}, ALONE, True, tmp_path / "limits.json")
    for name in ("limits.json", FILE):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 30)  # takes no room on the disk
    with little_memory(200):
        assert LastGood(tmp_path, SPACE).load() is None
        with refused("more than 1,048,576 bytes", ObjectiveError):
            limits.refresh()


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: repr(content[:12]))
def test_an_invalid_last_good_configuration_is_not_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with untouched(tmp_path), little_memory(200):
        assert LastGood(tmp_path, SPACE).load() is None


PLACEMENTS = [
    *(
        None,
        [],
        {},
        "x",
        3,
        [[1]],
        [[[1, 1]]],
        [[[1, 1], [1]]],
        [[[1, 1, 1], [0, 0, 0]]],
        [[["1", "1"], ["0", "0"]]],
        [[["__import__", "os"], [0, 0]]],
    ),
    *([[[value, 1], [0, 0]]] for value in (70_000, 10**30, 1.5, None, {}, float("nan"), -(2**31))),
    [[[1, 1], [0, 0]]] * 100_000,
]


@pytest.mark.parametrize("placements", PLACEMENTS, ids=lambda value: repr(value)[:30])
def test_invalid_placements_are_not_used(tmp_path: Path, placements: Any) -> None:
    LastGood(tmp_path, SPACE).keep(GOOD)
    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(kept | {"placements": placements}))
    assert LastGood(tmp_path, SPACE).load() is None


@pytest.mark.parametrize(
    "placements",
    [
        [[[0, 0], [0, 0]]],
        [[[-1, 1], [0, 0]]],
        [[[9, 1], [0, 0]]],
        [[[1, 3], [0, 0]]],
        [[[32767, 32767], [1, 1]]],
    ],
)
def test_an_invalid_configuration_in_a_file_is_not_served(tmp_path: Path, placements: Any) -> None:
    LastGood(tmp_path, SPACE).keep(GOOD)
    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(kept | {"placements": placements}))
    assert LastGood(tmp_path, SPACE).load() is None
    assert Guard(SPACE, SPACE.default(), Configuration.of(placements)).good is None


def test_a_pipe_in_place_of_the_last_good_configuration_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    assert LastGood(tmp_path, SPACE).load() is None


def test_the_last_good_configuration_is_not_written_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    precious = tmp_path / "precious"
    precious.write_text("keep")
    for name in (FILE, f".{FILE}.7.part", "last_good.7.part"):
        (tmp_path / name).symlink_to(precious)
    LastGood(tmp_path, SPACE).keep(GOOD)
    assert precious.read_text() == "keep"
    assert LastGood(tmp_path, SPACE).load() == GOOD


def test_a_journal_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "there").symlink_to("precious")
    (tmp_path / "new").symlink_to("appears")
    for name in ("there", "new"):
        with untouched(tmp_path), refused("cannot be opened", StorageError):
            Journal(tmp_path / name)


def test_a_journal_that_becomes_a_link_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is opened anew for each line."""
    (tmp_path / "precious").write_text("keep")
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.write({"a": 1})
    path.unlink()
    path.symlink_to("precious")
    journal.write({"a": 2})
    assert journal.lost == 1
    assert "serving goes on without it" in caplog.text
    assert (tmp_path / "precious").read_text() == "keep"


@pytest.mark.parametrize("kind", ["link", "dangling", "folder"])
def test_a_lock_that_is_not_a_file_is_not_changed(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "lock").mkdir()
    else:
        (tmp_path / "precious").write_text("keep")
        (tmp_path / "lock").symlink_to("precious" if kind == "link" else "appears")
    with untouched(tmp_path), refused("the lock", StorageError), DeviceLock(tmp_path / "lock"):
        pass


def test_the_service_continues_with_damaged_files_in_its_folder(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command runs on a simulated board, and an attacker wrote all its files."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / FILE).write_bytes(b"[" * 100_000)
    (tmp_path / "evil.bundle").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    given = [
        "--runtime",
        "simulated",
        "--board",
        "orin_nano_8",
        "--network",
        small_onnx,
        "--p99-ms",
        50,
        "--max-instances",
        2,
        "--batches",
        1,
        "--periods",
        2,
    ]
    given += [
        "--bundle",
        tmp_path / "evil.bundle",
        "--folder",
        folder,
        "--journal",
        folder / "journal",
        "--lock",
        folder / "lock",
        "--period-s",
        0.01,
    ]
    with untouched(tmp_path, (folder, tmp_path / "cache")):
        result = call("deploy", *given)
    assert result.returncode == 0, result.stderr
    assert "serving without a policy" in result.stderr
    lines = [json.loads(line) for line in (folder / "journal").read_text().splitlines()]
    assert len(lines) == 2
    assert {path.name for path in folder.iterdir()} == {"journal", "lock", FILE}
    (tmp_path / "limits.json").write_bytes(b"[" * 100_000)
    with untouched(tmp_path, (folder / "lock",)):
        result = call("deploy", *given, "--limits", tmp_path / "limits.json")
    assert result.returncode == 2
    assert (
        "limits.json cannot be read as JSON (it is nested too deeply)"
        in result.stderr.splitlines()[-1]
    )
