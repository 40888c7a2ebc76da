"""Colours that colour-blind people can tell apart, for light and dark backgrounds.

The hues are from Okabe and Ito (2008), "Color Universal Design". No chart tells anything by colour
alone: shapes, numbers or words repeat it.
"""

from __future__ import annotations

#: Text, quieter text, and lines of the grid, on white.
INK, FAINT, GRID = "#1f2933", "#5f6b78", "#e4e7eb"

#: The one warm, saturated colour: the learned policy, and what was chosen.
EMPHASIS = "#c2374b"

#: Lines of tuners.
PALETTE = (
    "#0072b2",
    "#009e73",
    "#a05195",
    "#56b4e9",
    "#8a6d1d",
    "#52606d",
    "#3f3f8f",
    "#4d8a00",
    "#9aa5b1",
)

#: The same on a dark background.
PALETTE_DARK = (
    "#6cb8f0",
    "#3fd0a4",
    "#dd9ad6",
    "#a5dfff",
    "#d8b85a",
    "#aab6c3",
    "#a9a9f5",
    "#a4d65e",
    "#d5dce3",
)

#: Areas: accelerators, networks, applications; pale, so that `INK` can be read on each of them.
AREA_PALETTE = ("#56b4e9", "#e69f00", "#9ad0c2", "#cc79a7", "#c2c7cc", "#b9a44c")

#: Areas that belong to several at once.
MIXED = "#8d99a6"

#: Custom properties of CSS with their values on a light and on a dark background.
PROPERTIES = {
    "ink": (INK, "#e4e7eb"),
    "faint": (FAINT, "#9aa5b1"),
    "grid": (GRID, "#323f4b"),
    "paper": ("#ffffff", "#14191f"),
    "box": ("#f5f7fa", "#1f2933"),
    "mark": (EMPHASIS, "#ff8a98"),
    "star": ("#ffc400", "#ffc400"),
    "line": ("#0072b2", "#6cb8f0"),
    "good": ("#d5ebe3", "#17473a"),
    "near": ("#fbe3ab", "#5c4508"),
    "broken": ("#f6cfc9", "#6b231c"),
    "note": ("#fff3d6", "#3a2f12"),
    "note-edge": ("#d9a400", "#d9a400"),
}


def colour_of(position: int) -> str:
    """Return the colour of an area, by the position of what it stands for."""
    return AREA_PALETTE[position % len(AREA_PALETTE)]
