"""Traces of published measurements: what was not published, and how they say so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from envs.errors import ObjectiveError, TraceError
from envs.problems.limits import LimitRange
from envs.problems.trace_world import TraceWorld, trace_model
from envs.simulator.known_layers import known_layers
from envs.spec import Configuration, Measurement, Objective
from envs.traces.reader import Trace, find_trace, read_trace
from envs.traces.remark import remark
from envs.traces.schema import METADATA_KEY, row_of
from envs.traces.writer import write_parquet
from tests.worlds import network, respond, space

AGX, NANO, PART = "agx_orin_resnet50", "orin_nano_yolo11n_pose_fp16", "orin_nano_yolov8s_pose_int8"
PUBLISHED = {"origin": ["a/b, MIT"]}


def written(path: Path, facts: dict[str, Any], **cells: float) -> Path:
    """Write a trace of two configurations with these facts and cells of the tenant `net0`."""
    world = space()
    rows = []
    for row in world.catalogue[:2]:
        configuration = Configuration.of(row)
        rows.append(row_of(world, configuration, respond(world, configuration), 1, 1.0))
        rows[-1] |= {f"net0.{name}": value for name, value in cells.items()}
    write_parquet(path, world, {"format": 1, "space": world.to_dict(), **facts}, rows)
    return path


def test_p99_is_missing_in_the_file_and_a_published_latency_is_judged() -> None:
    path = find_trace(AGX)
    assert all(map(math.isnan, pyarrow.parquet.read_table(path)["resnet50.p99_ms"].to_pylist()))
    trace = read_trace(path)
    assert (trace.batch.p99_ms > 0).all()
    assert all(math.isnan(each.requests) for each in outcomes(trace)[0].tenants)
    assert np.isnan(trace.batch.cost_s).all(), "nobody published how long measuring took"


def outcomes(trace: Trace) -> list[Measurement]:
    found = [trace.outcome(Configuration.of(row)) for row in trace.placements]
    return [each for each in found if isinstance(each, Measurement)]


def test_a_partial_trace_says_what_it_holds_and_what_stands_in() -> None:
    assert remark(read_trace(find_trace(AGX))) == (
        "agx_orin_resnet50.parquet is partial: it holds 6 of the 48,840 configurations of its"
        " space, and the best of these counts as the optimum; its numbers are published"
        " measurements (yyshin-katech/embedded-ai-quantization-guide, MIT), replayed; no p99 was"
        " published, so the median of the slowest engine stands in for it."
    )
    assert "power was published for 1 of them" in remark(read_trace(find_trace(PART)))
    assert "power was published for none of them" in remark(read_trace(find_trace(NANO)))


def test_a_recording_of_this_project_needs_no_remark(trace: Trace) -> None:
    assert remark(trace) == ""
    assert {each.latency_quantity for each in outcomes(trace)} == {"p99"}


def test_the_model_of_a_published_trace_has_the_layers_of_the_reference_network() -> None:
    model = trace_model(read_trace(find_trace(NANO)))
    assert model.machine.tensor_bytes == 2, "FP16"
    assert len(set(model.networks[0].macs.tolist())) > 10, "not a row of equal layers"
    assert trace_model(read_trace(find_trace(AGX))).machine.tensor_bytes == 1


def test_an_unknown_network_of_a_known_name_keeps_even_layers() -> None:
    assert len(set(known_layers(network("resnet50")).macs.tolist())) == 1


def test_power_is_limited_where_most_configurations_have_it() -> None:
    assert LimitRange.of(read_trace(find_trace(AGX)).batch).power_w is not None
    assert LimitRange.of(read_trace(find_trace(PART)).batch).power_w is None
    with pytest.raises(ObjectiveError, match="without a power sensor"):
        TraceWorld(read_trace(find_trace(NANO)), objectives=[Objective((5.0,), 20.0)])


def test_its_networks_have_no_file_to_measure_again() -> None:
    with pytest.raises(TraceError, match="ONNX files are not known: leave network out"):
        read_trace(find_trace(AGX)).check_networks([network("resnet50")])


def test_rails_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rails.parquet"
    world = space()
    first, second = (Configuration.of(row) for row in world.catalogue[:2])
    rows = [row_of(world, each, respond(world, each), 1, 1.0) for each in (first, second)]
    rows[0]["rail.VDD_IN"] = 5.0
    write_parquet(path, world, {"format": 1, "space": world.to_dict()}, rows)
    kept = [each.rails_w for each in outcomes(read_trace(path))]
    assert kept == [{"VDD_IN": 5.0}, {}]


@pytest.mark.parametrize(
    ("facts", "cells", "sentence"),
    [
        ({"latency_quantity": "fastest_ms"}, {}, "no column of a latency"),
        ({"latency_quantity": "mean_ms"}, {}, "damaged contents"),
        ({"latency_quantity": "mean_ms"}, {"mean_ms": math.nan}, "mean_ms that is not above zero"),
        ({"latency_quantity": "mean_ms"}, {"mean_ms": -1.0}, "number below zero"),
        ({"published": {"origin": ["two\nlines"]}}, {}, "printable text"),
        ({"published": ["a"]}, {}, "not an object"),
        ({"precision": {"tensor": "int4"}}, {}, "none of fp32, fp16 and int8"),
        ({"precision": {"tensor": [1]}}, {}, "damaged contents"),
        ({}, {"p99_ms": math.nan}, "p99_ms that is not above zero"),
        ({}, {"requests": math.nan}, "requests that is not above zero"),
        ({"published": {"origin": 3}}, {}, "damaged contents"),
    ],
)
def test_facts_and_cells_that_cannot_be_used_are_refused(
    facts: dict[str, Any], cells: dict[str, float], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(TraceError, match=sentence):
        read_trace(written(tmp_path / "bad.parquet", facts, **cells))


def test_a_rail_with_a_name_that_terminals_obey_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", {})
    table = pyarrow.parquet.read_table(path)
    evil = table.append_column("rail.\x1b[2J", pyarrow.array([1.0, 1.0]))
    facts = {METADATA_KEY: json.dumps(json.loads(table.schema.metadata[METADATA_KEY])).encode()}
    pyarrow.parquet.write_table(evil.replace_schema_metadata(facts), path)
    with pytest.raises(TraceError, match="rail whose name is not printable"):
        read_trace(path)


def test_published_numbers_need_no_count_of_answers(tmp_path: Path) -> None:
    facts = {"published": PUBLISHED, "latency_quantity": "mean_ms"}
    path = written(tmp_path / "t.parquet", facts, mean_ms=3.0, requests=math.nan, p99_ms=math.nan)
    trace = read_trace(path)
    assert trace.batch.p99_ms.ravel().tolist() == [3.0, 3.0]
    assert "(a/b, MIT)" in remark(trace)
