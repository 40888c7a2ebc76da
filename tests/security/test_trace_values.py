"""Facts and columns of a trace that are of the wrong type, or that no window gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from envs.errors import TraceError
from envs.traces.reader import Trace, read_trace
from tests.security.attacks import little_memory, refused
from tests.security.traces import rewritten, space_of, with_column

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
