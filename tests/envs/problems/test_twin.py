"""Twins of recorded devices: what they are made from, how they are tested, what they give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.errors import TraceError
from envs.problems.held_out import predicted
from envs.problems.twin import Twin, fits_of, recording_of, twin_of, twin_world
from envs.spec import Configuration, Failure, FailureKind, Origin
from envs.traces.reader import Trace
from tests.worlds import respond, space, write_trace


@pytest.fixture(scope="module")
def twin(trace: Trace) -> Twin:
    """Return the twin of a third of the paper computer's configurations."""
    return twin_of(part_of(trace, 30))


def part_of(trace: Trace, count: int, **changed: object) -> Trace:
    order = np.random.default_rng(1).permutation(len(trace.rows))[:count]
    return replace(trace, rows=[trace.rows[row] | changed for row in order])


def test_a_twin_predicts_what_nobody_recorded(twin: Twin, trace: Trace) -> None:
    seen = part_of(trace, 30)
    rest = replace(trace, rows=[row for row in trace.rows if row not in seen.rows])
    assert len(rest.rows) == len(trace.rows) - 30
    recording = recording_of(rest)
    mean, spread = predicted(twin.model, recording)
    error = np.abs(mean - recording.logs)[:-1]
    assert np.median(error[0]) < 0.03
    assert np.median(error[1]) < 0.08
    assert (error < 1.645 * spread[:-1]).mean() == pytest.approx(0.9, abs=0.1)


def test_the_report_is_of_rows_that_were_held_out(twin: Twin) -> None:
    assert (twin.rows, twin.recorded, twin.space, twin.folds) == (30, 30, 99, 5)
    assert [each.quantity for each in twin.held_out] == ["throughput", "p99"], "no power was read"
    for each in twin.held_out:
        assert each.rows == 30
        assert 0 < each.median < 0.5 * each.median_before
        assert each.median < each.worst
        assert 0.7 < each.covered <= 1
    slowest = {each.name: each for each in twin.moved}
    assert abs(twin.moved[0].sigmas) == max(abs(each.sigmas) for each in twin.moved)
    tail = slowest["tail"]
    assert (tail.unit, tail.before) == ("", pytest.approx(0.04))
    assert tail.after < tail.before, "every batch of the paper computer takes the same time"
    assert twin.to_dict()["moved"][0]["name"] == twin.moved[0].name


@pytest.mark.parametrize(("rows", "folds"), [(1, 0), (6, 6), (12, 5)])
def test_few_rows_are_held_out_one_by_one(trace: Trace, rows: int, folds: int) -> None:
    part, calls = part_of(trace, rows), []
    found = twin_of(part, progress=lambda: calls.append(1))
    assert found.folds == folds
    assert len(calls) == fits_of(part) == folds + 1
    assert len(found.held_out) == (2 if folds else 0)


def test_failed_and_disturbed_rows_and_what_was_not_read_are_left_out(tmp_path: Path) -> None:
    world = space()
    broken = Configuration.of(world.catalogue[3])
    failures = {broken: Failure(FailureKind.OUT_OF_MEMORY, "no memory left")}
    trace = write_trace(tmp_path / "some.parquet", world, failures=failures, power=True)
    trace.rows[0]["disturbed"] = True
    trace.rows[1]["net0.p99_ms"] = np.nan
    trace = replace(trace)  # the arrays of the rows are made anew
    recording = recording_of(trace)
    assert len(recording) == len(trace.rows) - 2
    assert np.isnan(recording.logs).sum() == 1
    rate = respond(world, Configuration.of(recording.placements[5])).throughput_ips[0]
    assert recording.logs[0, 5] == pytest.approx(np.log(rate))
    assert twin_of(trace).rows == len(trace.rows) - 2, "the model of a computer has no power"
    nothing = part_of(trace, 5, disturbed=True)
    with pytest.raises(TraceError, match="no undisturbed measurement"):
        recording_of(nothing)


def test_a_long_recording_is_thinned_out(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.problems.twin.MAX_ROWS", 10)
    assert len(recording_of(trace)) == 10


def test_problems_reach_the_whole_space_and_differ_by_what_the_recording_left_open(
    twin: Twin, trace: Trace
) -> None:
    world = twin_world(twin.model, 12, 0)
    again = twin_world(twin.model, 12, 0)
    assert world.origin is Origin.SIMULATED
    assert np.array_equal(world.problems.outcomes, again.problems.outcomes, equal_nan=True)
    codes = trace.space.codes(part_of(trace, 30).placements)
    asked = np.concatenate([trace.space.codes(each.placements) for each in world.specs])
    assert len(np.unique(asked)) > 2 * len(codes)
    assert (~np.isin(asked, codes)).mean() > 0.5
    starts = {Configuration.of(each.placements[0]) for each in world.specs}
    assert trace.space.default() in starts
    assert len(starts) > 1
    errors = []
    for number, spec in enumerate(world.specs):
        rows = trace.batch.take(trace.find(spec.placements))
        outcomes = world.problems.outcomes[number, 0, :2, : len(spec.placements)]
        errors.append(outcomes - rows.logs[:2])
    spread = np.abs(np.concatenate(errors, axis=1))
    assert np.median(spread[0]) < 0.06
    assert (np.median(spread, axis=1) > 0.005).all(), "each problem has a device of its own"
