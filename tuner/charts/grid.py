"""Tenants by accelerators as a table: what serves where, and how near each is to its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tuner.charts.frame import scrolling
from tuner.charts.text import MISSING, MOST_CHARACTERS, escape

#: Rows and columns that are shown at most; the others are counted.
MOST_ROWS, MOST_COLUMNS = 64, 24

#: Share of a limit from which on it is near.
NEAR = 0.8


@dataclass(frozen=True)
class GridRow:
    """What a tenant has.

    Attributes:
        name: of the tenant.
        cells: what serves it, such as `2x4`, by accelerator.
        load: share of its limits that it uses, 1 is at the limit; NaN where there is no limit.
        facts: texts of the columns behind the accelerators.
    """

    name: str
    cells: Mapping[str, str] = field(default_factory=dict)
    load: float = math.nan
    facts: Sequence[str] = ()


def grid(
    rows: Sequence[GridRow],
    accelerators: Sequence[str],
    facts: Sequence[str] = (),
    *,
    first: str = "network",
    title: str = "",
) -> str:
    """Return the table as HTML; it scrolls sideways where it is wider than the page.

    Args:
        rows: one for each tenant.
        accelerators: columns, in order.
        facts: heads of the columns behind them, units included.
        first: head of the first column.
        title: above the table; empty for none.
    """
    columns = list(accelerators)[:MOST_COLUMNS]
    left = len(accelerators) - len(columns)
    heads = [first, *columns, *[f"and {left} more"] * (left > 0), *facts, "share of its limits"]
    head = "".join(f'<th scope="col">{escape(each, MOST_CHARACTERS)}</th>' for each in heads)
    body = "".join(_row(row, columns, left, len(facts)) for row in rows[:MOST_ROWS])
    hidden = len(rows) - MOST_ROWS
    more = f'<p class="quiet">and {hidden} more</p>' if hidden > 0 else ""
    named = f"<caption>{escape(title, MOST_CHARACTERS)}</caption>" if title else ""
    return scrolling(
        f'<table class="places">{named}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{more}",
        title or f"Table of each {first}",
    )


def load_class(load: float) -> str:
    """Return the class of the colour for a share of a limit; empty for NaN."""
    if math.isnan(load):
        return ""
    return "broken" if load > 1 else "near" if load > NEAR else "good"


def load_words(load: float) -> str:
    """Return a share of a limit in words, which say what the colour says."""
    if math.isnan(load):
        return "no limit"
    word = ", over" if load > 1 else ", near" if load > NEAR else ""
    return f"{100 * min(load, 9.99):.0f} %{word}"


def _row(row: GridRow, columns: Sequence[str], left: int, facts: int) -> str:
    kind = load_class(row.load)
    cells = [f'<th scope="row">{escape(row.name, MOST_CHARACTERS)}</th>']
    for name in columns:
        text = row.cells.get(name, "")
        shown = escape(text, MOST_CHARACTERS) if text else MISSING
        cells.append(f'<td class="{kind if text else ""}">{shown}</td>')
    if left > 0:
        hidden = len(row.cells.keys() - set(columns))
        cells.append(f"<td>{hidden or MISSING}</td>")
    known = [*row.facts, *[""] * facts][:facts]
    cells += [f"<td>{escape(each, MOST_CHARACTERS) or MISSING}</td>" for each in known]
    cells.append(f'<td class="{kind}">{load_words(row.load)}</td>')
    return f"<tr>{''.join(cells)}</tr>"
