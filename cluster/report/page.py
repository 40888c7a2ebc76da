"""The report as one HTML file: no script, nothing fetched, light and dark."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.placement.nodes import Application
from cluster.report.view import BarView, HostedView, NodeView, PlacementView
from envs.files import write_text
from tuner.charts.document import big_numbers, document, origin_line, provenance, table
from tuner.charts.frame import legend
from tuner.charts.palette import AREA_PALETTE
from tuner.charts.text import MISSING, MOST_CHARACTERS, escape, short

#: Up to so many applications each has a colour and a number of its own; of more, each network has.
MOST_COLOURS = 24

#: Rows of the tables of applications at most, and parts of one bar; others are counted.
MOST_ROWS, MOST_PARTS = 100, 80

#: A part has a number in it where it takes this share of a bar for each digit.
NUMBERED = 0.065

STYLE = """
.scroll td{white-space:nowrap}
.nodes{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,310px),1fr));
 gap:18px 26px;margin:10px 0 18px}
.node h3{font-size:14px;margin:0 0 3px;overflow-wrap:anywhere}
.node h3 .quiet{font-weight:400;font-size:13px}
.node .bad{color:var(--mark)}
.node .bar{display:grid;grid-template-columns:58px 1fr 124px;gap:8px;align-items:center;
 font-size:13px;font-variant-numeric:tabular-nums;margin:2px 0}
.node .bar span{white-space:nowrap}
.node .bar svg{overflow:visible;background:var(--box)}
.node .bar rect{stroke:var(--paper);stroke-width:.4}
.node .bar .limit{stroke:var(--mark);stroke-width:1.5;stroke-dasharray:4 3}
.node .bar text{fill:#1f2933;font:11px system-ui,"DejaVu Sans",sans-serif;text-anchor:middle}
"""


def write_report(
    path: Path,
    view: PlacementView,
    title: str,
    origin: str,
    limits: str,
    facts: Mapping[str, Any],
) -> Path:
    """Write the report in one step.

    Args:
        path: of the HTML file.
        view: of the placement.
        title: of the page.
        origin: where the numbers come from.
        limits: what limits are of, `p99` or `mean`.
        facts: versions, options and command.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, report_page(view, title, origin, limits, facts))
    return path


def report_page(
    view: PlacementView, title: str, origin: str, limits: str, facts: Mapping[str, Any]
) -> str:
    """Return the whole page; see `write_report`."""
    total = len(view.hosted) + len(view.waiting)
    nodes, used = (sum(getattr(kind, key) for kind in view.kinds) for key in ("nodes", "used"))
    body = [
        origin_line(origin),
        f"<h1>{escape(title)}</h1>",
        big_numbers(
            [
                (f"{len(view.hosted):,} of {total:,}", "applications are hosted"),
                (f"{len(view.late):,}", f"are late: {limits} above their limit"),
                (f"{used:,} of {nodes:,}", "nodes are in use"),
                (f"{short(view.watts)} W", "above idle nodes, at full rates"),
            ]
        ),
        f'<p class="verdict">{escape(verdict(view))}</p>',
        *_late(view.late, limits),
        "<h2>Kinds of nodes</h2>",
        "<p>Full is a node whose nearest limit is reached: the latency of somebody on it, the load"
        " of a place, or memory.</p>",
        _kinds(view),
        "<h2>Nodes</h2>",
        *_nodes(view, nodes),
        "<h2>Applications</h2>",
        _applications(view.hosted, limits),
        *_waiting(view.waiting),
        *provenance(facts),
    ]
    return document(title, body, STYLE)


def verdict(view: PlacementView) -> str:
    """Return one sentence on the placement."""
    late, waiting = len(view.late), len(view.waiting)
    if not late and not waiting:
        return "Everything is hosted, and nobody is late."
    parts = [f"{_things(waiting)} found no room"] * bool(waiting)
    parts += [f"{_things(late)} {'is' if late == 1 else 'are'} late"] * bool(late)
    return f"{', and '.join(parts)}."


def _things(count: int) -> str:
    return "1 application" if count == 1 else f"{count:,} applications"


def _late(late: Sequence[HostedView], limits: str) -> list[str]:
    if not late:
        return []
    return ["<h2>Late</h2>", _applications(late, limits)]


def _kinds(view: PlacementView) -> str:
    places = list(dict.fromkeys(name for kind in view.kinds for name in kind.load))
    head = ["kind", "nodes", "in use", "replicas", *(f"{each} load" for each in places), "memory"]
    rows = [
        [
            kind.name, f"{kind.nodes:,}", f"{kind.used:,}", f"{kind.hosted:,}",
            *(_percent(kind.load[each]) if each in kind.load else MISSING for each in places),
            _percent(kind.memory), *(_percent(each) for each in kind.full),
        ]
        for kind in view.kinds
    ]  # fmt: skip
    return table([*head, "full: 10th percentile", "median", "90th"], rows)


def _nodes(view: PlacementView, nodes: int) -> list[str]:
    """Return the nodes as bars, with the key of their colours."""
    network = {each.application.name: each.application.network for each in view.hosted}
    shown = list(
        dict.fromkeys(name for node in view.nodes for bar in node.bars for name, _ in bar.parts)
    )
    single = len(shown) <= MOST_COLOURS
    names = shown if single else sorted({network[each] for each in shown})
    number = {each: names.index(each if single else network[each]) for each in shown}
    words = "application" if single else "network; a pointer on a part names its application"
    empty = sum(kind.nodes - kind.used for kind in view.kinds)
    left = nodes - empty - len(view.nodes)
    more = f" {left:,} nodes that are less full are not drawn." if left else ""
    more += f" {empty:,} nodes host nothing." if empty else ""
    return [
        f"<p>A colour and its number stand for one {words}. The length of a part is its share of"
        " the place's time, or of the node's memory. The dashed line is the most that may be used."
        f"{more}</p>",
        legend([(_key(at), f"{at + 1} {name}") for at, name in enumerate(names[:MOST_COLOURS])]),
        f'<div class="nodes">{"".join(_node(node, number, network) for node in view.nodes)}</div>',
    ]


def _node(node: NodeView, number: Mapping[str, int], network: Mapping[str, str]) -> str:
    late = f' <span class="bad">{len(node.late)} late</span>' if node.late else ""
    bars = "".join(_bar(node.name, bar, number, network) for bar in node.bars)
    return (
        f'<section class="node"><h3>{escape(node.name, MOST_CHARACTERS)} <span class="quiet">'
        f"{escape(node.kind, MOST_CHARACTERS)}</span>{late}</h3>{bars}</section>"
    )


def _bar(node: str, bar: BarView, number: Mapping[str, int], network: Mapping[str, str]) -> str:
    start, parts = 0.0, []
    scale = max(bar.used, 1.0)
    for name, share in bar.parts[:MOST_PARTS]:
        left, width = start / scale, share / scale
        inside = ""
        if width >= NUMBERED * len(str(number[name] + 1)):
            middle = f"{100 * (left + width / 2):.1f}"
            inside = f'<text x="{middle}%" y="12">{number[name] + 1}</text>'
        said = escape(f"{name} ({network[name]}): {_percent(share)}", 2 * MOST_CHARACTERS)
        parts.append(
            f'<g><title>{said}</title><rect class="area-{number[name] % len(AREA_PALETTE)}"'
            f' x="{100 * left:.1f}%" width="{100 * width:.1f}%" height="16"/>{inside}</g>'
        )
        start += share
    limit = f"{100 * bar.limit / scale:.1f}%"
    bad = ' class="bad"' if bar.full > 1 + 1e-6 else ""
    words = f"{_percent(bar.used)}, full {_percent(bar.full)}" if bar.parts else "free"
    said = escape(f"{bar.name} of {node}: {words}", 2 * MOST_CHARACTERS)
    return (
        f'<div class="bar"><span>{escape(bar.name, MOST_CHARACTERS)}</span>'
        f'<svg role="img" aria-label="{said}" width="100%" height="16">{"".join(parts)}'
        f'<line class="limit" x1="{limit}" x2="{limit}" y1="-2" y2="18"/></svg>'
        f"<span{bad}>{words}</span></div>"
    )


def _key(at: int) -> str:
    return (
        f'<rect class="area-{at % len(AREA_PALETTE)}" x="-9" y="-9" width="18" height="18"/>'
        f'<text y="4" text-anchor="middle" font-size="11" fill="#1f2933">{at + 1}</text>'
    )


def _applications(hosted: Sequence[HostedView], limits: str) -> str:
    """Return a table of applications; of many only the first ones."""
    head = [
        "application",
        "network",
        "rate, 1/s",
        f"limit of {limits}, ms",
        f"{limits}, ms",
        "where",
    ]
    rows = []
    for each in hosted[:MOST_ROWS]:
        one = each.application
        where = "; ".join(f"{node} {place} batch {batch}" for node, place, batch in each.where)
        rows.append(
            [
                one.name[:MOST_CHARACTERS], one.network, short(one.rate_ips),
                short(1e3 * one.limit_s),
                "not simulated" if math.isnan(each.p99_s) else short(1e3 * each.p99_s), where,
            ]
        )  # fmt: skip
    marked = [at for at, each in enumerate(hosted[:MOST_ROWS]) if each.is_late]
    more = len(hosted) - len(rows)
    note = f'<p class="quiet">and {more:,} more</p>' if more else ""
    return table(head, rows, marked) + note if rows else '<p class="quiet">None is hosted.</p>'


def _waiting(waiting: Sequence[Application]) -> list[str]:
    """Return what found no room, counted by network, rate and limit."""
    if not waiting:
        return []
    classes = Counter((e.network, e.rate_ips, e.limit_s, e.replicas, e.priority) for e in waiting)
    rows = [
        [network, short(rate), short(1e3 * limit), str(replicas), str(priority), f"{count:,}"]
        for (network, rate, limit, replicas, priority), count in classes.most_common(MOST_ROWS)
    ]
    head = ["network", "rate, 1/s", "limit, ms", "replicas", "priority", "applications"]
    return ["<h2>No room</h2>", table(head, rows)]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
