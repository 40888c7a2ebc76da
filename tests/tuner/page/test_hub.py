"""What is read and drawn: once for all viewers, and not at all for none."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from envs.errors import ObjectiveError
from envs.spec import Configuration
from tests.tuner.watching.journals import FAILED, SMALL, WORLD, event, period, write
from tuner.control.events import EventKind
from tuner.control.guard import Phase
from tuner.page import measured
from tuner.page.hub import MOST_KEPT, Hub
from tuner.page.limit_desk import LimitDesk
from tuner.page.measured import MeasuredConfigurations
from tuner.page.parts import PARTS, parts_of
from tuner.page.why import judged, why_of
from tuner.watching.moments import Moment, News, TenantMoment
from tuner.watching.sources import JournalSource, TrainingSource
from tuner.watching.state import Watched


def moments(path: Path) -> list[Moment]:
    return list(JournalSource(path).poll().moments)


class Counting:
    def __init__(self) -> None:
        self.count = 0

    def __call__(
        self, watched: Watched, found: MeasuredConfigurations, desk: LimitDesk
    ) -> dict[str, str]:
        self.count += 1
        return {"number": str(len(watched.moments)), "same": "always"}


def test_nothing_is_drawn_while_nobody_looks_and_once_for_all_who_do(tmp_path: Path) -> None:
    path, draw = tmp_path / "run.jsonl", Counting()
    source = JournalSource(path)
    hub = Hub(source, LimitDesk(None), draw)
    for number in range(1, 6):
        write(path, period(number))
        hub.take(source.poll())
    assert draw.count == 0
    assert hub.parts() == {"number": "5", "same": "always"}
    hub.viewers = 20
    hub.take(source.poll())
    assert draw.count == 1, "nothing was new"
    write(path, period(6))
    hub.take(source.poll())
    assert draw.count == 2
    assert json.loads(hub.message(1).removeprefix(b"data: ")) == {"number": "6"}, "what changed"
    assert hub.message(1) is hub.message(1), "written once for all viewers"
    assert json.loads(hub.message(0).removeprefix(b"data: ")).keys() == {"number", "same"}


def test_who_waits_is_woken_by_a_change_and_by_the_end() -> None:
    hub = Hub(TrainingSource(Path("nowhere")), LimitDesk(None), Counting())

    async def run() -> tuple[bool, bool, bool]:
        hub.refresh()
        waits = [asyncio.create_task(hub.changed_after(1, 60.0)) for _ in range(2)]
        await asyncio.sleep(0)
        hub.viewers = 2
        hub.take(News(moments=[Moment(1)]))
        changed = all([await each for each in waits])
        nothing = await hub.changed_after(2, 0.01)
        hub.close()
        return changed, nothing, await hub.changed_after(2, 60.0)

    assert asyncio.run(run()) == (True, False, True)


def test_a_configuration_is_told_by_the_median_of_its_windows(tmp_path: Path) -> None:
    path = write(tmp_path / "run.jsonl", *(period(each) for each in range(1, 4)))
    slow, usual, fast = (
        replace(each, tenants=(replace(each.tenants[0], p99_ms=ms),))
        for each, ms in zip(moments(path), (90.0, 50.0, 40.0), strict=True)
    )
    found = MeasuredConfigurations()
    found.add([slow, usual, fast])
    (only,) = found.all()
    assert (only.windows, only.moment.tenants[0].p99_ms, only.name) == (3, 50.0, "cpu_int8 2x4")


def test_what_was_measured_before_conditions_changed_does_not_count(tmp_path: Path) -> None:
    rows = [Configuration.of(WORLD.catalogue[each]) for each in (1, 3, 5)]
    changed = [event("15 W", EventKind.POWER_MODE_CHANGED)]
    path = write(
        tmp_path / "run.jsonl",
        period(1, configuration=rows[0]),
        period(2, configuration=rows[1], outcome=FAILED),
        period(3, configuration=rows[2], events=changed),
    )
    found = MeasuredConfigurations()
    found.add(moments(path))
    assert ([each.windows for each in found.all()], found.since) == ([1], 3)


def test_the_number_of_configurations_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "MOST_CONFIGURATIONS", 5)
    found = MeasuredConfigurations()
    found.add(
        Moment(each, tenants=(TenantMoment(f"net{each}", throughput_ips=1.0),))
        for each in range(50)
    )
    assert [each.key[0][0] for each in found.all()] == [f"net{each}" for each in range(45, 50)]


def test_why_says_what_the_journal_says_and_where_it_stands(tmp_path: Path) -> None:
    rows = [Configuration.of(WORLD.catalogue[each]) for each in (1, 3, 5, 17)]
    path = write(
        tmp_path / "run.jsonl",
        *(period(1, configuration=each, limit_ms=90.0) for each in rows),
        replace(period(5, Phase.HOLDING, SMALL, limit_ms=90.0), why="it is <the> best"),
    )
    found = MeasuredConfigurations()
    every = moments(path)
    found.add(every)
    ranked = judged(every[-1], found.all())
    assert [each.kept for each in ranked] == [True, True, True, False]
    assert [each.serves for each in ranked] == [True, False, False, False]
    text = why_of(every[-1], ranked, 1)
    assert "It is &lt;the&gt; best." in text
    assert "Of 4 configurations measured so far, 3 keep the limits of now" in text
    assert "by the goal, most throughput, this is number 1 of them" in text


def test_a_training_and_nothing_at_all_are_drawn_too(tmp_path: Path) -> None:
    path = tmp_path / "learning_curve.csv"
    desk, found = LimitDesk(None), MeasuredConfigurations()
    nothing = parts_of(Watched("x"), found, desk)
    assert set(nothing) == set(PARTS)
    assert "IDLE" in nothing["state"]
    path.write_text("steps,episodes,gain,broken_share,seconds\n1000,10,0.5,0.1,3\n")
    source = TrainingSource(path)
    hub = Hub(source, desk, parts_of)
    hub.take(source.poll())
    assert "Gain of an episode" in hub.parts()["curves"]


@pytest.mark.parametrize("before", [None, '{"goal": "energy"}'])
def test_a_refused_limit_leaves_the_file_as_it_was(tmp_path: Path, before: str | None) -> None:
    path, journal = tmp_path / "limits.json", tmp_path / "run.jsonl"
    if before is not None:
        path.write_text(before)
    desk = LimitDesk(path)
    hub = Hub(JournalSource(write(journal, period(1))), desk, parts_of)
    hub.take(hub._source.poll())
    desk.ask("power_w", "12", hub.watched)
    assert json.loads(path.read_text())["power_w"] == 12.0
    write(journal, period(2, events=[event("no sensor", EventKind.LIMITS_REFUSED)]))
    hub.take(hub._source.poll())
    assert (path.read_text() if path.exists() else None) == before
    assert desk.is_wrong
    assert desk.answer.endswith("the service refused it, and the file is as before: no sensor")


def test_a_limit_that_a_service_left_unanswered_makes_room_for_another(tmp_path: Path) -> None:
    path, journal = tmp_path / "limits.json", tmp_path / "run.jsonl"
    hub = Hub(JournalSource(write(journal, period(1))), LimitDesk(path), parts_of)
    hub.take(hub._source.poll())
    hub.desk.ask("p99_ms-0", "12", hub.watched)
    with pytest.raises(ObjectiveError, match="no answer yet"):
        hub.desk.ask("p99_ms-0", "13", hub.watched)
    old_s = time.time() - 1e6
    os.utime(journal, (old_s, old_s))
    hub.take(hub._source.poll())
    hub.desk.ask("p99_ms-0", "13", hub.watched)
    assert json.loads(path.read_text()) == {"p99_ms": 13.0}
    write(journal, period(2, events=[event("no", EventKind.LIMITS_REFUSED)]))
    hub.take(hub._source.poll())
    assert not path.exists(), "neither limit was taken, and there was no file before"


def test_the_page_keeps_fewer_periods_than_the_terminal(tmp_path: Path) -> None:
    hub = Hub(TrainingSource(Path("nowhere")), LimitDesk(None), Counting())
    hub.take(News(moments=[Moment(each) for each in range(3 * MOST_KEPT)]))
    assert [each.number for each in hub.watched.moments] == list(range(2000, 3000))


def test_a_service_that_never_answers_is_told(tmp_path: Path) -> None:
    path, journal = tmp_path / "limits.json", tmp_path / "run.jsonl"
    hub = Hub(JournalSource(write(journal, period(1))), LimitDesk(path), parts_of)
    hub.take(hub._source.poll())
    hub.desk.ask("p99_ms-0", "12", hub.watched)
    path.write_text("somebody else's")
    write(journal, *(period(each) for each in range(2, 6)))
    hub.take(hub._source.poll())
    assert "has not taken it, and somebody else has written the file since" in hub.desk.answer
    assert path.read_text() == "somebody else's"
