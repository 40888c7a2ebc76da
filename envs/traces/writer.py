"""Write a trace so that no completed measurement is lost or doubled.

A Parquet file can be read only when its footer is written. Rows therefore go to a journal beside it
first: one JSON line each, on the disk before the next configuration is tried. A `kill -9` can
leave a last line without its end, which the next run cuts off. The Parquet file has a temporary
name until it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.errors import StorageError, TraceError
from envs.files import parse_json, replacing
from envs.optional import optional_import
from envs.spec import Configuration, ConfigurationSpace, Outcome
from envs.spec.hardware import lasting
from envs.traces.schema import (
    FORMAT,
    METADATA_KEY,
    Row,
    check_names,
    configuration_of,
    extra_columns,
    number_columns,
    placement_columns,
    row_of,
    text_columns,
)

#: Parts of the provenance that must be equal in all runs of one recording.
IDENTITY = ("format", "space", "plan", "record", "serving", "runtime", "versions")

#: Advice for a disk that is full.
RESUME = "what was completed is kept, free some space and run the same command again"

#: First bytes of every journal.
HEAD = b'{"format": '


def check_new(path: Path) -> None:
    """Raise StorageError if a recording at `path` is complete: it is not written again."""
    if path.exists() and not path.with_name(path.name + ".journal").exists():
        raise StorageError(
            f"{path} exists already and is complete: choose another name with --out, or remove it"
        )


class TraceWriter:
    """Appends rows, and resumes an earlier run of the same recording.

    Args:
        path: path of the Parquet file. Its journal is `<path>.journal`.
        space: the space of the configurations.
        provenance: facts about the recording that are ready for JSON (machine, versions, seeds,
            time, command, plan).

    Raises:
        StorageError: the files cannot be written, or another process writes them.
        TraceError: the journal is not a journal of this recording.
    """

    def __init__(self, path: Path, space: ConfigurationSpace, provenance: dict[str, Any]) -> None:
        check_names(space)
        self.path = path
        self._space = space
        self._header = {"format": FORMAT, "space": space.to_dict(), **provenance}
        self._journal = path.with_name(path.name + ".journal")
        self.rows: list[Row] = []
        self._done: set[Configuration] = set()
        check_new(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(
                self._journal,
                os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
                0o644,
            )
        except OSError as error:
            raise _cannot_write(self._journal, error) from error
        try:
            self._lock()
            self._resume()
        except BaseException:
            os.close(self._file)
            raise

    def __contains__(self, configuration: Configuration) -> bool:
        return configuration in self._done

    def append(
        self, configuration: Configuration, outcome: Outcome, attempts: int, when_unix_s: float
    ) -> None:
        """Add a row, which is on the disk when this returns; each configuration has one row."""
        if configuration in self._done:
            raise TraceError(
                f"{self._space.describe(configuration)} is in {self._journal.name} already"
            )
        row = row_of(self._space, configuration, outcome, attempts, when_unix_s)
        self._write_line(row)
        self.rows.append(row)
        self._done.add(configuration)

    def publish(self, complete: bool) -> None:
        """Write the Parquet file from the rows so far; remove the journal if they are complete."""
        write_parquet(self.path, self._space, self._header | {"complete": complete}, self.rows)
        if complete:
            self._journal.unlink()

    def close(self) -> None:
        """Close the journal; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"{self._journal} is held by another recording: "
                "wait for it, or choose another name with --out"
            ) from error
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise StorageError(
                f"{self._journal} is not a plain file: remove it, or choose another name with --out"
            )
        if not self._journal.exists() or self._journal.stat().st_ino != os.fstat(self._file).st_ino:
            raise StorageError(
                f"another recording has just completed {self.path}: choose another name with --out"
            )

    def _resume(self) -> None:
        text = self._journal.read_bytes() if self._journal.is_file() else b""
        whole = text[: text.rfind(b"\n") + 1]
        foreign = (
            f"{self._journal} is not a journal of a recording: "
            "remove it, or choose another name with --out"
        )
        if not whole:
            if not HEAD.startswith(text[: len(HEAD)]):  # a file of somebody else
                raise TraceError(foreign)
            os.ftruncate(self._file, 0)
            self._write_line(self._header)
            return
        try:
            header, *rows = (parse_json(line) for line in whole.splitlines())
        except ValueError as error:
            raise TraceError(foreign) from error
        if not isinstance(header, dict) or _identity(header) != _identity(self._header):
            raise TraceError(
                f"{self._journal} belongs to another recording "
                "(device, networks, options or versions differ): "
                "remove it, or choose another name with --out"
            )
        try:
            self._done = {configuration_of(self._space, row) for row in rows}
            _table(self._space, {}, rows)
        except Exception as error:  # foreign rows end in errors without a common base
            raise TraceError(
                f"{self._journal} holds rows of another recording: "
                "remove it, or choose another name with --out"
            ) from error
        if len(whole) < len(text):
            os.ftruncate(self._file, len(whole))
        self._header = header
        self.rows = rows

    def _write_line(self, content: dict[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            while line:  # a write may be short, for example the last one before the disk is full
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            # Without this the next row would continue half a line.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)
            raise _cannot_write(self._journal, error) from error


def _identity(header: dict[str, Any]) -> Any:
    """Return what must be equal in all runs of a recording, as it is after a way through JSON."""
    kept = {key: header.get(key) for key in IDENTITY}
    with contextlib.suppress(KeyError, TypeError, AttributeError):  # of another program
        kept["space"] = lasting(header["space"])
    return json.loads(json.dumps(kept))


def write_parquet(
    path: Path, space: ConfigurationSpace, metadata: dict[str, Any], rows: Sequence[Row]
) -> None:
    """Write rows in one step; raise StorageError if that is not possible."""
    parquet = optional_import("pyarrow.parquet", "tune")
    table = _table(space, metadata, rows)
    with replacing(path, RESUME) as file:
        parquet.write_table(table, file, compression="zstd")


def _table(space: ConfigurationSpace, metadata: dict[str, Any], rows: Sequence[Row]) -> Any:
    arrow = optional_import("pyarrow", "tune")
    extra = extra_columns(space, set().union(*rows))
    schema = arrow.schema(
        [(name, arrow.int16()) for name in placement_columns(space)]
        + [(name, arrow.float64()) for name in [*number_columns(space), *extra]]
        + [(name, arrow.string()) for name in text_columns()]
        + [
            ("disturbed", arrow.bool_()),
            ("attempts", arrow.int16()),
            ("when_unix_s", arrow.float64()),
        ],
        metadata={METADATA_KEY: json.dumps(metadata).encode()},
    )
    unread = dict.fromkeys(extra, math.nan)
    return arrow.Table.from_pylist([unread | row for row in rows], schema=schema)


def _cannot_write(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write {path}: {error.strerror or error}; {RESUME}")
