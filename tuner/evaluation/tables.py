"""Tables of a comparison: CSV files, and rows for the console and the report. Missing is an empty cell in CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.errors import StorageError
from envs.files import replacing
from envs.spec.space import Configuration
from tuner.evaluation.protocol import Comparison
from tuner.evaluation.statistics import NEAR_OPTIMUM, Summary, measurements_to_reach

#: What people see where a number does not exist.
NOTHING = "-"


@dataclass(frozen=True)
class Column:
    """A column of the summary: its name in CSV, its heading for people, the unit people read, and how many of it make one."""

    name: str
    heading: str
    field: str
    unit: str
    scale: float
    digits: int


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


def write_atomically(path: Path, text: str) -> Path:
    """The file is either whole or not there. StorageError where it cannot be written."""
    try:
        with replacing(path) as file:
            file.write(
                text.encode("utf-8", "replace")
            )  # what a trace says of itself may be no text
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another place"
        ) from error
    return path


def write_summary_csv(path: Path, summaries: Sequence[Summary]) -> Path:
    """One row a tuner and budget."""
    header = [
        "tuner",
        "budget_measurements",
        "contexts",
        "impossible_contexts",
        *(column.name for column in COLUMNS),
    ]
    rows = []
    for each in summaries:
        numbers = [_cell(getattr(each, column.field) * column.scale) for column in COLUMNS]
        rows.append([each.tuner, each.budget, each.contexts, each.impossible_contexts, *numbers])
    return write_atomically(path, _csv(header, rows))


def write_runs_csv(path: Path, comparison: Comparison) -> Path:
    """One row a measurement, with its configuration in words. Tenants are numbered where contexts serve different networks."""
    names = comparison.names
    header = [
        "tuner",
        "seed",
        "objective",
        "case",
        *(f"{name}.limit_p99_ms" for name in names),
        "limit_power_w",
        "measurement",
        "configuration",
    ]
    header += ["score_ips", "violation_log_ratio", "cost_s", "energy_j", "decision_s"]
    header += [f"{name}.{quantity}" for quantity in ("throughput_ips", "p99_ms") for name in names]
    return write_atomically(path, _csv(header, _run_rows(comparison, len(names))))


def _run_rows(comparison: Comparison, tenants: int) -> Iterable[list[object]]:
    for record in comparison.records:
        run, context = record.run, comparison.contexts[record.context]
        limits = context.objective
        missing = [""] * (tenants - len(limits.p99_ms))
        told: list[object] = [
            record.tuner,
            record.seed,
            record.context,
            context.name,
            *map(_cell, limits.p99_ms),
            *missing,
            _cell(limits.power_w),
        ]
        for step in range(len(run)):
            numbers = (
                run.score_ips[step],
                run.violation[step],
                run.cost_s[step],
                run.energy_j[step],
                run.decision_s[step],
            )
            configuration = context.space.describe(Configuration.of(run.placements[step]))
            served = [
                *map(_cell, run.throughput_ips[step]),
                *missing,
                *map(_cell, run.p99_ms[step]),
                *missing,
            ]
            yield [*told, step + 1, configuration, *map(_cell, numbers), *served]


def _cell(value: float) -> str:
    """Six digits are more than any measurement has; an infinite limit is one that is not there."""
    return f"{value:.6g}" if math.isfinite(value) else ""


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_plain(cell) for cell in row] for row in (header, *rows))
    return buffer.getvalue()


def _plain(cell: object) -> str:
    """A spreadsheet runs what begins like a formula (OWASP, "CSV Injection"), and names come out of files: those get a quote in front."""
    text = str(cell)
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def text_rows(
    comparison: Comparison, summaries: Sequence[Summary], budget: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) for people, units in the headings, best mean first within a budget; columns without any number are left out.

    Args:
        budget: only this one; all of them, with a column that says which, if None.
    """
    chosen = [each for each in summaries if budget is None or each.budget == budget]
    chosen.sort(
        key=lambda each: (
            each.budget,
            -each.share_mean if math.isfinite(each.share_mean) else math.inf,
        )
    )
    columns = [
        column
        for column in COLUMNS
        if any(math.isfinite(getattr(each, column.field)) for each in chosen)
    ]
    reach = {tuner: measurements_to_reach(comparison, tuner) for tuner in comparison.tuners}
    headings = [
        "tuner",
        *(["measurements"] if budget is None else []),
        *(f"{column.heading}, {column.unit}" for column in columns),
    ]
    headings.append(f"measurements to {100 * NEAR_OPTIMUM:.0f} %")
    rows = [
        [
            each.tuner.replace("_", " "),
            *([str(each.budget)] if budget is None else []),
            *(
                _number(getattr(each, column.field) * column.scale, column.digits)
                for column in columns
            ),
            NOTHING if reach[each.tuner] is None else str(reach[each.tuner]),
        ]
        for each in chosen
    ]
    return headings, rows


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else NOTHING
