"""Write names and numbers into HTML and SVG."""

from __future__ import annotations

import math
import unicodedata
from html import escape as html_escape

#: Characters of a name in a chart; longer ones are cut.
MOST_CHARACTERS = 120

#: Marks above and below one letter; more of them would cover the lines around it.
MOST_MARKS = 3

#: What stands for a number that is missing.
MISSING = "\N{EN DASH}"


def escape(text: str, most: int | None = None) -> str:
    """Return text as HTML and XML show it: markup becomes characters, what does not print `?`.

    Of accents and other marks on one letter, the first `MOST_MARKS` are kept.

    Args:
        text: from anywhere.
        most: characters that are kept of it; None for all.
    """
    if most is not None and len(text) > most:
        text = text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
    shown = "".join(each if _is_shown(each) else "?" for each in text)
    return html_escape(shown if shown.isascii() else _with_few_marks(shown))


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in "\n\t\N{NO-BREAK SPACE}"


def _with_few_marks(text: str) -> str:
    kept, marks = [], 0
    for each in text:
        marks = marks + 1 if unicodedata.category(each).startswith("M") else 0
        if marks <= MOST_MARKS:
            kept.append(each)
    return "".join(kept)


def short(value: float) -> str:
    """Return a number with three digits, or as a whole number where it has more; a dash for NaN."""
    if not math.isfinite(value):
        return MISSING
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    """Return a number with its unit, or `not measured`."""
    return f"{short(value)} {unit}".rstrip() if math.isfinite(value) else "not measured"
