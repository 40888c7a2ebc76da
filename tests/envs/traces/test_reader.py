from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from envs.errors import TraceError
from envs.spec import Configuration, Failure, FailureKind, Measurement, Origin
from envs.traces.reader import Trace, built_in_traces, find_trace, read_trace
from envs.traces.schema import METADATA_KEY, outcome_of, row_of
from tests.worlds import network, respond, space, write_trace


def test_written_rows_are_read_back(tmp_path: Path) -> None:
    world = space(tenants=2, max_instances=1)
    broken = Configuration.of(world.catalogue[3])
    trace = write_trace(
        tmp_path / "t.parquet",
        world,
        failures={broken: Failure(FailureKind.TIMED_OUT, "too slow", 7.0)},
    )
    assert trace.space == world
    for row in world.catalogue:
        configuration = Configuration.of(row)
        outcome = trace.outcome(configuration)
        if configuration == broken:
            assert outcome == Failure(FailureKind.TIMED_OUT, "too slow", 7.0)
            continue
        assert isinstance(outcome, Measurement)
        assert outcome.origin is Origin.REPLAYED, "a replayed number is never labelled as measured"
        assert outcome.tenants == respond(world, configuration).tenants
        assert math.isnan(outcome.power_w)


def test_what_was_left_of_the_memory_is_read_back_and_not_known_of_earlier_recordings() -> None:
    world = space()
    configuration = Configuration.of(world.catalogue[0])
    measured = replace(respond(world, configuration), gpu_free_mib=70.0, available_mib=900.0)
    replayed = outcome_of(world, row_of(world, configuration, measured, 1, 0.0))
    assert isinstance(replayed, Measurement)
    assert (replayed.gpu_free_mib, replayed.available_mib) == (70.0, 900.0)
    earlier = read_trace(find_trace("resnet50"))
    first = outcome_of(earlier.space, next(row for row in earlier.rows if not row["failure"]))
    assert isinstance(first, Measurement)
    assert math.isnan(first.gpu_free_mib)
    assert math.isnan(first.available_mib)


def test_a_configuration_without_a_record_is_a_typed_failure(tmp_path: Path) -> None:
    part = write_trace(tmp_path / "part.parquet", space(), keep=0.4)
    recorded = {Configuration.of(row) for row in part.placements}
    missing = next(
        Configuration.of(row) for row in space().catalogue if Configuration.of(row) not in recorded
    )
    outcome = part.outcome(missing)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.NOT_RECORDED
    assert part.find(missing.array()[None]).tolist() == [-1]
    assert part.find(np.array([[[(9, 9), (0, 0)]]])).tolist() == [-1], (
        "a configuration outside the space has no record"
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(trace: Trace, tmp_path: Path, share: float) -> None:
    whole = trace.path.read_bytes()
    path = tmp_path / "cut.parquet"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(TraceError, match=r"cut\.parquet is truncated or not a Parquet file"):
        read_trace(path)


def test_a_foreign_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2]}), path)
    with pytest.raises(TraceError, match="not a trace of this project"):
        read_trace(path)


def rewritten(
    trace: Trace, path: Path, table: pyarrow.Table | None = None, **changes: object
) -> Path:
    table = pyarrow.parquet.read_table(trace.path) if table is None else table
    facts = (
        json.loads(pyarrow.parquet.read_table(trace.path).schema.metadata[METADATA_KEY]) | changes
    )
    pyarrow.parquet.write_table(
        table.replace_schema_metadata({METADATA_KEY: json.dumps(facts)}), path
    )
    return path


def test_damaged_contents_are_named(trace: Trace, tmp_path: Path) -> None:
    table = pyarrow.parquet.read_table(trace.path)
    column = table.column_names.index("net0.p99_ms")
    cases = {
        "format 99": rewritten(trace, tmp_path / "a.parquet", format=99),
        "damaged contents": rewritten(trace, tmp_path / "b.parquet", space={"device": {}}),
        "lacks the column 'net0.p99_ms'": rewritten(
            trace, tmp_path / "c.parquet", table.drop_columns(["net0.p99_ms"])
        ),
        "a configuration twice": rewritten(
            trace, tmp_path / "d.parquet", pyarrow.concat_tables([table, table[:1]])
        ),
        "no rows": rewritten(trace, tmp_path / "e.parquet", table[:0]),
        "infinite number": rewritten(
            trace,
            tmp_path / "f.parquet",
            table.set_column(column, "net0.p99_ms", pyarrow.array([math.inf] * len(table))),
        ),
        "empty cells": rewritten(
            trace,
            tmp_path / "g.parquet",
            table.set_column(
                column, "net0.p99_ms", pyarrow.array([None] * len(table), pyarrow.float64())
            ),
        ),
    }
    for sentence, path in cases.items():
        with pytest.raises(TraceError, match=sentence):
            read_trace(path)


def test_a_trace_in_which_everything_failed_is_named(tmp_path: Path) -> None:
    world = space(max_instances=1)
    every = {
        Configuration.of(row): Failure(FailureKind.BUILD_FAILED, "no", 1.0)
        for row in world.catalogue
    }
    with pytest.raises(TraceError, match="no configuration that could be measured"):
        write_trace(tmp_path / "t.parquet", world, failures=every)


def test_a_trace_of_another_network_is_refused(trace: Trace) -> None:
    trace.check_networks([network("net0")])
    with pytest.raises(TraceError, match=r"recorded with net0.*not with other"):
        trace.check_networks([network("other")])


def test_an_unknown_name_lists_the_built_in_traces() -> None:
    with pytest.raises(TraceError, match="no trace 'nowhere'"):
        find_trace("nowhere")


@pytest.mark.parametrize("name", ["resnet50", "resnet50_mobilenet_v2"])
def test_the_built_in_traces_are_whole(name: str) -> None:
    assert name in built_in_traces()
    trace = read_trace(find_trace(name))
    assert trace.metadata["complete"]
    assert "python -m tuner.record" in trace.metadata["command"]
    assert (
        len(trace.rows) == len(trace.space.catalogue) >= (250 if trace.space.shape[0] == 1 else 200)
    )
    assert trace.space.device.accelerator_names == ("cpu_fp32", "cpu_int8")
    assert sum(row["disturbed"] for row in trace.rows) <= 0.02 * len(trace.rows)
    assert trace.path.stat().st_size < 500_000
