"""The parts of the report that are text and tables, as HTML."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from envs.traces.reader import Trace
from tuner.charts.document import big_numbers, provenance, table
from tuner.charts.text import escape
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.live_check import LiveCheck
from tuner.evaluation.sentences import standing, times
from tuner.evaluation.statistics import breakdown, summaries
from tuner.evaluation.tables import text_rows
from tuner.policy.bundle import Bundle


def setting(comparison: Comparison, trace: Trace | None) -> str:
    """Return sentences about the problems and the protocol."""
    count, possible = len(comparison.cases), int(comparison.exists.sum())
    impossible = (
        f" (the limits of {count - possible} cannot be kept by any configuration)"
        if possible < count
        else ""
    )
    seeds = f"{len(comparison.seeds)} seed{'s' * (len(comparison.seeds) != 1)} each"
    if trace is not None:
        text = (
            f"Serving {', '.join(trace.space.workload.names)} on"
            f" {', '.join(trace.space.device.accelerator_names)}: {comparison.candidates:,}"
            f" configurations, {count} objective{'s' * (count != 1)}{impossible}, {seeds}."
            f"{agreement_sentence(trace)}"
        )
    else:
        boards = sorted({board for case in comparison.cases for board in case.groups["board"]})
        text = (
            f"{count} simulated problem{'s' * (count != 1)}{impossible} on {', '.join(boards)},"
            f" each with {comparison.candidates:,} configurations (median), {seeds}."
        )
        searched = sum(case.best.method != "exhaustive" for case in comparison.cases)
        if searched:
            text += (
                f" In {searched} of them the optimum was searched for, because the space is too"
                " large to look at all of it."
            )
    text = f"{text} {goals_sentence(comparison)}"
    return f"{text} Every tuner starts from the same configuration, and that measurement counts."


def goals_sentence(comparison: Comparison) -> str:
    """Say what is asked for, and in what unit scores are."""
    named = [f"{goal.words} (score in {goal.unit})" for goal in comparison.goals]
    return f"The goal is {', or '.join(named)}."


def learned_from(name: str, bundle: Bundle, trace: Trace | None) -> str:
    """Say what a policy was trained on; a search has seen the device model at most."""
    source = bundle.provenance.get("trace") or {}
    if not source:
        where = "simulated problems of other boards, networks and limits"
    elif (
        trace is not None
        and source.get("name") == trace.path.name
        and source.get("started") == trace.metadata.get("started")
    ):
        where = "this very trace, with other limits"
    else:
        where = f"another trace, {source.get('name', 'unknown')}"
    if bundle.twin is not None:
        where = f"a twin of {where} (simulated), and is told what was recorded"
    return (
        f"The {name} was trained on {where}; the searches start from nothing, or (model_...) from"
        " the device model."
    )


def agreement_sentence(trace: Trace) -> str:
    """Say how far recorded answers are those of FP32; empty where nothing was compared."""
    found = []
    for name in trace.space.workload.names:
        compared = [row for row in trace.rows if not math.isnan(row[f"{name}.agreement"])]
        if compared:
            least = min(compared, key=lambda row: float(row[f"{name}.agreement"]))
            found.append(
                f"{name} at least {least[f'{name}.agreement']:.3f} (on"
                f" {least[f'{name}.agreement_samples']:.0f} samples)"
            )
    return f" Recorded answers agree with those of FP32: {', '.join(found)}." if found else ""


def key_figures(comparison: Comparison, focus: str, budget: int) -> str:
    """Return the numbers in large print; nothing where no case has a feasible configuration."""
    found = standing(comparison, focus, budget)
    if found is None:
        return ""
    us, rival = found.focus, found.rival
    name = focus.replace("_", " ")
    interval = f"95 %: {100 * us.share_low:.1f} to {100 * us.share_high:.1f}"
    share = f"of the optimum: {name}, after {times(us.budget)} ({interval})"
    blocks = [(f"{100 * us.share_mean:.1f} %", share)]
    if rival is not None:
        result = "a tie" if found.verdict == "tie" else f"{name} is {found.verdict}"
        other = f"the best other, {rival.tuner.replace('_', ' ')}, after {rival.budget}: {result}"
        blocks.append((f"{100 * rival.share_mean:.1f} %", other))
    feasible = f"of {name} runs have an answer within all limits"
    blocks.append((f"{100 * us.feasible_share:.1f} %", feasible))
    energy = f", {us.spent_j:,.0f} J" if math.isfinite(us.spent_j) else "; power was not measured"
    if math.isfinite(us.spent_s):
        blocks.append((f"{us.spent_s:,.0f} s", f"of measuring{energy}"))
    return big_numbers(blocks)


def tables(comparison: Comparison, focus: str, budget: int) -> list[str]:
    """Return the table after one budget, and after all of them."""
    every = summaries(comparison)
    all_budgets = html_table(*text_rows(comparison, every), focus)
    return [
        f"<h2>After {times(budget)}, in numbers</h2>",
        html_table(*text_rows(comparison, every, budget), focus),
        f"<details><summary>All budgets</summary>{all_budgets}</details>",
    ]


def breakdowns(comparison: Comparison, focus: str) -> list[str]:
    """Return tables of mean shares by board, network and number of tenants."""
    if not comparison.exists.any():
        return []
    order = sorted(comparison.tuners, key=lambda tuner: tuner != focus)
    headings = ["share of optimum, %", "problems", *(tuner.replace("_", " ") for tuner in order)]
    parts = []
    for budget in (3, 8):
        if budget > comparison.budgets[-1]:
            continue
        rows = [
            [f"{group} {value}", str(count), *(f"{100 * shares[tuner]:.1f}" for tuner in order)]
            for group in ("board", "network", "tenants")
            for value, (count, shares) in breakdown(comparison, group, budget).items()
        ]
        title = f"After {times(budget)}, by board, network and number of tenants"
        parts += [f"<h2>{title}</h2>", html_table(headings, rows, focus)]
    return parts


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]], focus: str) -> str:
    """Return a table; rows of the tuner `focus` are marked."""
    name = focus.replace("_", " ")
    return table(headings, rows, {at for at, row in enumerate(rows) if row[0] == name})


def learning_section(plot: str) -> list[str]:
    """Return the plot of how the policy learned, with what it shows; nothing without a plot."""
    if not plot:
        return []
    return [
        "<h2>How did the policy learn, and what does it look at?</h2>",
        plot,
        '<p class="quiet">On the problems of the training. First: the mean gain of the episodes of'
        " each update, which is how much nearer to the optimum the best so far got, less the price"
        " of broken limits; and the share of their measurements that broke one. Then: how much"
        " gain the policy loses when it sees one feature of the proposals shuffled, with 95 %"
        " bootstrap intervals, and how many of its choices change; a feature that another one"
        " repeats loses little.</p>",
    ]


def live_section(checks: Sequence[LiveCheck]) -> list[str]:
    """Return the outcomes of measuring again."""
    title = "<h2>Does the trace still hold?</h2>"
    if not checks:
        return [title, "<p>Not checked: nothing was measured live for this report.</p>"]
    items = "".join(
        f"<li><b>{escape(check.label)}</b>: {escape(check.sentence())}</li>" for check in checks
    )
    return [title, f"<ul>{items}</ul>"]


def provenance_section(
    comparison: Comparison, trace: Trace | None, given: Mapping[str, Any]
) -> list[str]:
    """Return how the comparison and the trace were made."""
    facts: dict[str, Any] = dict(given)
    facts |= {
        "seeds": list(comparison.seeds),
        "budgets": list(comparison.budgets),
        "tuners": list(comparison.tuners),
    }
    if trace is not None:
        recorded = {
            "file": trace.path.name,
            "rows": len(trace.rows),
            "failed": sum(bool(row["failure"]) for row in trace.rows),
            "disturbed": sum(bool(row["disturbed"]) for row in trace.rows),
            **{key: value for key, value in trace.metadata.items() if key != "space"},
        }
        facts["start"] = trace.space.describe(comparison.cases[0].start)
        facts |= {f"trace.{key}": value for key, value in recorded.items()}
    return provenance(facts)
