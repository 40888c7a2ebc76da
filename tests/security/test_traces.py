"""Traces from an attacker run nothing, fill no memory and print no controls."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from envs.errors import TraceError
from envs.traces.reader import Trace, read_trace
from tests.commands import call
from tests.security.attacks import Payload, little_memory, refused, untouched
from tests.security.traces import rewritten, space_of, with_column


def test_traces_without_an_attack_are_accepted(trace: Trace, tmp_path: Path) -> None:
    assert len(read_trace(rewritten(trace, tmp_path / "t.parquet")).rows) == len(trace.rows)
    assert (
        read_trace(rewritten(trace, tmp_path / "t.parquet", facts={"space": space_of(trace)})).space
        == trace.space
    )


def test_an_extension_type_is_not_unpickled(trace: Trace, tmp_path: Path) -> None:
    """Arrow before 14.0.1 unpickled this metadata while it read the schema (CVE-2023-47248)."""
    evil = pickle.dumps(Payload(tmp_path / "ran"))
    table = pyarrow.parquet.read_table(trace.path)
    names = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": evil,
        b"PARQUET:field_id": evil,
    }
    fields = [field.with_metadata(names) for field in table.schema]
    more = {b"pandas": json.dumps({"columns": [], "index_columns": ["__import__('os')"]}).encode()}
    path = rewritten(
        trace, tmp_path / "evil.parquet", table.cast(pyarrow.schema(fields, metadata=more))
    )
    with untouched(tmp_path):
        assert read_trace(path).space == trace.space, "the metadata of fields is not read"


def test_a_pickle_in_place_of_a_trace_or_its_facts_is_not_unpickled(
    trace: Trace, tmp_path: Path
) -> None:
    evil = pickle.dumps(Payload(tmp_path / "ran"))
    (tmp_path / "evil.parquet").write_bytes(evil)
    facts = rewritten(trace, tmp_path / "facts.parquet", text=evil)
    cells = rewritten(
        trace, tmp_path / "cells.parquet", with_column(trace, "threads", [evil] * len(trace.rows))
    )
    with untouched(tmp_path):
        for path, words in (
            (tmp_path / "evil.parquet", "not a Parquet file"),
            (facts, "damaged contents"),
            (cells, "damaged contents"),
        ):
            with refused(words, TraceError):
                read_trace(path)


def test_facts_of_any_size_and_depth_are_refused(trace: Trace, tmp_path: Path) -> None:
    for text in (
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"9" * 10_000,
        b"",
        b"null",
        b"[]",
        b"3",
        b"\xff",
        b'{"format": 1}',
        b"{" + b" " * 2**24,
    ):
        with refused("damaged contents", TraceError):
            read_trace(rewritten(trace, tmp_path / "evil.parquet", text=text))


def test_too_many_rows_are_not_unpacked(trace: Trace, tmp_path: Path) -> None:
    """Fifty million equal rows have 50 KB on the disk and gigabytes in memory."""
    count = 50_000_000
    nothing = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(np.zeros(count, np.int8)), pyarrow.array([0], pyarrow.int16())
    )
    table = pyarrow.table({"net0.cpu_fp32.instances": nothing})
    path = rewritten(trace, tmp_path / "bomb.parquet", table)
    assert path.stat().st_size < 2**20
    with little_memory(500), refused("claims 50,000,000 rows", TraceError):
        read_trace(path)


def test_too_long_texts_are_not_unpacked(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.traces.reader.MAX_BYTES", 1 << 22)
    long = ["x" * (1 << 17)] * 2 + [
        str(row) + "x" * (1 << 17) for row in range(len(trace.rows) - 2)
    ]
    path = rewritten(trace, tmp_path / "bomb.parquet", with_column(trace, "sensor", long))
    with refused("which is not a recording", TraceError):
        read_trace(path)


NAMES = ["two\nlines", "\x1b]0;owned\x07", "\x1b[2J", "a\x00b", "‮gnp.exe", "\ud800"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("owner", ["device", "power_mode", "tenant", "network", "started"])
def test_names_with_terminal_controls_are_refused(
    trace: Trace, tmp_path: Path, name: str, owner: str
) -> None:
    described = space_of(trace)
    if owner in ("device", "power_mode"):
        described["device"][{"device": "name"}.get(owner, owner)] = name
    elif owner == "tenant":
        described["workload"]["tenants"][0]["name"] = name
    elif owner == "network":
        described["workload"]["tenants"][0]["network"]["name"] = name
    path = rewritten(
        trace,
        tmp_path / "evil.parquet",
        facts={"started": name} if owner == "started" else {"space": described},
    )
    with refused("printable text", TraceError):
        read_trace(path)


MARKUP = '<script>fetch("http://x")</script><img src=x onerror=alert(1)>"\'&'


def test_reports_run_no_script_and_tables_run_no_formula(trace: Trace, tmp_path: Path) -> None:
    """Names of a trace reach the report, for browsers, and tables, for spreadsheets."""
    name = f'=HYPERLINK("http://x","y"){MARKUP}'
    table = pyarrow.parquet.read_table(trace.path)
    table = table.rename_columns(
        [column.replace("net0.", f"{name}.") for column in table.column_names]
    )
    described = space_of(trace)
    described["workload"]["tenants"][0]["name"] = described["workload"]["tenants"][0]["network"][
        "name"
    ] = name
    described["device"]["name"] = MARKUP
    facts = {
        "space": described,
        "started": MARKUP,
        "command": MARKUP,
        "more": {MARKUP: "\ud800"},
        "machine": {"name": MARKUP},
    }
    path = rewritten(trace, tmp_path / "evil.parquet", table, facts)
    with untouched(tmp_path, (tmp_path / "out",)):
        result = call(
            "evaluate",
            f"trace={path}",
            f"out={tmp_path / 'out'}",
            "evaluation.objectives=2",
            "evaluation.seeds=1",
            "evaluation.tuners=[random,hill_climb]",
        )
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    for table_name in ("runs.csv", "summary.csv"):
        for line in (tmp_path / "out" / table_name).read_text().splitlines():
            assert not any(
                cell.lstrip('"').startswith(("=", "+", "@")) for cell in line.split(",")
            ), line
