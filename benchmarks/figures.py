"""The figures of a benchmark: a table on screen and, with `--json PATH`, a list of records.

A record is {name, value, unit, goal, holds}. `python -m benchmarks.results` collects them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import operator
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from envs.spec import processor_name
from tuner.console import table

ROOT = Path(__file__).resolve().parents[1]

COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Figure:
    """One number of a benchmark.

    Attributes:
        goal: a comparison such as '>= 97'; empty where there is none.
        holds: True if the value meets the goal; None without a goal.
    """

    name: str
    value: float
    unit: str
    goal: str = ""
    holds: bool | None = None


def figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    """Return a figure that has been compared with its goal."""
    value = float(value)  # NumPy's numbers cannot be written as JSON
    if not goal:
        return Figure(name, value, unit)
    sign, bound = goal.split()
    return Figure(name, value, unit, goal, bool(COMPARISONS[sign](value, float(bound))))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser that knows --json."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    return made


def report(figures: list[Figure], path: Path | None, goals_only: bool = False) -> int:
    """Print the figures, the machine and the commit, and write them to `path` if there is one.

    A figure without a value (NaN) is left out: a short form does not measure everything. With
    `goals_only` only the figures that have a goal are printed; the file still gets all.

    Returns:
        The exit code: 1 if a figure misses its goal, 0 otherwise.
    """
    words = {True: "yes", False: "NO", None: ""}
    figures = [each for each in figures if not math.isnan(each.value)]
    shown = [each for each in figures if each.goal or not goals_only]
    if shown:
        table(
            ["figure", "value", "unit", "goal", "holds"],
            [[f.name, f"{f.value:,.2f}", f.unit, f.goal, words[f.holds]] for f in shown],
        )
    print(f"{processor_name()}, Python {platform.python_version()}, commit {commit()}")
    if path:
        path.write_text(json.dumps([asdict(each) for each in figures], indent=2) + "\n")
    return int(any(each.holds is False for each in figures))


def commit() -> str:
    """Return the short hash of the checked-out commit, followed by a mark if files differ from it.

    The mark, `+` and six digits, is a hash of the differences, so that two states of the same
    commit are told apart. The pages that `benchmarks.results` writes do not count.
    """
    found = _git("rev-parse", "--short=10", "HEAD").strip()
    if not found:
        return "unknown"
    where = ("--", ":/", ":(exclude,top)docs/results.md", ":(exclude,top)README.md")
    names = _git("ls-files", "--others", "--exclude-standard", *where).split("\n")
    contents = [(ROOT / name).read_bytes() for name in names if name and (ROOT / name).is_file()]
    changed = b"".join([_git("diff", "HEAD", *where).encode(), *contents])
    return f"{found}+{hashlib.sha256(changed).hexdigest()[:6]}" if changed else found


def _git(*arguments: str) -> str:
    """Return the output of a git command in the checkout; empty where git or the checkout fails."""
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return run.stdout if run.returncode == 0 else ""
