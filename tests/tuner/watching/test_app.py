"""The terminal view, driven by Textual's pilot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.spec import Configuration
from tests.tuner.watching.journals import event, named, period, write
from tuner.control.guard import Phase
from tuner.watching.moments import News
from tuner.watching.sources import JournalSource

pytest.importorskip("textual")

from textual.pilot import Pilot
from textual.widgets import Static

from tuner.watching.app import CurveView, WatchApp

SIZES = [(80, 24), (160, 50), (30, 10)]


def played(
    app: WatchApp,
    scene: Callable[[WatchApp, Pilot[Any]], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
) -> None:
    async def play() -> None:
        async with app.run_test(size=size) as pilot:
            await scene(app, pilot)

    asyncio.run(play())


def part(app: WatchApp, name: str) -> str:
    return str(app.query_one(f"#{name}", Static).content)


async def polled(app: WatchApp, pilot: Pilot[Any], age_s: float = 1.0) -> None:
    app.take(replace(app._source.poll(), age_s=age_s))
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_idle_searching_holding_limit_broken_gone(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "j"

    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await polled(app, pilot)
        assert " IDLE " in part(app, "head")
        write(path, period(1, Phase.SEARCHING, events=[event("[bold]engine[/] ready")]))
        await polled(app, pilot)
        assert " SEARCHING " in part(app, "head")
        write(path, period(2))
        await polled(app, pilot)
        assert " HOLDING " in part(app, "head")
        assert "net0" in part(app, "grid")
        assert "[bold]engine[/] ready" in part(app, "events")
        write(path, period(3, limit_ms=1.0))
        await polled(app, pilot)
        assert " LIMIT BROKEN " in part(app, "head")
        assert "over 1" in part(app, "sentence")
        await polled(app, pilot, age_s=60.0)
        assert " GONE " in part(app, "head")

    played(WatchApp(JournalSource(path), poll_s=None), scene, size)


def test_all_parts_fit_80_by_24(tmp_path: Path) -> None:
    path = write(tmp_path / "j", *(period(number) for number in range(1, 50)))

    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await polled(app, pilot)
        for name in ("head", "sentence", "grid", "curves", "facts", "notices"):
            region = app.query_one(f"#{name}").region
            assert region.height > 0, name
            assert region.bottom <= 23, name
        assert [view.region.height >= 5 for view in app.query(CurveView)] == [True] * 3

    played(WatchApp(JournalSource(path), poll_s=None), scene)


def test_twenty_tenants_leave_room_for_the_rest(tmp_path: Path) -> None:
    world = named(*(f"tenant{i}" for i in range(20)))
    configuration = Configuration(tuple(((1, 1), (0, 0)) for _ in range(20)))
    only = period(1, configuration=configuration, world=world, events=[event("long " * 99)])
    path = write(tmp_path / "j", only, world=world)

    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await polled(app, pilot)
        for name in ("grid", "curves", "facts", "notices"):
            assert 0 < app.query_one(f"#{name}").region.bottom <= 23, name

    played(WatchApp(JournalSource(path), poll_s=None), scene)


def test_it_polls_by_itself_and_keeps_the_screen_while_paused(tmp_path: Path) -> None:
    path = write(tmp_path / "j", period(1), period(2))

    async def until(app: WatchApp, pilot: Pilot[Any], count: int) -> None:
        for _ in range(3000):
            await pilot.pause(0.02)
            if len(app.watched.moments) >= count:
                return
        raise AssertionError(f"{count} periods were never read")

    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await until(app, pilot, 2)
        await pilot.press("space")
        assert "LOOKING BACK 0" in part(app, "head")
        write(path, period(3))
        await until(app, pilot, 3)
        assert "period 2" in part(app, "head")
        await pilot.press("left", "left", "left")
        assert "period 1" in part(app, "head")
        await pilot.press("right")
        assert "period 2" in part(app, "head")
        await pilot.press("home")
        assert "period 1" in part(app, "head")
        await pilot.press("end")
        assert "period 3" in part(app, "head")
        assert "live" in part(app, "head")

    played(WatchApp(JournalSource(path), poll_s=0.02), scene)


def test_a_limit_is_written_only_after_the_second_question(tmp_path: Path) -> None:
    path, limits = write(tmp_path / "j", period(1)), tmp_path / "limits.json"

    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await polled(app, pilot)
        for keys in (
            ("l", "escape"),
            ("l", "enter", "5", "escape"),
            ("l", "enter", "5", "enter", "escape"),
            ("l", "enter", "5", "enter", "enter"),  # "No" is chosen first
            ("l", "enter", "x", "enter", "escape"),
        ):
            await pilot.press(*keys)
            await pilot.pause()
            assert not limits.exists(), keys
            assert len(app.screen_stack) == 1, keys
        await pilot.press("l", "enter", "5", "enter", "down", "enter")
        await pilot.pause()
        assert limits.read_text() == '{\n  "p99_ms": 5.0\n}\n'
        write(path, *(period(number) for number in (2, 3, 4)))
        await polled(app, pilot)
        told = [each.message for each in app._notifications]
        assert any("has not taken the limit" in each for each in told)

    played(WatchApp(JournalSource(path), limits, poll_s=None), scene)


def test_without_a_file_of_limits_none_is_asked_for(tmp_path: Path) -> None:
    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await polled(app, pilot)
        await pilot.press("l")
        assert len(app.screen_stack) == 1
        assert any("--limits" in each.message for each in app._notifications)

    played(WatchApp(JournalSource(write(tmp_path / "j", period(1))), poll_s=None), scene)


def test_names_are_never_markup(tmp_path: Path) -> None:
    name = "[@click=app.quit]x[/]"
    world = named(name, "[/]", "[red")
    path = write(tmp_path / "j", period(1, world=world), world=world)

    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await polled(app, pilot)
        assert "[@click=app" in part(app, "grid")
        for _ in range(3):
            await pilot.press("t")
            await pilot.pause()
        await pilot.press("l")
        await pilot.pause()
        assert name in app.export_screenshot().replace("&#160;", " ")
        await pilot.press("enter", "5", "enter")
        await pilot.pause()

    played(WatchApp(JournalSource(path), tmp_path / "[red]", poll_s=None), scene, (160, 50))


def test_many_moments_at_once_are_shown(tmp_path: Path) -> None:
    async def scene(app: WatchApp, pilot: Pilot[Any]) -> None:
        await polled(app, pilot)
        app.take(News(moments=app.watched.moments * 3000, age_s=0.0))
        await pilot.pause()
        assert " HOLDING " in part(app, "head")

    played(WatchApp(JournalSource(write(tmp_path / "j", period(1))), poll_s=None), scene)
