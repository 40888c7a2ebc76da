"""The report: one HTML file that needs nothing else, no script and no network, and is read from the top."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from envs.traces.reader import Trace
from tuner.evaluation.drawing import EMPHASIS, FAINT, GRID, INK
from tuner.evaluation.plots import cost_plot, outcome_plot, progress_plot
from tuner.evaluation.protocol import Comparison
from tuner.evaluation.sentences import (
    LiveCheck,
    headline,
    learning_sentence,
    limits_in_words,
    live_sentence,
    origin_label,
    standing,
    verdict_on_learning,
)
from tuner.evaluation.statistics import NEAR_OPTIMUM, Summary, breakdown, summaries
from tuner.evaluation.tables import text_rows, write_atomically
from tuner.evaluation.tradeoff_plot import plane_plot, representative

__all__ = ["LiveCheck", "report_html", "verdict_on_learning", "write_report"]

STYLE = f"""
body{{font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;color:{INK};background:#fff;max-width:1020px;margin:0 auto;padding:0 20px 60px}}
.origin{{background:#fff3d6;border-left:5px solid #d9a400;padding:8px 14px;margin:22px 0 6px;font-size:15px}}
.origin b{{text-transform:uppercase;letter-spacing:.04em;font-size:13px}}
h1{{font-size:29px;line-height:1.25;margin:18px 0 8px}}
h2{{font-size:19px;margin:38px 0 4px}}
p{{margin:4px 0 10px;max-width:860px}}
.quiet{{color:{FAINT};font-size:14px}}
.figures{{display:flex;gap:14px;flex-wrap:wrap;margin:18px 0}}
.figures div{{border-top:3px solid {GRID};padding:8px 0;flex:1 1 170px}}
.figures .main{{border-color:{EMPHASIS}}}
.figures b{{display:block;font-size:30px;line-height:1.1}}
.figures .main b{{color:{EMPHASIS}}}
.figures span{{color:{FAINT};font-size:14px}}
.verdict{{font-size:18px;border-left:5px solid {EMPHASIS};padding-left:14px}}
table{{border-collapse:collapse;font-size:13px;width:100%}}
th{{text-align:right;font-weight:600;vertical-align:bottom;border-bottom:2px solid {INK};padding:4px 8px}}
td{{text-align:right;padding:4px 8px;border-bottom:1px solid {GRID};font-variant-numeric:tabular-nums}}
th:first-child,td:first-child{{text-align:left;white-space:nowrap}}
tr.focus td{{color:{EMPHASIS};font-weight:700}}
.scroll{{overflow-x:auto}}
svg{{display:block;height:auto;max-width:100%}}
summary{{cursor:pointer;color:{FAINT};margin:10px 0}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f7fa;padding:10px;font-size:13px}}
"""


def write_report(
    path: Path,
    comparison: Comparison,
    trace: Trace | None,
    *,
    focus: str = "policy",
    at: int = 3,
    provenance: Mapping[str, Any] | None = None,
    live_checks: Sequence[LiveCheck] = (),
    note: str = "",
) -> Path:
    """Write `report_html`, in one step. StorageError where it cannot be written."""
    return write_atomically(
        path,
        report_html(
            comparison,
            trace,
            focus=focus,
            at=at,
            provenance=provenance,
            live_checks=live_checks,
            note=note,
        ),
    )


def report_html(
    comparison: Comparison,
    trace: Trace | None,
    *,
    focus: str = "policy",
    at: int = 3,
    provenance: Mapping[str, Any] | None = None,
    live_checks: Sequence[LiveCheck] = (),
    note: str = "",
) -> str:
    """The report as HTML.

    Args:
        trace: what was replayed; None where problems were simulated, each with a space of its own.
        focus: the tuner that the report is about; the first one if there is none of this name.
        at: after how many measurements tuners are told apart.
        provenance: what this comparison was made with (versions, command), beside what the trace says about itself.
        live_checks: configurations that were measured again.
        note: what else a reader must know to judge the comparison.
    """
    focus = focus if focus in comparison.tuners else comparison.tuners[0]
    at = max(
        (budget for budget in comparison.budgets if budget <= at), default=comparison.budgets[0]
    )
    every = summaries(comparison)
    title = headline(comparison, focus, at)
    origin = origin_label(trace)
    parts = [
        f'<p class="origin"><b>Origin</b> &nbsp;{escape(origin[:1].upper() + origin[1:])}</p>',
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(_setting(comparison, trace))} {escape(note)}</p>',
        _figures(comparison, focus, at),
        f'<p class="verdict">{escape(learning_sentence(comparison, trace, focus))}</p>',
        *_plots(comparison, trace, focus, at),
        *_tables(comparison, every, focus, at),
        *_breakdowns(comparison, trace, focus),
        *(_live(live_checks) if trace else []),
        *_provenance(comparison, trace, provenance or {}),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _setting(comparison: Comparison, trace: Trace | None) -> str:
    contexts, possible = len(comparison.contexts), int(comparison.exists.sum())
    impossible = (
        f" ({contexts - possible} of them cannot be kept by any configuration)"
        if possible < contexts
        else ""
    )
    seeds = f"{len(comparison.seeds)} seed{'s' * (len(comparison.seeds) != 1)} each"
    if trace is not None:
        served, places = (
            ", ".join(trace.space.workload.names),
            ", ".join(trace.space.device.accelerator_names),
        )
        what = f"Serving {served} on {places}: {comparison.candidates:,} configurations, {contexts} objective{'s' * (contexts != 1)}{impossible}, {seeds}."
    else:
        boards = sorted(
            {board for context in comparison.contexts for board in context.groups["board"]}
        )
        searched = sum(context.best.found != "exhaustive" for context in comparison.contexts)
        counted = f"{contexts} simulated problem{'s' * (contexts != 1)}{impossible} on {', '.join(boards)}"
        what = f"{counted}, each with {comparison.candidates:,} configurations (median), {seeds}."
        what += (
            f" In {searched} of them the optimum was searched for, the space being too large to look at all of it."
            if searched
            else ""
        )
    return f"{what} Everybody starts from the same configuration, and that measurement counts."


def _figures(comparison: Comparison, focus: str, at: int) -> str:
    found = standing(comparison, focus, at)
    if found is None:
        return ""
    us, rival = found.focus, found.rival
    name = focus.replace("_", " ")
    spread = f"{name}, after {_measurements(us.budget)} (95 %: {100 * us.share_low:.1f} to {100 * us.share_high:.1f})"
    blocks = [("main", f"{100 * us.share_mean:.1f} %", f"of the optimum: {spread}")]
    if rival is not None:
        other = f"the best other, {rival.tuner.replace('_', ' ')}, after {rival.budget}"
        blocks.append(
            ("", f"{100 * rival.share_mean:.1f} %", f"{other}: {_against(found.verdict, name)}")
        )
    blocks.append(
        ("", f"{100 * us.feasible_share:.1f} %", f"of {name} runs have an answer within all limits")
    )
    energy = f", {us.spent_j:,.0f} J" if math.isfinite(us.spent_j) else "; power was not measured"
    blocks.append(("", f"{us.spent_s:,.0f} s", f"of measuring{energy}"))
    shown = (
        f'<div class="{kind}"><b>{escape(big)}</b><span>{escape(small)}</span></div>'
        for kind, big, small in blocks
    )
    return f'<div class="figures">{"".join(shown)}</div>'


def _against(verdict: str, name: str) -> str:
    return "a tie" if verdict == "tie" else f"{name} is {verdict}"


def _plots(comparison: Comparison, trace: Trace | None, focus: str, at: int) -> list[str]:
    parts: list[str] = []
    possible = bool(comparison.exists.any())
    if possible:
        parts += [
            "<h2>How fast does each get to the optimum?</h2>",
            progress_plot(comparison, focus),
        ]
        near = f"dashed: within {100 * (1 - NEAR_OPTIMUM):.0f} % of the optimum"
        parts += [
            f'<p class="quiet">Mean over objectives and seeds; bands: 95 % bootstrap intervals; {near}.</p>'
        ]
    if trace is not None:
        limits = limits_in_words(comparison, representative(comparison), trace.space.workload.names)
        parts += [f"<h2>Where did each end after {_measurements(at)}?</h2>"]
        dots = "Each small dot is a recorded configuration, pale where it breaks a limit; a cross marks an answer that still does."
        parts += [f"<p>The objective of medium difficulty: {escape(limits)}. {dots}</p>"]
        parts += [plane_plot(comparison, trace, focus, at)]
    if possible:
        parts += [
            "<h2>And over all objectives and seeds?</h2>",
            outcome_plot(comparison, focus, at),
        ]
        parts += ["<h2>What does tuning cost?</h2>", cost_plot(comparison, focus)]
    return [_inlined(part) for part in parts]


def _inlined(part: str) -> str:
    """Within HTML an SVG needs no namespaces; without them the page names no address at all."""
    return re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", part) if part.startswith("<svg") else part


def _measurements(count: int) -> str:
    return f"{count} measurement{'s' * (count != 1)}"


def _tables(comparison: Comparison, every: Sequence[Summary], focus: str, at: int) -> list[str]:
    parts = [
        f"<h2>After {_measurements(at)}, in numbers</h2>",
        _table(*text_rows(comparison, every, at), focus),
    ]
    parts += [
        f"<details><summary>All budgets</summary>{_table(*text_rows(comparison, every), focus)}</details>"
    ]
    return parts


def _breakdowns(comparison: Comparison, trace: Trace | None, focus: str) -> list[str]:
    """Mean shares by board, network and number of tenants, where contexts differ in them."""
    if trace is not None or not comparison.exists.any():
        return []
    order = sorted(comparison.tuners, key=lambda tuner: tuner != focus)
    parts = []
    for budget in (3, 8):
        if budget > comparison.budgets[-1]:
            continue
        rows = []
        for group in ("board", "network", "tenants"):
            for value, (count, shares) in breakdown(comparison, group, budget).items():
                rows.append(
                    [
                        f"{group} {value}",
                        str(count),
                        *(f"{100 * shares[tuner]:.1f}" for tuner in order),
                    ]
                )
        headings = [
            "share of optimum, %",
            "problems",
            *(tuner.replace("_", " ") for tuner in order),
        ]
        parts += [
            f"<h2>After {_measurements(budget)}, by board, network and number of tenants</h2>",
            _table(headings, rows, focus),
        ]
    return parts


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], focus: str) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = ""
    for row in rows:
        mark = ' class="focus"' if row[0] == focus.replace("_", " ") else ""
        body += f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _live(checks: Sequence[LiveCheck]) -> list[str]:
    if not checks:
        return [
            "<h2>Does the trace still hold?</h2>",
            "<p>Not checked: nothing was measured live for this report.</p>",
        ]
    labels = [f"<b>{escape(check.label)}</b>: " if check.label else "" for check in checks]
    items = "".join(
        f"<li>{label}{escape(live_sentence(check))}</li>"
        for label, check in zip(labels, checks, strict=True)
    )
    return ["<h2>Does the trace still hold?</h2>", f"<ul>{items}</ul>"]


def _provenance(comparison: Comparison, trace: Trace | None, given: Mapping[str, Any]) -> list[str]:
    facts: dict[str, Any] = dict(given)
    facts |= {
        "seeds": list(comparison.seeds),
        "budgets": list(comparison.budgets),
        "tuners": list(comparison.tuners),
    }
    if trace is not None:
        marked, failed = (
            sum(bool(row[key]) for row in trace.rows) for key in ("disturbed", "failure")
        )
        facts |= {"start": trace.space.describe(comparison.contexts[0].start)}
        recorded = {key: value for key, value in trace.metadata.items() if key != "space"}
        told = {
            "file": trace.path.name,
            "rows": len(trace.rows),
            "failed": failed,
            "disturbed": marked,
            **recorded,
        }
        facts |= {f"trace.{key}": value for key, value in told.items()}
    text = "\n".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in facts.items()
    )
    return ["<h2>How this was made</h2>", f"<pre>{escape(text)}</pre>"]
