"""The terminal view itself; with `limit_screen` the only module that imports Textual."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from envs.errors import TunerError
from tuner.watching.curves import Curve, Line, drawn
from tuner.watching.limit_screen import LimitScreen
from tuner.watching.moments import News
from tuner.watching.new_limit import LimitNow, answered, limits_of, write_limit
from tuner.watching.picture import Picture, picture_of
from tuner.watching.sources import Source
from tuner.watching.state import Mood, Watched, is_gone, with_news

#: Seconds between two polls of the source; a period of a service takes some three.
POLL_S = 1.0

STYLES = {
    Mood.PLAIN: "$foreground",
    Mood.DIM: "$foreground 60%",
    Mood.GOOD: "$text-success",
    Mood.NEAR: "$text-warning",
    Mood.BROKEN: "$text-error",
}

BADGES = {
    Mood.PLAIN: "bold $foreground on $panel",
    Mood.DIM: "bold $foreground on $panel",
    Mood.GOOD: "bold $background on $success",
    Mood.NEAR: "bold $background on $warning",
    Mood.BROKEN: "bold $background on $error",
}


class CurveView(Static):
    """One curve, drawn to the size that it has."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._curve: Curve | None = None

    def draw(self, curve: Curve | None) -> None:
        """Show a curve; None hides the widget."""
        self._curve = curve
        self.display = curve is not None
        self.refresh()

    def render(self) -> Content:
        """Return the title and the picture below it."""
        if self._curve is None:
            return Content("")
        width, height = self.content_size
        title = _content(self._curve.title).truncate(width, ellipsis=True)
        return Content("\n").join([title, content_of(drawn(self._curve, width, height - 1))])


class WatchApp(App[None]):
    """Show a source until the user leaves.

    Args:
        source: what to watch.
        limits: the file that the service reads its limits from; None if it is not known.
        poll_s: seconds between two polls; None to poll only when `poll` is called.
    """

    TITLE = "orin-tuner watch"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { overflow: hidden; }
    #head { height: 1; }
    #sentence { height: auto; max-height: 2; padding: 0 1; }
    #grid { height: auto; max-height: 18; padding: 0 1; margin-top: 1; }
    #curves { height: 2fr; min-height: 5; max-height: 18; padding: 0 1; margin-top: 1; }
    #curves CurveView { width: 1fr; height: 100%; margin-right: 1; }
    #facts {
        height: auto; max-height: 4; padding: 0 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    #notices { height: 1fr; min-height: 3; padding: 0 1; border-top: solid $panel; }
    #notices { border-title-color: $foreground 60%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause"),
        Binding("q", "quit", "Quit"),  # early: a narrow screen shows the first keys alone
        Binding("left", "look(1)", "Back"),
        Binding("right", "look(-1)", "Forward"),
        Binding("pageup", "look(20)", show=False),
        Binding("pagedown", "look(-20)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "live", "Live"),
        Binding("t", "tenant", "Tenant"),
        Binding("l", "limit", "Limit"),
    ]

    def __init__(
        self, source: Source, limits: Path | None = None, poll_s: float | None = POLL_S
    ) -> None:
        super().__init__()
        self._source, self._limits, self._poll_s = source, limits, poll_s
        self.watched = Watched(source.title)
        self._held: tuple[Watched, int] | None = None  # while the user looks back
        self._drawn: dict[str, Content] = {}  # by the name of the part
        self._tenant = 0
        self._asked: tuple[LimitNow, float, int] | None = None  # a limit that was written

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen, from the top."""
        for name in ("head", "sentence", "grid"):
            yield Static(id=name, markup=False)
        with Horizontal(id="curves"):
            yield from (CurveView() for _ in range(3))
        yield Static(id="facts", markup=False)
        with VerticalScroll(id="notices", can_focus=False) as notices:
            notices.border_title = "events"
            yield Static(id="events", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to poll."""
        if self._poll_s is not None:
            self.run_worker(self._poll(self._poll_s))

    def on_resize(self) -> None:
        """Draw anew: how much fits has changed."""
        self._show()

    async def _poll(self, pause_s: float) -> None:
        """Poll beside the screen: a file or a port may take its time."""
        while True:
            self.take(await asyncio.to_thread(self._source.poll))
            await asyncio.sleep(pause_s)

    def take(self, news: News) -> None:
        """Show what a poll found; where nothing is new, draw nothing."""
        before, self.watched = self.watched, with_news(self.watched, news)
        self._remind()
        now = self.watched
        same = not (news.moments or news.rows or is_gone(before) or is_gone(now))
        if self._held is None and not (same and replace(before, age_s=now.age_s) == now):
            self._show()

    def _show(self) -> None:
        watched, index = self._held or (self.watched, None)
        size = (self.size.width - 2, self.size.height)
        picture = picture_of(watched, index, self._tenant, size)
        self._put(picture)

    def _put(self, picture: Picture) -> None:
        word, mood = picture.badge
        parts = [Content.styled(f" {word} ", BADGES[mood])]
        parts += [Content.assemble("  ", _content((span,))) for span in picture.head]
        shown = {
            "head": Content.assemble(*parts),
            "sentence": _content((picture.sentence,)),
            "grid": content_of(picture.grid),
            "facts": content_of(picture.facts),
            "events": content_of(picture.notices),
        }
        for name, content in shown.items():
            before = self._drawn.get(name)
            if content != before:
                # A layout of the screen costs more than everything else here.
                layout = before is None or size_of(content) != size_of(before)
                part = self.query_one(f"#{name}", Static)
                part.update(content, layout=layout)
                part.display = bool(content)
                self._drawn[name] = content
        self.query_one("#notices").display = bool(picture.notices)
        curves: list[Curve | None] = [*picture.curves, None, None, None]
        for view, curve in zip(self.query(CurveView), curves, strict=False):
            view.draw(curve)

    def action_pause(self) -> None:
        """Hold the screen, or go on; what is new is read meanwhile."""
        if self._held:
            self.action_live()
        else:
            self.action_look(0)

    def action_look(self, steps: int) -> None:
        """Look so many moments further back; below zero, forward."""
        watched, index = self._held or (self.watched, len(_shown(self.watched)) - 1)
        if index >= 0:
            self._held = watched, min(max(index - steps, 0), len(_shown(watched)) - 1)
            self._show()

    def action_first(self) -> None:
        """Look at the oldest moment."""
        self.action_look(len(_shown(self.watched)))

    def action_live(self) -> None:
        """Show the present again."""
        self._held = None
        self._show()

    def action_tenant(self) -> None:
        """Draw p99 of the next tenant."""
        self._tenant += 1
        self._show()

    def action_limit(self) -> None:
        """Ask for a limit and its new value, and once more before it is written."""
        if self._limits is None:
            self._tell("give --limits FILE, the same as the service has, to change limits", True)
        elif not self.watched.moments:
            self._tell("there is no period yet, so that the limits are not known", True)
        else:
            now = limits_of(self.watched.moments[-1])
            self.push_screen(LimitScreen(now, self._limits), self._write)

    def _write(self, chosen: tuple[LimitNow, float] | None) -> None:
        if chosen is None or self._limits is None:
            return
        now = self.watched.moments[-1]
        try:
            write_limit(self._limits, *chosen, now)
        except TunerError as error:
            self._tell(str(error), True)
            return
        self._asked = (*chosen, now.number)
        self._tell(f"written: {self._limits}; the service reads it once a period")

    def _remind(self) -> None:
        """Say so if a service does not take a limit that was written."""
        if self._asked is None:
            return
        verdict = answered(*self._asked, self.watched.moments[-20:])
        if verdict is not None:
            self._asked = None
        if verdict is False:
            words = "the service has not taken the limit: it runs without --limits"
            self._tell(f"{words} {self._limits}, or refused it (its journal says why)", True)

    def _tell(self, sentence: str, wrong: bool = False) -> None:
        self.notify(sentence, severity="warning" if wrong else "information", markup=False)


def content_of(lines: Sequence[Line]) -> Content:
    """Return lines as text with styles; nothing in them is read as markup."""
    return Content("\n").join(map(_content, lines))


def size_of(content: Content) -> tuple[int, int]:
    """Return what decides how much room a text takes: its lines and its characters."""
    return content.plain.count("\n"), len(content.plain)


def _content(line: Line) -> Content:
    return Content.assemble(*((text, STYLES[mood]) for text, mood in line))


def _shown(watched: Watched) -> tuple[object, ...]:
    return watched.rows or watched.moments
