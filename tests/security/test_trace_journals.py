"""Journals from an attacker: links, pipes, foreign files and wrong rows."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from envs.errors import StorageError, TraceError
from envs.spec import Configuration
from envs.traces.reader import read_trace
from envs.traces.writer import TraceWriter
from tests.security.attacks import refused, untouched
from tests.worlds import respond, space

WORLD = space()
FACTS = {"plan": {"kind": "grid"}}


def journal_of(path: Path, rows: int = 2) -> Path:
    with TraceWriter(path, WORLD, FACTS) as writer:
        for row in WORLD.catalogue[:rows]:
            configuration = Configuration.of(row)
            writer.append(configuration, respond(WORLD, configuration), 1, 1.0)
    return path.with_name(path.name + ".journal")


@pytest.mark.parametrize(
    "content", ["my only copy", "my only copy\nsecond line without an end", '{"format": 1', ""]
)
def test_a_link_in_place_of_a_journal_is_not_followed(tmp_path: Path, content: str) -> None:
    (tmp_path / "precious").write_text(content)
    (tmp_path / "t.parquet.journal").symlink_to("precious")
    with untouched(tmp_path), refused("cannot write", StorageError):
        TraceWriter(tmp_path / "t.parquet", WORLD, FACTS)
    (tmp_path / "new.parquet.journal").symlink_to("appears")
    with untouched(tmp_path), refused("cannot write", StorageError):
        TraceWriter(tmp_path / "new.parquet", WORLD, FACTS)


def test_a_pipe_in_place_of_a_journal_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.parquet.journal")
    with untouched(tmp_path), refused("is not a plain file", StorageError):
        TraceWriter(tmp_path / "t.parquet", WORLD, FACTS)


@pytest.mark.parametrize(
    "content",
    [
        "my only copy",
        "my only copy\nsecond line without an end",
        "[" * 100_000 + "\n",
        "\x00" * 1000,
        '{"form'[:3] + "x",
    ],
)
def test_a_foreign_file_in_place_of_a_journal_is_not_cut(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.parquet.journal").write_text(content)
    with untouched(tmp_path), refused("is not a journal of a recording", TraceError):
        TraceWriter(tmp_path / "t.parquet", WORLD, FACTS)


@pytest.mark.parametrize(
    "row",
    [
        "[1, 2]",
        "{}",
        "null",
        "3",
        '"x"',
        "[" * 100_000,
        '{"net0.cpu_fp32.instances": 1e400}',
        pickle.dumps(1, 0).decode().replace("\n", ""),
    ],
)
def test_invalid_rows_are_refused(tmp_path: Path, row: str) -> None:
    journal = journal_of(tmp_path / "t.parquet")
    journal.write_text(journal.read_text() + row + "\n")
    with untouched(tmp_path), refused("holds rows of another recording|not a journal", TraceError):
        TraceWriter(tmp_path / "t.parquet", WORLD, FACTS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("net0.cpu_fp32.batch", 10**6),
        ("net0.p99_ms", "soon"),
        ("threads", 3),
        ("attempts", []),
        ("disturbed", "x"),
    ],
)
def test_rows_of_wrong_types_are_refused(tmp_path: Path, column: str, value: Any) -> None:
    journal = journal_of(tmp_path / "t.parquet")
    *lines, last = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines, json.dumps(json.loads(last) | {column: value})]) + "\n")
    with untouched(tmp_path), refused("holds rows of another recording", TraceError):
        TraceWriter(tmp_path / "t.parquet", WORLD, FACTS)


def test_publishing_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    monkeypatch.setattr("os.getpid", lambda: 7)
    journal_of(tmp_path / "t.parquet")
    for name in ("t.parquet", ".t.parquet.7.part"):
        (tmp_path / name).symlink_to(precious)
    with TraceWriter(tmp_path / "t.parquet", WORLD, FACTS) as writer:
        writer.publish(complete=True)
    assert precious.read_text() == "keep"
    assert len(read_trace(tmp_path / "t.parquet").rows) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"precious", "t.parquet"}
