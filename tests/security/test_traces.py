"""Traces and journals from an attacker run nothing, fill no memory and print no controls."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from envs.errors import StorageError, TraceError
from envs.spec import Configuration
from envs.traces.reader import Trace, read_trace
from envs.traces.schema import METADATA_KEY
from envs.traces.writer import TraceWriter
from tests.commands import call
from tests.security.attacks import Payload, little_memory, refused, untouched
from tests.worlds import respond, space

WORLD = space()
FACTS = {"plan": {"kind": "grid"}}


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


WRONG = [
    *(
        ("device", key, value)
        for key, value in (
            ("name", 3),
            ("cores", "2"),
            ("cores", True),
            ("cores", -1),
            ("memory_mib", float("nan")),
        )
    ),
    *(
        ("device", key, value)
        for key, value in (
            ("accelerators", []),
            ("accelerators", ["cuda"] * 2),
            ("accelerators", [[1]]),
            ("accelerators", "cuda"),
        )
    ),
    *(
        ("network", key, value)
        for key, value in (
            ("macs", "1"),
            ("macs", -1),
            ("layers", None),
            ("inputs", None),
            ("inputs", [1]),
            ("sha256", []),
        )
    ),
    *(
        ("network", key, value)
        for key, value in (
            ("fixed_batch", "1"),
            ("outputs", [{"name": "y", "shape": ["a"], "dtype": "x"}]),
            ("weight_bytes", 1e300),
        )
    ),
    *(
        ("tenant", key, value)
        for key, value in (
            ("rate_ips", "3"),
            ("rate_ips", -1),
            ("weight", float("nan")),
            ("network", []),
            ("evil", 1),
        )
    ),
    *(
        ("space", key, value)
        for key, value in (
            ("max_instances", 10**9),
            ("max_instances", 10**30),
            ("max_instances", "3"),
            ("max_instances", 2.5),
        )
    ),
    *(
        ("space", key, value)
        for key, value in (
            ("batches", [1.5]),
            ("batches", "124"),
            ("batches", None),
            ("batches", []),
            ("max_total_instances", "9"),
        )
    ),
    *(
        ("space", key, value)
        for key, value in (
            ("device", []),
            ("workload", {"tenants": []}),
            ("workload", {"tenants": [None]}),
            ("workload", 3),
        )
    ),
]


@pytest.mark.parametrize(("what", "key", "value"), WRONG, ids=lambda value: repr(value)[:20])
def test_a_space_of_wrong_types_is_refused(
    trace: Trace, tmp_path: Path, what: str, key: str, value: Any
) -> None:
    described = space_of(trace)
    tenant = described["workload"]["tenants"][0]
    {
        "space": described,
        "device": described["device"],
        "tenant": tenant,
        "network": tenant["network"],
    }[what][key] = value
    path = rewritten(trace, tmp_path / "evil.parquet", facts={"space": described})
    with little_memory(500), refused("damaged contents", TraceError):
        read_trace(path)


@pytest.mark.parametrize(
    ("instances", "batches"), [(10**9, [1]), (32_001, [1]), (1000, list(range(1, 101)))]
)
def test_a_space_of_too_many_choices_is_not_enumerated(
    trace: Trace, tmp_path: Path, instances: int, batches: list[int]
) -> None:
    described = space_of(trace) | {"max_instances": instances, "batches": batches}
    with little_memory(200), refused("is above 32,000 choices", TraceError):
        read_trace(rewritten(trace, tmp_path / "evil.parquet", facts={"space": described}))


@pytest.mark.parametrize("key", ["machine", "versions", "plan", "record", "serving"])
def test_facts_of_wrong_types_are_refused(trace: Trace, tmp_path: Path, key: str) -> None:
    for value in ("text", 3, ["name"], None):
        with refused("damaged contents", TraceError):
            read_trace(rewritten(trace, tmp_path / "evil.parquet", facts={key: value}))


CELLS = [
    *(
        ("net0.cpu_fp32.instances", value, words)
        for value, words in (
            (-1, "outside its own space"),
            (-32768, "outside"),
            (2**40, "damaged|outside"),
        )
    ),
    *(
        ("net0.cpu_fp32.batch", value, words)
        for value, words in (
            (-4, "outside"),
            (10**6, "damaged|outside"),
            ("x", "damaged"),
            (float("nan"), "damaged"),
        )
    ),
    *(("net0.throughput_ips", value, "not above zero") for value in (float("nan"), 0.0)),
    *(
        (f"net0.{quantity}", -5.0, "below zero")
        for quantity in ("throughput_ips", "p50_ms", "p99_ms", "requests")
    ),
    *(
        (quantity, -1.0, "below zero")
        for quantity in ("power_w", "energy_j", "window_s", "measure_s", "memory_mib")
    ),
    *(("net0.p99_ms", value, "p99_ms that is not above zero") for value in (float("nan"), 0.0)),
    *(("net0.requests", value, "not above|infinite") for value in (float("nan"), float("inf"))),
    *(("failure", value, "damaged") for value in ("no such failure", "__import__('os')")),
    *(("threads", value, "damaged") for value in ("1 x", "9" * 5000)),
]


@pytest.mark.parametrize(("column", "value", "words"), CELLS, ids=lambda value: repr(value)[:24])
def test_impossible_cells_are_refused(
    trace: Trace, tmp_path: Path, column: str, value: Any, words: str
) -> None:
    values = pyarrow.parquet.read_table(trace.path)[column].to_pylist()
    kind = (
        pyarrow.string()
        if isinstance(value, str)
        else pyarrow.float64()
        if isinstance(value, float)
        else pyarrow.int64()
    )
    changed = [str(each) if isinstance(value, str) else each for each in values]
    changed[len(values) // 2] = value
    with refused(words, TraceError):
        read_trace(
            rewritten(trace, tmp_path / "evil.parquet", with_column(trace, column, changed, kind))
        )


def test_a_trace_of_nan_alone_is_refused(trace: Trace, tmp_path: Path) -> None:
    table = pyarrow.parquet.read_table(trace.path)
    for name in table.column_names:
        if pyarrow.types.is_floating(table.schema.field(name).type):
            table = table.set_column(
                table.column_names.index(name), name, pyarrow.array([float("nan")] * len(table))
            )
    with refused("damaged contents|not above zero", TraceError):
        read_trace(rewritten(trace, tmp_path / "evil.parquet", table))


def test_columns_of_other_types_are_refused(trace: Trace, tmp_path: Path) -> None:
    count = len(trace.rows)
    for name in (
        "net0.p99_ms",
        "net0.cpu_fp32.batch",
        "threads",
        "failure",
        "disturbed",
        "window_s",
    ):
        for values in ([[1.0, 2.0]] * count, [{"a": 1}] * count, [b"\xff\x00"] * count):
            if name == "disturbed":
                continue  # every value is true or false
            with refused("damaged contents|infinite|outside", TraceError):
                read_trace(
                    rewritten(trace, tmp_path / "evil.parquet", with_column(trace, name, values))
                )


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


# Journals.


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
