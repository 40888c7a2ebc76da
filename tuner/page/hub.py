"""Read the source once a second, and draw what changed once for everybody who looks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from tuner.page.limit_desk import LimitDesk
from tuner.page.measured import MeasuredConfigurations
from tuner.watching.moments import News
from tuner.watching.sources import Source
from tuner.watching.state import Watched, is_gone, with_news

_log = logging.getLogger(__name__)

#: Seconds between two polls of the source, and at least between two pictures.
POLL_S = 1.0

#: Periods that are kept: the page does not look back, and shows fewer.
MOST_KEPT = 1000

#: Draws the parts of the page, by the id of the element that holds each.
Draw = Callable[[Watched, MeasuredConfigurations, LimitDesk], Mapping[str, str]]


class Hub:
    """The state of the page, and its parts as HTML.

    Nothing is drawn while nobody looks. What is drawn, and the message that tells of it, are the
    same for all viewers.

    Args:
        source: what to watch.
        desk: changes limits.
        draw: makes the parts.

    Attributes:
        watched: what is known.
        version: of the parts; counts changes.
        viewers: who look now.
        closed: True once the server ends.
    """

    def __init__(self, source: Source, desk: LimitDesk, draw: Draw) -> None:
        self.desk = desk
        self._source, self._draw = source, draw
        self.watched = Watched(source.title)
        self.measured = MeasuredConfigurations()
        self.version, self.viewers, self.closed = 0, 0, False
        self._parts: dict[str, tuple[int, str]] = {}  # with the version of their last change
        self._messages: dict[int, bytes] = {}  # by the version that a viewer has
        self._is_stale = True
        self._changed = asyncio.Event()

    async def poll_forever(self) -> None:
        """Poll the source until the task is cancelled."""
        while True:
            try:
                self.take(await asyncio.to_thread(self._source.poll))
            except Exception:  # the page goes on with what it has
                _log.exception("the source of the page could not be read")
            await asyncio.sleep(POLL_S)

    def take(self, news: News) -> None:
        """Take what a poll found, and draw it if anybody looks."""
        before, self.watched = self.watched, with_news(self.watched, news, MOST_KEPT)
        now, answer = self.watched, self.desk.answer
        if news.anew:
            self.measured.clear()
        self.measured.add(news.moments)
        self.desk.notice(now)
        new = news.moments or news.rows or self.desk.answer != answer
        if new or is_gone(before) or is_gone(now) or replace(before, age_s=now.age_s) != now:
            self._is_stale = True
        if self.viewers:
            self.refresh()

    def refresh(self) -> None:
        """Draw anew if anything is new, and wake the viewers if that changes a part."""
        if not self._is_stale:
            return
        self._is_stale = False
        drawn = self._draw(self.watched, self.measured, self.desk)
        changed = {key: html for key, html in drawn.items() if html != self.part(key)}
        if changed:
            self.version += 1
            self._parts |= {key: (self.version, html) for key, html in changed.items()}
            self._messages.clear()
            self._wake()

    def part(self, key: str) -> str:
        """Return a part of the page as HTML; empty before it is drawn."""
        return self._parts[key][1] if key in self._parts else ""

    def parts(self) -> dict[str, str]:
        """Return all parts as HTML, drawn if anything is new."""
        self.refresh()
        return {key: html for key, (_, html) in self._parts.items()}

    def message(self, since: int) -> bytes:
        """Return the event that brings a viewer from a version to the present one."""
        if since not in self._messages:
            changed = {key: html for key, (last, html) in self._parts.items() if last > since}
            self._messages[since] = f"data: {json.dumps(changed)}\n\n".encode()
        return self._messages[since]

    async def changed_after(self, version: int, timeout_s: float) -> bool:
        """Wait until there is another version, or the server ends; False if neither came."""
        if self.version != version or self.closed:
            return True
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True

    def asked(self) -> None:
        """Show that a limit was asked for."""
        self._is_stale = True
        self.refresh()

    def close(self) -> None:
        """Let the viewers go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
