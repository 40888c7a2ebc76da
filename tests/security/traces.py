"""Traces as an attacker would write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from envs.traces.reader import Trace
from envs.traces.schema import METADATA_KEY


def rewritten(
    trace: Trace,
    path: Path,
    table: pyarrow.Table | None = None,
    facts: dict[str, Any] | None = None,
    text: bytes | None = None,
) -> Path:
    """Return the trace with other columns or facts, or with a text in place of its facts."""
    whole = pyarrow.parquet.read_table(trace.path)
    metadata = (
        json.dumps(json.loads(whole.schema.metadata[METADATA_KEY]) | (facts or {})).encode()
        if text is None
        else text
    )
    table = whole if table is None else table
    pyarrow.parquet.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: metadata}),
        path,
    )
    return path


def with_column(trace: Trace, name: str, values: Any, kind: Any = None) -> pyarrow.Table:
    table = pyarrow.parquet.read_table(trace.path)
    return table.set_column(table.column_names.index(name), name, pyarrow.array(values, kind))


def space_of(trace: Trace) -> dict[str, Any]:
    return json.loads(json.dumps(trace.space.to_dict()))
