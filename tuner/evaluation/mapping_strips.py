"""A network as a strip of layer groups in the colours of their accelerators, as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence

from envs.mappings.costs import GroupCosts
from tuner.charts.frame import scrolling
from tuner.charts.palette import colour_of
from tuner.charts.text import escape, short
from tuner.evaluation.mapping_pieces import Piece, Run

#: A strip is drawn whole up to this many times the longest mapping of the front.
LONGEST = 1.5

#: A group narrower than this share of the page has no number in it.
NUMBERED = 0.025

KIB = 1024.0


def legend(costs: GroupCosts) -> str:
    """Return the accelerators with their colours."""
    items = [
        f'<span><i style="background:{colour_of(at)}"></i>{escape(name)}</span>'
        for at, name in enumerate(costs.accelerators)
    ]
    items.append(
        f'<span><i class="between" style="background-color:{colour_of(4)}"></i>start, transition,'
        " end</span>"
    )
    return f'<p class="legend">{"".join(items)}</p>'


def strips(front: Sequence[Run], alone: Sequence[Run], chosen: int | None) -> str:
    """Return one strip for each mapping of the front, then one for each accelerator alone.

    All have the same scale of time; a much longer one fades at its end. Accelerators that are
    members of the front are not repeated.
    """
    longest_s = max(run.time_s for run in front)
    times = [run.time_s for run in (*front, *alone)]
    scale_s = max(each for each in times if each <= LONGEST * longest_s)
    members = {run.mapping for run in front}
    parts = [
        _strip(f"{number}. ", run, scale_s, number - 1 == chosen)
        for number, run in enumerate(front, start=1)
    ]
    others = [run for run in alone if run.pieces and run.mapping not in members]
    parts += [_strip("", run, scale_s, False) for run in others]
    return "".join(parts)


def _strip(number: str, run: Run, scale_s: float, is_chosen: bool) -> str:
    share = run.time_s / scale_s
    is_cut = share > 1 + 1e-9
    pieces = "".join(
        _cell(piece, piece.time_s / scale_s, run.batch)
        for piece in run.pieces
        if piece.start_s < scale_s
    )
    count = run.transitions
    facts = (
        f"{short(1e3 * run.time_s)} ms",
        f"{short(1e3 * run.inference_j)} mJ",
        f"{run.rate_ips:,.0f}/s",
        f"{count} transition{'s' * (count != 1)}",
    )
    said = "".join(f"<span>{fact}</span>" for fact in facts)
    return (
        f'<div class="strip{" chosen" * is_chosen}"><div class="name"><b>{number}'
        f"{escape(run.name)}</b>{said}</div>"
        f'<div class="bar{" cut" * is_cut}" style="width:{100 * min(share, 1):.2f}%">{pieces}</div>'
        "</div>"
    )


def _cell(piece: Piece, share: float, batch: int) -> str:
    """Return a piece of a strip; its title says what it is."""
    numbers = f"{short(1e3 * piece.time_s)} ms, {short(1e3 * piece.energy_j / batch)} mJ"
    if piece.group is None:
        kind, title, text = ' class="between"', f"between accelerators: {numbers}", ""
    else:
        kind, title = "", f"group {piece.group}: {numbers}"
        text = str(piece.group) if share >= NUMBERED else ""
    return (
        f'<i{kind} title="{title}" style="flex:{max(share, 1e-6):.6f} 1 0;'
        f'background-color:{colour_of(piece.accelerator)}">{text}</i>'
    )


def group_table(costs: GroupCosts, front: Sequence[Run], chosen: int | None) -> str:
    """Return a row for each layer group: where each mapping runs it, and its time and energy.

    The numbers on the accelerator that the chosen mapping takes have its colour.
    """
    at = [
        [costs.accelerators.index(name) for name in run.mapping.by_group(costs.groups)]
        for run in front
    ]
    names = [escape(name) for name in costs.accelerators]
    head = [
        *("group", "layers", "KiB crossing"),
        *(str(number) for number in range(1, len(front) + 1)),
        *(f"{name}, ms" for name in names),
        *(f"{name}, mJ" for name in names),
    ]
    rows = []
    for group in range(costs.groups):
        on = None if chosen is None else at[chosen][group]
        cells = [
            f"<td>{group}</td><td>{costs.layers[group]}</td>"
            f"<td>{costs.crossing_bytes[group] / KIB:,.0f}</td>"
        ]
        cells += [
            f'<td class="where" style="background:{colour_of(where[group])}">'
            f"{names[where[group]]}</td>"
            for where in at
        ]
        for values in (costs.time_s[group], costs.energy_j[group] / costs.batch):
            cells += [
                _number(value, position if position == on else None)
                for position, value in enumerate(values)
            ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f"<th>{each}</th>" for each in head)
    return scrolling(
        f'<table class="groups"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>",
        "Table of layer groups",
    )


def _number(value: float, marked: int | None) -> str:
    """Return a cell with milliseconds or millijoules; a dash where an accelerator refuses."""
    text = f"{1e3 * value:.4f}" if math.isfinite(value) else "\N{EN DASH}"
    style = "" if marked is None else f' class="on" style="background:{colour_of(marked)}"'
    return f"<td{style}>{text}</td>"
