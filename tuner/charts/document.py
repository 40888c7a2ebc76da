"""A report as one HTML file that needs no other file, no script and no network."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tuner.charts.frame import scrolling
from tuner.charts.style import CHART_STYLE
from tuner.charts.text import escape

#: The style sheet of a report, without that of its charts.
REPORT_STYLE = """
body{font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;color:var(--ink);background:var(--paper);
 max-width:1020px;margin:0 auto;padding:0 20px 60px}
.origin{background:var(--note);border-left:5px solid var(--note-edge);padding:8px 14px;
 margin:22px 0 6px;font-size:15px}
.origin b{text-transform:uppercase;letter-spacing:.04em;font-size:13px}
h1{font-size:29px;line-height:1.25;margin:18px 0 8px;overflow-wrap:anywhere}
h2{font-size:19px;margin:38px 0 4px}
p{margin:4px 0 10px;max-width:860px;overflow-wrap:anywhere}
.quiet{font-size:14px}
.figures{display:flex;gap:14px;flex-wrap:wrap;margin:18px 0}
.figures div{border-top:3px solid var(--grid);padding:8px 0;flex:1 1 170px;min-width:0}
.figures .main{border-color:var(--mark)}
.figures b{display:block;font-size:30px;line-height:1.1;overflow-wrap:anywhere}
.figures .main b{color:var(--mark)}
.figures span{display:block;color:var(--faint);font-size:14px;overflow-wrap:anywhere}
.verdict{font-size:18px;border-left:5px solid var(--mark);padding-left:14px}
table{border-collapse:collapse;font-size:13px;width:100%}
th{text-align:right;font-weight:600;vertical-align:bottom;border-bottom:2px solid var(--ink);
 padding:4px 5px}
td{text-align:right;padding:4px 5px;border-bottom:1px solid var(--grid);
 font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left;white-space:nowrap}
tr.focus td{color:var(--mark);font-weight:700}
svg{display:block;max-width:100%}
summary{cursor:pointer;color:var(--faint);margin:10px 0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--box);padding:10px;font-size:13px}
@media (max-width:480px){body{padding:0 12px 40px}h1{font-size:23px}.figures div{flex-basis:130px}
 .figures b{font-size:25px}}
"""


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """Return the whole file.

    Args:
        title: of the window.
        body: HTML elements.
        style: more rules, behind those of reports and charts.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{CHART_STYLE}{REPORT_STYLE}{style}</style>"
    )
    lines = ["<!DOCTYPE html>", f'<html lang="en"><head>{head}</head><body><main>', *body]
    return "\n".join([*lines, "</main></body></html>"]) + "\n"


def origin_line(words: str) -> str:
    """Return the line above everything that says where the numbers come from."""
    shown = words[:1].upper() + words[1:]
    return f'<p class="origin"><b>Origin</b> &#160;{escape(shown)}</p>'


def big_numbers(blocks: Iterable[tuple[str, str]], main: int | None = 0) -> str:
    """Return numbers in large print with words below; empty for none.

    Args:
        blocks: each number with its unit, and its words.
        main: position of the one that is marked; None for none.
    """
    shown = "".join(
        f"<div{MAIN if at == main else ''}><b>{escape(big)}</b><span>{escape(small)}</span></div>"
        for at, (big, small) in enumerate(blocks)
    )
    return f'<div class="figures">{shown}</div>' if shown else ""


#: The class of the number that is marked.
MAIN = ' class="main"'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: Collection[int] = ()) -> str:
    """Return a table that scrolls sideways where it is wider than the page.

    Args:
        head: units included.
        rows: of texts.
        marked: positions of rows that stand out.
    """
    heads = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = "".join(
        f"<tr{FOCUS if at in marked else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for at, row in enumerate(rows)
    )
    return scrolling(
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>",
        f"Table: {', '.join(filter(None, head))}",
    )


#: The class of a row that stands out.
FOCUS = ' class="focus"'


def provenance(facts: Mapping[str, Any]) -> list[str]:
    """Return the section that says how the report was made."""
    lines = [
        f"{key}: "
        + (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for key, value in facts.items()
    ]
    text = "\n".join(lines)
    return ["<h2>How this was made</h2>", f"<pre>{escape(text)}</pre>"]
