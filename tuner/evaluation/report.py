"""The report: one HTML file without a script, that needs no other file and no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.files import write_text
from envs.traces.reader import Trace
from tuner.charts.document import document, origin_line
from tuner.charts.text import escape
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.front import FrontPoint
from tuner.evaluation.front_section import front_section
from tuner.evaluation.live_check import LiveCheck
from tuner.evaluation.plots import cost_plot, outcome_plot, progress_plot
from tuner.evaluation.report_parts import (
    breakdowns,
    key_figures,
    learning_section,
    live_section,
    provenance_section,
    setting,
    tables,
)
from tuner.evaluation.sentences import (
    headline,
    learning_sentence,
    origin_label,
    rule_sentence,
    times,
)
from tuner.evaluation.statistics import NEAR_OPTIMUM
from tuner.evaluation.tradeoff_plot import representative, tradeoff_plot


def write_report(
    path: Path,
    comparison: Comparison,
    trace: Trace | None,
    *,
    focus: str = "policy",
    budget: int = 3,
    provenance: Mapping[str, Any] | None = None,
    front: Sequence[FrontPoint] = (),
    live_checks: Sequence[LiveCheck] = (),
    note: str = "",
    learning: str = "",
) -> Path:
    """Write the report in one step.

    Args:
        path: of the HTML file.
        comparison: of the tuners.
        trace: the replayed trace; None if problems were simulated, each with its own space.
        focus: the tuner that the report is about; the first one if there is none of this name.
        budget: measurements after which tuners are compared.
        provenance: versions and command, besides the metadata of the trace.
        front: tuners at several prices of a broken limit; none for no such section.
        live_checks: configurations that were measured again.
        note: a remark that a reader needs to judge the comparison.
        learning: a plot of how the policy learned, see `learning_plot`; empty for none.

    Raises:
        StorageError: the file cannot be written.
    """
    focus = focus if focus in comparison.tuners else comparison.tuners[0]
    budget = max(
        (each for each in comparison.budgets if each <= budget), default=comparison.budgets[0]
    )
    title = headline(comparison, focus, budget)
    body = [
        origin_line(origin_label(trace)),
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(setting(comparison, trace))} {escape(note)}</p>',
        key_figures(comparison, focus, budget),
        f'<p class="verdict">{escape(_verdict(comparison, trace, focus))}</p>',
        *_plots(comparison, trace, focus, budget),
        *front_section(front, comparison, focus),
        *learning_section(learning),
        *tables(comparison, focus, budget),
        *([] if trace else breakdowns(comparison, focus)),
        *(live_section(live_checks) if trace else []),
        *provenance_section(comparison, trace, provenance or {}),
    ]
    return write_text(path, document(title, body))


def _verdict(comparison: Comparison, trace: Trace | None, focus: str) -> str:
    """Say what learning adds over the rule, and whether measuring everything would do as well."""
    enumerating = learning_sentence(comparison, trace, focus)
    return " ".join(filter(None, [rule_sentence(comparison, focus), enumerating]))


def _plots(comparison: Comparison, trace: Trace | None, focus: str, budget: int) -> list[str]:
    parts: list[str] = []
    possible = bool(comparison.exists.any())
    if possible:
        parts += [
            "<h2>How fast does each tuner get to the optimum?</h2>",
            progress_plot(comparison, focus),
            '<p class="quiet">Mean over objectives and seeds; bands: 95 % bootstrap intervals;'
            f" dashed: within {100 * (1 - NEAR_OPTIMUM):.0f} % of the optimum.</p>",
        ]
    if trace is not None:
        limits = comparison.cases[representative(comparison)].name
        parts += [
            f"<h2>What is the answer of each tuner after {times(budget)}?</h2>",
            f"<p>The objective of medium difficulty: {escape(limits)}. Each small dot is a recorded"
            " configuration, a pale square where it breaks a limit.</p>",
            tradeoff_plot(comparison, trace, focus, budget),
        ]
    if possible:
        parts += [
            "<h2>How good are the answers over all objectives and seeds?</h2>",
            outcome_plot(comparison, focus, budget),
            "<h2>How much does tuning cost?</h2>",
            cost_plot(comparison, focus),
        ]
    return parts
