"""Tables of a comparison: CSV files, and rows for the console and the report."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.files import write_text
from envs.spec import Configuration
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.statistics import NEAR_OPTIMUM, Summary, measurements_to_reach

#: Shown to people for a number that does not exist; in CSV the cell is empty.
MISSING = "-"


@dataclass(frozen=True)
class Column:
    """A column of the summary.

    Attributes:
        name: in CSV, with its unit.
        heading, unit: for people.
        field: of `Summary`.
        scale: how many of the unit make one of the field's.
        digits: behind the decimal point, for people.
    """

    name: str
    heading: str
    field: str
    unit: str
    scale: float
    digits: int

    def value(self, summary: Summary) -> float:
        """Return the number of a summary in the column's unit."""
        return float(getattr(summary, self.field)) * self.scale


COLUMNS = (
    Column("share_mean_percent", "share of optimum", "share_mean", "%", 100, 1),
    Column("share_low_percent", "95 % from", "share_low", "%", 100, 1),
    Column("share_high_percent", "to", "share_high", "%", 100, 1),
    Column("share_p5_percent", "5th percentile", "share_p5", "%", 100, 1),
    Column("feasible_percent", "answer within limits", "feasible_share", "%", 100, 1),
    Column("overrun_percent", "answer beyond by 5 %", "overrun_share", "%", 100, 1),
    Column("broken_percent", "tries beyond limits", "broken_share", "%", 100, 1),
    Column("tuning_s", "measuring", "spent_s", "s", 1, 1),
    Column("tuning_j", "energy", "spent_j", "J", 1, 0),
    Column("decision_ms", "decision", "decision_s", "ms", 1000, 2),
    Column("excess_violation_percent", "excess if impossible", "excess_violation", "%", 100, 1),
)


def write_summary_csv(path: Path, summaries: Sequence[Summary]) -> Path:
    """Write one row for each tuner and budget."""
    fixed = ["tuner", "budget_measurements", "cases", "impossible_cases"]
    rows = [
        [each.tuner, each.budget, each.cases, each.impossible_cases]
        + [_cell(column.value(each)) for column in COLUMNS]
        for each in summaries
    ]
    return write_text(path, _csv([*fixed, *(column.name for column in COLUMNS)], rows))


def write_runs_csv(path: Path, comparison: Comparison) -> Path:
    """Write one row for each measurement, with its configuration in words.

    Tenants are numbered where cases serve different networks.
    """
    names = comparison.names
    header = ["tuner", "seed", "objective", "case", "goal", "score_unit"]
    header += [*(f"{name}.min_rate_ips" for name in names)]
    header += [*(f"{name}.limit_p99_ms" for name in names), "limit_power_w"]
    header += ["measurement", "configuration"]
    header += ["score", "violation_log_ratio", "cost_s", "energy_j", "decision_s"]
    header += [f"{name}.{quantity}" for quantity in ("throughput_ips", "p99_ms") for name in names]
    return write_text(path, _csv(header, _run_rows(comparison, len(names))))


def _run_rows(comparison: Comparison, tenants: int) -> Iterable[list[object]]:
    for record in comparison.records:
        run, case = record.run, comparison.cases[record.case]
        limits = case.objective
        missing = [""] * (tenants - len(limits.p99_ms))
        fixed: list[object] = [record.tuner, record.seed, record.case, case.name]
        fixed += [limits.goal.value, limits.goal.unit]
        least = limits.min_rate_ips or (math.inf,) * len(limits.p99_ms)
        fixed += [*(_cell(rate or math.inf) for rate in least), *missing]
        fixed += [*map(_cell, limits.p99_ms), *missing, _cell(limits.power_w)]
        numbers = (run.score, run.violation, run.cost_s, run.energy_j, run.decision_s)
        for step in range(len(run)):
            configuration = case.space.describe(Configuration.of(run.placements[step]))
            row = [*fixed, step + 1, configuration, *(_cell(each[step]) for each in numbers)]
            for served in (run.throughput_ips[step], run.p99_ms[step]):
                row += [*map(_cell, served), *missing]
            yield row


def _cell(value: float) -> str:
    """Return a number with six digits, more than any measurement has; nothing for no limit."""
    return f"{value:.6g}" if math.isfinite(value) else ""


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_plain(cell) for cell in row] for row in (header, *rows))
    return buffer.getvalue()


def _plain(cell: object) -> str:
    """Return a cell as text, with a quote in front of one that begins like a formula.

    Names come out of files, and a spreadsheet runs formulas (OWASP, "CSV Injection").
    """
    text = str(cell)
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def text_rows(
    comparison: Comparison,
    summaries: Sequence[Summary],
    budget: int | None = None,
    columns: Sequence[Column] = COLUMNS,
) -> tuple[list[str], list[list[str]]]:
    """Return a table for people, best mean first within a budget.

    Args:
        comparison: of the tuners.
        summaries: of the comparison.
        budget: only this one; all of them, with a column for it, if None.
        columns: to show.

    Returns:
        The headings, with units, and the rows. A column without any number is left out.
    """
    chosen = [each for each in summaries if budget is None or each.budget == budget]
    chosen.sort(key=lambda each: (each.budget, -np.nan_to_num(each.share_mean, nan=-np.inf)))
    columns = [column for column in columns if any(map(math.isfinite, map(column.value, chosen)))]
    headings = ["tuner", *(["measurements"] if budget is None else [])]
    headings += [f"{column.heading}, {column.unit}" for column in columns]
    headings.append(f"tries to {100 * NEAR_OPTIMUM:.0f} %")
    reached = {tuner: measurements_to_reach(comparison, tuner) for tuner in comparison.tuners}
    rows = [
        [
            each.tuner.replace("_", " "),
            *([str(each.budget)] if budget is None else []),
            *(_number(column.value(each), column.digits) for column in columns),
            str(reached[each.tuner] or MISSING),
        ]
        for each in chosen
    ]
    return headings, rows


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else MISSING
