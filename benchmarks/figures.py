"""What every benchmark prints: a table, and with --json PATH a list of {name, value, unit, goal, holds}."""

from __future__ import annotations

import argparse
import json
import operator
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from envs.spec.device import processor_name
from tuner.console import table

COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Figure:
    """One number. `goal` is such as '>= 97', empty where there is none; `holds` follows from it."""

    name: str
    value: float
    unit: str
    goal: str = ""
    holds: bool | None = None


def figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    """A figure that judges itself."""
    if not goal:
        return Figure(name, value, unit)
    sign, bound = goal.split()
    return Figure(name, value, unit, goal, bool(COMPARISONS[sign](value, float(bound))))


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with --json."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, help="write the figures to this file, too")
    return made


def report(figures: list[Figure], path: Path | None, goals_only: bool = False) -> int:
    """Print the figures (or only those with a goal) and where they come from; 1 if one misses its goal."""
    words = {True: "yes", False: "NO", None: ""}
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
    """The commit that is checked out, with a mark if files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip() or "unknown"
