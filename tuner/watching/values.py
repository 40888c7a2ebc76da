"""Take values out of data that may be damaged or foreign: a wrong type reads as missing."""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

#: Characters of a name or a sentence that are kept.
MOST_CHARACTERS = 400


def number(value: Any, missing: float = math.nan) -> float:
    """Return a number; `missing` for anything else, as for null, true and text."""
    if type(value) not in (int, float):
        return missing
    try:
        return missing if math.isnan(value) else float(value)
    except OverflowError:  # a whole number with hundreds of digits
        return missing


def text(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Return text on one line that moves no cursor and turns no writing; empty for anything else.

    Characters that do not print (escapes, line ends, marks of direction) become a question mark.
    """
    if not isinstance(value, str):
        return ""
    cut = value if len(value) <= most else value[: most - 1] + "…"
    return "".join(each if each.isprintable() else "?" for each in cut)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object of JSON; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> list[Any]:
    """Return a list of JSON; an empty one for anything else."""
    return value if isinstance(value, list) else []


def clock_of(value: Any) -> str:
    """Return the time of day in `2026-11-29T15:37:00+0000`; empty where there is none."""
    found = re.search(r"T(\d\d:\d\d:\d\d)", text(value))
    return found[1] if found else ""


def width_of(shown: str) -> int:
    """Return how many columns of a terminal a text takes: wide characters take two."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in shown)
    return len(shown) + wide - sum(map(bool, map(unicodedata.combining, shown)))


def fitted(shown: str, width: int) -> str:
    """Return the text with exactly `width` columns: cut with an ellipsis, or filled with blanks."""
    if width_of(shown) > width:
        while shown and width_of(shown) > width - 1:
            shown = shown[:-1]
        shown += "…" if width > 0 else ""
    return shown + " " * (width - width_of(shown))
