"""The report of a tuning: one HTML file that tells in its first screen how the tuning went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.files import write_text
from envs.spec import Goal
from tuner.answer import Answer
from tuner.answer_text import answer_table, notes, nothing_measured
from tuner.charts.document import big_numbers, document, origin_line, provenance, table
from tuner.charts.spread import spread
from tuner.charts.text import escape
from tuner.tuning_report_charts import best_so_far, planes
from tuner.tuning_report_text import (
    answered_lines,
    asked_lines,
    cost_lines,
    headline,
    numbers,
    origin_of,
    sure_lines,
)

STYLE = """
.said{display:grid;grid-template-columns:150px 1fr;gap:10px 18px;margin:18px 0;max-width:960px}
.said dt{font-weight:700;border-top:1px solid var(--grid);padding-top:6px}
.said dd{margin:0;border-top:1px solid var(--grid);padding-top:6px;min-width:0;
 overflow-wrap:anywhere}
.said dd p{margin:0 0 4px}
.missed{color:var(--mark)}
@media (max-width:640px){.said{grid-template-columns:1fr;gap:2px 0}.said dd{border:0;
 padding:0 0 10px}}
"""


def write_tuning_report(
    path: str | Path, answer: Answer, facts: Mapping[str, Any] | None = None
) -> Path:
    """Write the report in one step, also of an answer that keeps no limit or of failed windows.

    Example:
        >>> answer = tuner.optimize("my.onnx", p99_ms=50)  # doctest: +SKIP
        >>> write_tuning_report("tuning.html", answer)  # doctest: +SKIP

    Args:
        path: of the HTML file.
        answer: of `tuner.optimize`.
        facts: versions, options and command.

    Raises:
        StorageError: the file cannot be written.
    """
    title, space = headline(answer), answer.problem.space
    missed = "" if answer.limits_kept else ' class="missed"'
    body = [
        origin_line(origin_of(answer)),
        f"<h1{missed}>{escape(title)}</h1>",
        big_numbers(numbers(answer)),
        said(
            [
                ("What was asked", asked_lines(answer)),
                ("What was found", answered_lines(answer)),
                ("What it cost", cost_lines(answer)),
                ("How sure it is", sure_lines(answer)),
            ],
            names=(answer.latency_quantity, *space.workload.names, *space.device.accelerator_names),
        ),
        *_measurements(answer),
        *provenance(facts or {"answer": answer.to_dict()}),
    ]
    return write_text(Path(path), document(title, body, STYLE))


def said(sections: Sequence[tuple[str, Sequence[str]]], names: Sequence[str] = ()) -> str:
    """Return questions with their answers, a paragraph a line; those without one are left out.

    Args:
        sections: each question with its lines.
        names: a line that begins with one of these does not get a capital letter.
    """
    parts = [
        f"<dt>{escape(question)}</dt><dd>"
        + "".join(f"<p>{escape(_sentence(line, names))}</p>" for line in lines)
        + "</dd>"
        for question, lines in sections
        if lines
    ]
    return f'<dl class="said">{"".join(parts)}</dl>'


def _sentence(line: str, names: Sequence[str]) -> str:
    """Return a line of the terminal without its indent, with a capital letter."""
    text = line.strip()
    return text if text.startswith(tuple(names)) else text[:1].upper() + text[1:]


def _measurements(answer: Answer) -> list[str]:
    """Return the charts and the table of all windows."""
    head, rows = answer_table(answer)
    is_measured = not nothing_measured(answer)
    several = len(answer.problem.space.workload.names)
    own = {
        at
        for at in range(len(rows))
        if is_measured and answer.tried[at // several][0] == answer.configuration
    }
    charts = [*planes(answer), best_so_far(answer), _sure(answer)]
    parts = ["<h2>What was measured?</h2>", *charts] if is_measured else []
    stand_out = "; those of the answer stand out" * bool(own)
    parts += [
        "<h2>Every window</h2>",
        f'<p class="quiet">In the order of the measurements{stand_out}.</p>',
        table([each or "role" for each in head], rows, own),
    ]
    return parts + [f'<p class="quiet">{escape(each)}</p>' for each in notes(answer)]


def _sure(answer: Answer) -> str:
    """Return the interval of the ratio to the default; nothing where there is none."""
    found = answer.confirmation
    if found is None or found.ratio is None or math.isnan(found.ratio.low):
        return ""
    ratio = found.ratio
    low, middle, high = ratio.low, ratio.times, ratio.high
    better = "more"
    if answer.problem.objective.goal is Goal.LATENCY:
        low, middle, high, better = 1 / high, 1 / middle, 1 / low, "less"
    return spread(
        f"Against the default, from {ratio.pairs} pairs of windows ({better} is better)",
        "times the default",
        middle,
        low,
        high,
        reference=1.0,
        reference_name="the default",
    )
