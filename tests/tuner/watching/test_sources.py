"""The sources: what the commands really write, read back; and what damaged files do."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from envs.spec import Configuration, Failure, FailureKind
from envs.traces.writer import TraceWriter
from tests.tuner.watching.journals import (
    FAILED,
    LARGE,
    SMALL,
    WORLD,
    event,
    named,
    period,
    write,
)
from tests.worlds import respond, space
from tuner.agents import learning_curve
from tuner.control.guard import Phase
from tuner.control.metrics import Metrics
from tuner.watching import training_rows
from tuner.watching.journal_lines import slots_of
from tuner.watching.moments import Slot
from tuner.watching.sources import (
    JournalSource,
    MetricsSource,
    RecordingSource,
    TrainingSource,
)


def test_a_journal_reads_back_as_it_was_measured(tmp_path: Path) -> None:
    outcome = replace(respond(WORLD, LARGE), throttled=("thermal",), temperature_c=71.5)
    path = write(tmp_path / "j", period(1, Phase.SEARCHING, LARGE, outcome, events=[event("new")]))
    [moment] = JournalSource(path).poll().moments
    [tenant] = moment.tenants
    assert (moment.number, moment.phase, moment.kept) == (1, "searching", True)
    assert (tenant.throughput_ips, tenant.p99_ms) == (
        outcome.tenants[0].throughput_ips,
        outcome.tenants[0].p99_ms,
    )
    names = WORLD.device.accelerator_names
    assert tenant.slots == tuple(Slot(names[a], i, b) for _, a, i, b in LARGE.slots())
    assert (moment.temperature_c, moment.throttled) == (71.5, ("thermal",))
    assert math.isnan(moment.power_w), "no sensor, no number"
    assert math.isinf(moment.power_limit_w)
    assert [each.text for each in moment.notices] == ["new"]


def test_a_failure_keeps_its_tenants_and_says_why(tmp_path: Path) -> None:
    path = write(tmp_path / "j", period(1), period(2, outcome=FAILED))
    before, failed = JournalSource(path).poll().moments
    assert failed.failure == "timed_out: no request was answered"
    assert failed.kept is False
    assert [each.slots for each in failed.tenants] == [each.slots for each in before.tenants]
    assert math.isnan(failed.throughput_ips)


def test_lines_that_are_cut_foreign_or_hostile_are_counted_and_break_nothing(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "j", period(1))
    whole = path.read_bytes().strip()
    for wrong in (
        whole[:200],
        b"\xff\xfe nothing",
        b"[1, 2]",
        b"{" * 100_000,
        b'{"period": "one"}',
        b'{"period": ' + b"9" * 5000 + b"}",
        b"building an engine",
    ):
        with path.open("ab") as file:
            file.write(wrong + b"\n")
    odd = {
        "period": 2,
        "tenants": [1],
        "limits": 7,
        "events": {"a": 1},
        "time": [],
        "kept": "no",
        "throttled": "hot",
        "power_w": True,
        "configuration": 5,
        "phase": None,
    }
    odder = {"period": 10**400, "tenants": {"a": 5}, "events": [5] * 1000, "power_w": 10**400}
    with path.open("ab") as file:
        file.write(b"".join(json.dumps(each).encode() + b"\n" for each in (odd, odder)))
    news = JournalSource(path).poll()
    assert news.unread == 7
    assert len(news.moments) == 3
    assert all(math.isnan(each.power_w) for each in news.moments)
    assert len(news.moments[2].notices) <= 51


def test_names_that_hold_the_marks_of_the_text_are_still_told_apart() -> None:
    names = ["a: b; c", "[red]d[/]", "e"]
    world = named(*names)
    rows = ((0, 0), (2, 4)), ((1, 1), (1, 2)), ((0, 0), (0, 0))
    described = world.describe(Configuration(rows))
    found = slots_of(described, names)
    fp32, int8 = world.device.accelerator_names
    assert found == {
        "a: b; c": (Slot(int8, 2, 4),),
        "[red]d[/]": (Slot(fp32, 1, 1), Slot(int8, 1, 2)),
        "e": (),
    }


def test_a_recording_reads_back_until_it_is_complete(tmp_path: Path) -> None:
    trace = tmp_path / "my.parquet"
    configurations = [Configuration.of(row) for row in WORLD.catalogue][:3]
    facts = {"plan": {"configurations": 3}, "origin": "measured"}
    source = RecordingSource(trace)
    assert "cannot be read" in source.poll().problem
    with TraceWriter(trace, WORLD, facts) as writer:
        outcomes = [respond(WORLD, each) for each in configurations[:2]]
        for configuration, outcome in zip(configurations, outcomes, strict=False):
            writer.append(configuration, outcome, 1, 1e9)
        writer.append(configurations[2], Failure(FailureKind.OUT_OF_MEMORY, "too large"), 1, 1e9)
        news = source.poll()
        assert (news.total, news.unread) == (3, 0)
        assert [each.number for each in news.moments] == [1, 2, 3]
        assert [each.throughput_ips for each in news.moments[:2]] == [
            each.tenants[0].throughput_ips for each in outcomes
        ]
        failed = news.moments[2]
        assert failed.failure == "out_of_memory: too large"
        assert [each.text for each in failed.notices] == ["row 3: out_of_memory: too large"]
        writer.publish(complete=True)
    assert source.poll().ended


def test_a_foreign_journal_is_no_recording(tmp_path: Path) -> None:
    write(tmp_path / "my.parquet.journal", period(1))
    news = RecordingSource(tmp_path / "my.parquet").poll()
    assert "is no journal of a recording" in news.problem
    assert not news.moments


def test_a_training_reads_back(tmp_path: Path) -> None:
    assert training_rows.COLUMNS == learning_curve.COLUMNS
    assert training_rows.FILE == learning_curve.FILE
    path = tmp_path / "learning_curve.csv"
    curve = learning_curve.LearningCurve(path, 0)
    source = TrainingSource(path)
    assert source.poll().rows == []
    curve.add(100, [0.5, 1.5], [0.0, 0.25])
    with path.open("a") as file:
        file.write("200,4,0.1")  # a row that is being written
    news = source.poll()
    [row] = news.rows
    assert (row.steps, row.episodes, row.gain, row.broken_share) == (100, 2, 1.0, 0.125)
    assert news.unread == 0


def test_metrics_show_the_periods_between_scrapes_by_their_counts() -> None:
    pytest.importorskip("prometheus_client")
    world = space(2)
    metrics = Metrics(0, world)
    try:
        source = MetricsSource(metrics.port)
        assert not source.poll().moments, "no period yet"
        two = Configuration.of(world.catalogue[40])
        metrics.show(period(1, Phase.SAFE, two, world=world), 0)
        [first] = source.poll().moments
        assert not source.poll().moments, "nothing new"
        metrics.show(period(2, Phase.HOLDING, two, limit_ms=1.0, world=world), 0)
        [second] = source.poll().moments
        [late] = MetricsSource(metrics.port).poll().moments
        assert first.kept is True
        assert (late.kept, late.phase) == (None, ""), "the counts before are not known"
        assert (second.number, second.phase, second.kept) == (2, "holding", False)
        outcome = respond(world, two)
        for tenant, expected in zip(second.tenants, outcome.tenants, strict=True):
            assert tenant.throughput_ips == expected.throughput_ips
            assert tenant.p99_ms == pytest.approx(expected.p99_ms)
            assert tenant.p99_limit_ms == pytest.approx(1.0)
        names = world.device.accelerator_names
        assert {
            (t, s.accelerator, s.instances, s.batch)
            for t, each in enumerate(second.tenants)
            for s in each.slots
        } == {(t, names[a], i, b) for t, a, i, b in two.slots()}
        metrics.show(period(3, outcome=FAILED, configuration=two, world=world), 0)
        [third] = source.poll().moments
        assert third.failure
    finally:
        metrics.close()
    assert "nothing answers on http://127.0.0.1" in source.poll().problem


def test_a_service_that_began_anew_is_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "j", period(1), period(2))
    source = JournalSource(path)
    assert len(source.poll().moments) == 2
    path.unlink()
    write(path, period(1, configuration=SMALL))
    news = source.poll()
    assert news.anew
    assert [each.number for each in news.moments] == [1]
