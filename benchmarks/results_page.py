"""The page docs/results.md, and the one table of the README, as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.benchmark import Benchmark
from benchmarks.figures import Figure
from tuner.evaluation.bootstrap import Difference
from tuner.evaluation.sentences import added_by_learning

if TYPE_CHECKING:
    from benchmarks.results import Result

HEAD = """# Results

`python -m benchmarks.results` writes this page; do not edit it. Every number comes from the
command beside it, with the computer and the commit that it was measured on.

- **simulated** numbers come from the [device model](model.md) of Jetson boards.
- **replayed** numbers come from a recording of real measurements.
- **measured** numbers were measured live on the computer that is named, which is no Jetson.

A commit with a mark (`+` and six digits) means that files differed from it. "Short" means a form
of the benchmark that takes a minute or two: its numbers scatter more.
"""

#: Tuners that the README's table shows, with the words for them there.
README_TUNERS = {
    "policy": "**learned policy**",
    "expected_gain": "untrained: expected gain at equal risk",
    "model_refit": "untrained: the model, refitted",
    "model_argmax": "untrained: the model",
    "gradient": "gradient search",
    "hill_climb": "hill climbing",
    "vendor_gpu": "vendor default",
    "random": "random",
}

#: Rows with the same metrics are shown side by side if there are at least this many.
SIDE_BY_SIDE = 2


def results_page(
    benchmarks: Sequence[Benchmark], results: Mapping[str, Result | None], before: str = ""
) -> str:
    """Return the whole page.

    Args:
        benchmarks: in the order of the page.
        results: of each, by name; None where there is none.
        before: the page that this one replaces. A benchmark without a result keeps what that page
            says of it: on another computer, or in a fresh clone, no results are kept.
    """
    rows = dict(re.findall(r"^\| \[(\w+)\]\(#\1\) \| (.*) \|$", before, re.MULTILINE))
    sections = {each.partition("\n")[0]: each for each in before.split("\n## ")[1:]}
    parts = [HEAD, _overview(benchmarks, results, rows)]
    for each in benchmarks:
        result, kept = results.get(each.name), sections.get(each.name, "")
        stays = result is None and kept and "\nNot run yet:" not in kept
        parts += [f"## {kept}" if stays else _section(each, result)]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _overview(
    benchmarks: Sequence[Benchmark], results: Mapping[str, Result | None], before: dict[str, str]
) -> str:
    rows = []
    for benchmark in benchmarks:
        result = results.get(benchmark.name)
        link = f"[{benchmark.name}](#{benchmark.name})"
        if result is None:
            kept = before.get(benchmark.name, f"{benchmark.label} | not run |  |  | ")
            rows.append([link, *kept.split(" | ")])
            continue
        goals = [figure.holds for figure in result.figures if figure.goal]
        met = f"{sum(map(bool, goals))} of {len(goals)}" if goals else "none set"
        form = "short" if result.short else "full"
        rows.append(
            [
                link,
                benchmark.label,
                "**failed**" if result.failure else form,
                "" if result.failure else met,
                f"`{result.commit}`",
                f"{result.seconds / 60:.1f} min",
            ]
        )
    return markdown_table(["benchmark", "numbers are", "form", "goals met", "commit", "took"], rows)


def _section(benchmark: Benchmark, result: Result | None) -> str:
    lines = [f"## {benchmark.name}", "", benchmark.measures, ""]
    if result is None:
        why = f" The short form leaves it out: {benchmark.left_out}." if benchmark.left_out else ""
        full = " ".join(["python", *benchmark.command(short=False)])
        return "\n".join([*lines, f"Not run yet: `{full}`.{why}", ""])
    lines += [
        f"- command: `{result.command}`{' (short form)' if result.short else ''}",
        f"- computer: {result.machine}, Python {result.python}",
        f"- commit `{result.commit}`, {result.date}, {result.seconds / 60:.1f} minutes",
        f"- all numbers are **{benchmark.label}**",
        "",
    ]
    if result.failure:
        return "\n".join([*lines, f"**It failed.** {_cell(result.failure)}", ""])
    return "\n".join([*lines, *figures_tables(result.figures)])


def figures_tables(figures: Sequence[Figure]) -> list[str]:
    """Return the figures as tables: side by side where many rows have the same metrics."""
    rows: dict[str, list[tuple[str, Figure]]] = {}
    for figure in figures:
        head, metric = _split(figure.name)
        rows.setdefault(head, []).append((metric, figure))
    metrics = {head: tuple((m, f.unit) for m, f in row) for head, row in rows.items()}
    count = {each: list(metrics.values()).count(each) for each in metrics.values()}

    def wide(head: str) -> bool:
        return len(metrics[head]) > 1 and count[metrics[head]] >= SIDE_BY_SIDE

    tables = []
    for key, heads in groupby(rows, key=lambda head: metrics[head] if wide(head) else ()):
        if key:
            cells = [[head, *(_judged(f) for _, f in rows[head])] for head in heads]
            tables += [markdown_table(_wide_head(key), cells)]
        else:
            cells = [_plain(figure) for head in heads for _, figure in rows[head]]
            tables += [markdown_table(["figure", "value", "unit", "goal", "met"], cells)]
    return tables


def _wide_head(metrics: Sequence[tuple[str, str]]) -> list[str]:
    """Return the head of a wide table; a remark in brackets that all metrics share comes first."""
    remarks = {metric[metric.index(" (") :] if " (" in metric else "" for metric, _ in metrics}
    remark = remarks.pop() if len(remarks) == 1 else ""
    names = [(metric.removesuffix(remark), unit) for metric, unit in metrics]
    return [remark.strip(" ()"), *(f"{name} [{unit}]" if unit else name for name, unit in names)]


def _split(name: str) -> tuple[str, str]:
    """Return the subject and the metric of a figure's name; both are the name without a colon."""
    head, colon, metric = name.partition(": ")
    return (head, metric) if colon else (name, name)


def _plain(figure: Figure) -> list[str]:
    met = {True: "yes", False: "**no**", None: ""}[figure.holds]
    return [figure.name, number(figure.value), figure.unit, figure.goal, met]


def _judged(figure: Figure) -> str:
    if not figure.goal:
        return number(figure.value)
    return f"{number(figure.value)} (goal {figure.goal}: {'met' if figure.holds else '**missed**'})"


def number(value: float) -> str:
    """Return a number with about three significant digits, thousands separated."""
    if math.isnan(value):
        return "not measured"
    if math.isinf(value) or value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 3 - math.floor(math.log10(abs(value)) + 1)) if value else 0
    return f"{value:.{min(digits, 4)}f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, followed by an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def readme_with_table(readme: str, transfer: Result) -> str:
    """Return the README with the table of a `transfer` run between its marks."""
    values: dict[tuple[str, int, str], float] = {}
    size = ""
    pattern = re.compile(r"(\w+) after (\d+): (.+) \((\d+ problems x \d+ seeds)\)")
    for figure in transfer.figures:
        found = pattern.fullmatch(figure.name)
        if found:
            key = (found[1], int(found[2]), found[3])
            values.setdefault(key, figure.value)  # the first part has all problems
            size = size or found[4]
    metrics = ((3, "share of the oracle, mean"), (3, "share of the oracle, 5th percentile"))
    metrics += ((8, "share of the oracle, mean"), (8, "measurements beyond a limit"))
    head = ["simulated, %", "after 3", "5th percentile", "after 8", "broke a limit"]
    rows = [
        [words, *(f"{values[tuner, budget, metric]:.1f}" for budget, metric in metrics)]
        for tuner, words in README_TUNERS.items()
        if (tuner, 8, "share of the oracle, mean") in values
    ]
    table = markdown_table(head, rows)
    note = f"`{transfer.command}`: {size}, commit `{transfer.commit}`."
    parts = [f"{table}\n{note}", _over_the_rule(transfer)]
    return between_marks(readme, "table", "\n\n".join(filter(None, parts)))


def _over_the_rule(transfer: Result) -> str:
    """Say what learning adds over the untrained rule; empty where that was not measured."""
    values = {figure.name: figure.value / 100 for figure in transfer.figures}
    gained = {}
    for budget in (3, 8):
        name = f"policy minus rule after {budget}, at equal risk"
        if name in values:
            ends = (values[f"{name}, {end} end of 95 %"] for end in ("lower", "upper"))
            gained[budget] = Difference(values[name], *ends)
    return f"{added_by_learning(gained)}." if gained else ""


def between_marks(page: str, name: str, text: str) -> str:
    """Return the page with a text between the marks of a name; unchanged where it lacks one."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not closed:
        return page
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
