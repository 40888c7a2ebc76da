"""Write limits that the form asks for into the service's file, and see what becomes of them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from envs.errors import ObjectiveError, TunerError
from envs.files import read_small, write_text
from tuner.watching.moments import Moment
from tuner.watching.new_limit import LimitNow, answered, limits_of, taken, value_of, write_limit
from tuner.watching.state import Watched, is_gone


@dataclass(frozen=True)
class Asked:
    """A limit that was written into the file, and has no answer yet.

    Attributes:
        limit: the one that is to change.
        value: the new one.
        since: the period in which it was written.
        before: what the file held; None if there was none.
        written: what it holds now.
    """

    limit: LimitNow
    value: float
    since: int
    before: bytes | None
    written: bytes


class LimitDesk:
    """Takes one change at a time.

    A limit that the service refuses is taken out of the file again: else the next change would be
    refused with it.

    Args:
        path: of the file that the service reads once a period; None where limits cannot be changed.

    Attributes:
        answer: what became of the last change, as a sentence; empty before the first.
        is_wrong: True if it was not taken.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.answer, self.is_wrong = "", False
        self._asked: Asked | None = None

    def ask(self, name: str, typed: str, watched: Watched) -> str:
        """Write a limit into the file; return what happens next, as a sentence.

        Args:
            name: of the limit, see `name_of`.
            typed: its new value, as text.
            watched: what is known of the service.

        Raises:
            ObjectiveError: there is no such limit, it cannot be this, or another change is waiting.
            StorageError: the file cannot be written.
        """
        if self.path is None:
            raise ObjectiveError("limits cannot be changed here: watch needs --limits FILE")
        if not watched.moments:
            raise ObjectiveError("there is no period yet, so that the limits are not known")
        waiting = self._asked
        if waiting is not None and not is_gone(watched):
            raise ObjectiveError("the change before has no answer yet: wait for the next period")
        now = watched.moments[-1]
        limit = next((each for each in limits_of(now) if name_of(each) == name), None)
        if limit is None:
            raise ObjectiveError("there is no such limit any more: choose again")
        value, before = value_of(limit, typed.strip()), _content(self.path)
        if waiting is not None and before == waiting.written:  # of a service that is gone
            before = waiting.before
        write_limit(self.path, limit, value, now)
        written = _content(self.path) or b""
        self._asked = Asked(limit, value, now.number, before, written)
        self._say(f"{_change(limit, value)}: written, and the service reads it in its next period")
        return self.answer

    def notice(self, watched: Watched) -> None:
        """See what the service made of the change."""
        asked, moments = self._asked, watched.moments[-20:]
        if asked is None:
            return
        verdict = answered(asked.limit, asked.value, asked.since, moments)
        if verdict is None:
            return
        self._asked = None
        words = _change(asked.limit, asked.value)
        later = [each for each in moments if each.number > asked.since]
        reason = _refusal(later)
        if any(taken(asked.limit, asked.value, each) for each in later):
            but = f", but: {reason}" if reason else ""
            self._say(f"{words}: the service has taken it{but}", wrong=bool(but))
            return
        back = self._take_back(asked)
        if reason:
            self._say(f"{words}: the service refused it, {back}: {reason}", wrong=True)
        else:
            words += f": the service has not taken it, {back}: does it run with --limits"
            self._say(f"{words} {self.path}?", wrong=True)

    def _take_back(self, asked: Asked) -> str:
        """Let the file hold what it held before, unless somebody else has written it since."""
        assert self.path is not None
        if _content(self.path) != asked.written:
            return "and somebody else has written the file since"
        try:
            if asked.before is None:
                self.path.unlink()
            else:
                write_text(self.path, asked.before.decode("utf-8"))
        except (OSError, ValueError, TunerError) as error:
            return f"and the file could not be restored ({error})"
        return "and the file is as before"

    def _say(self, sentence: str, wrong: bool = False) -> None:
        self.answer, self.is_wrong = f"{time.strftime('%H:%M:%S')} {sentence}", wrong


def name_of(limit: LimitNow) -> str:
    """Return the name of a limit in the form."""
    return limit.key if limit.tenant is None else f"{limit.key}-{limit.tenant}"


def _change(limit: LimitNow, value: float) -> str:
    return f"{limit.words} {value:g} {limit.unit}".rstrip()


def _refusal(later: list[Moment]) -> str:
    return next((e.text for each in later for e in each.notices if e.kind == "limits_refused"), "")


def _content(path: Path) -> bytes | None:
    with contextlib.suppress(OSError, ValueError):
        return read_small(path)
    return None
