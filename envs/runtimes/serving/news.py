"""News of what is found out about engines in the background."""

from __future__ import annotations

from typing import NamedTuple

from envs.spec import Place


class News(NamedTuple):
    """Something that was found out about a place.

    Attributes:
        ready: True if it may serve from now on, False if it cannot.
        place: that it is about.
        text: one sentence.
        raised: True if the thread that asked for the place has got it as an error as well.
    """

    ready: bool
    place: Place
    text: str
    raised: bool = False
