"""Run every benchmark and write docs/results.md.

python -m benchmarks.results           the full form: some hours; run it again to go on
python -m benchmarks.results --short   a short form of all of them: at most 20 minutes on two cores
python -m benchmarks.results --only transfer soak

Each result is kept in runs/results/ with the commit that it was measured on; where none is kept,
the page's own section stays. A benchmark that finished on the current state of the checkout is not
run again; Ctrl-C keeps what is done. The exit code is 1 if a benchmark could not be run. A missed
goal is shown and does not change it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.catalogue import BENCHMARKS
from benchmarks.figures import ROOT, Figure, commit
from benchmarks.results_page import readme_with_table, results_page
from envs.files import replacing
from envs.spec import processor_name

STATE = ROOT / "runs" / "results"
PAGE = ROOT / "docs" / "results.md"
README = ROOT / "README.md"

#: Exit code of a program that Ctrl-C ended.
INTERRUPTED = 130


@dataclass(frozen=True)
class Result:
    """The result of one run of a benchmark.

    Attributes:
        command: as a person would type it.
        commit: with a mark if the checkout differed from it.
        date: UTC, when it began.
        failure: why there are no figures; empty where there are some.
    """

    name: str
    short: bool
    command: str
    machine: str
    python: str
    commit: str
    date: str
    seconds: float
    failure: str
    figures: list[Figure] = field(default_factory=list)


def run(benchmark: Benchmark, short: bool) -> Result:
    """Run one benchmark in a process of its own; its tables and progress go to the screen."""
    words = benchmark.command(short)
    began_s, date = time.perf_counter(), datetime.now(timezone.utc)
    state = commit()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        process = subprocess.run(
            [sys.executable, *words, "--json", str(path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        sys.stderr.write(process.stderr)
        figures = [Figure(**each) for each in json.loads(path.read_text())] if path.exists() else []
    failure = ""
    if not figures:
        last = process.stderr.strip().splitlines()[-1:] or ["it printed no reason"]
        failure = f"exit code {process.returncode}: {last[0]}"
    return Result(
        benchmark.name,
        short,
        " ".join(["python", *words]),
        f"{processor_name()}, {os.cpu_count()} cores",
        platform.python_version(),
        state,
        f"{date:%Y-%m-%d %H:%M} UTC",
        time.perf_counter() - began_s,
        failure,
        figures,
    )


def kept(name: str, short: bool) -> Result | None:
    """Return the result that an earlier run kept; None where there is none."""
    path = _path(name, short)
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    figures = [Figure(**each) for each in record.pop("figures")]
    return Result(**record, figures=figures)


def keep(result: Result) -> None:
    """Write a result where `kept` finds it."""
    with replacing(_path(result.name, result.short)) as file:
        file.write((json.dumps(asdict(result), indent=2) + "\n").encode())


def _path(name: str, short: bool) -> Path:
    return STATE / ("short" if short else "full") / f"{name}.json"


def best_kept(name: str, short: bool, state: str) -> Result | None:
    """Return the kept result to show: of this state of the checkout if possible, else the newest.

    The full form stands in for the short one. The short one stands in for a full one that has not
    been run yet, so that the page is complete while the full form is under way.
    """
    found = [each for each in (kept(name, False), kept(name, True)) if each is not None]
    if not found:
        return None
    finished = [each for each in found if not each.failure] or found
    current = [each for each in finished if each.commit == state]
    if current:
        return current[0] if short or not current[0].short else current[-1]
    return max(finished, key=lambda each: each.date)


def is_done(name: str, short: bool, state: str) -> bool:
    """Return True if the asked form, or the full one, finished on this state of the checkout."""
    forms = (False, True) if short else (False,)
    found = [kept(name, each) for each in forms]
    return any(each is not None and not each.failure and each.commit == state for each in found)


def write_page(short: bool) -> dict[str, Result | None]:
    """Write docs/results.md, and the README's table if there is a comparison for it."""
    state = commit()
    results = {each.name: best_kept(each.name, short, state) for each in BENCHMARKS}
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    with replacing(PAGE) as file:
        file.write(results_page(BENCHMARKS, results, before).encode())
    transfer = results.get("transfer")
    if transfer is not None and not transfer.failure:
        text = README.read_text(encoding="utf-8")
        changed = readme_with_table(text, transfer)
        if changed != text:
            with replacing(README) as file:
                file.write(changed.encode())
    return results


def summary(results: dict[str, Result | None]) -> str:
    """Return one sentence on what was run and how many goals were met."""
    done = [each for each in results.values() if each is not None]
    failed = [each.name for each in done if each.failure]
    goals = [figure.holds for each in done for figure in each.figures if figure.goal]
    text = f"{len(done)} of {len(results)} benchmarks have a result; "
    text += f"{sum(map(bool, goals))} of {len(goals)} goals are met"
    return text + (f"; failed: {', '.join(failed)}" if failed else "")


def options(argv: list[str] | None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [each.name for each in BENCHMARKS]
    parser.add_argument("--short", action="store_true", help="the short form of every benchmark")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--page", action="store_true", help="write the page again, run nothing")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, write the page, and return the exit code."""
    given = options(argv)
    chosen = [each for each in BENCHMARKS if not given.only or each.name in given.only]
    if given.short:
        chosen = [each for each in chosen if each.short is not None]
    if given.page:
        chosen = []
    failed = 0
    for number, benchmark in enumerate(chosen, 1):
        head = f"[{number}/{len(chosen)}] {benchmark.name} ({benchmark.label})"
        if is_done(benchmark.name, given.short, commit()):
            print(f"{head}: done before", flush=True)
            continue
        print(f"{head}: {' '.join(['python', *benchmark.command(given.short)])}", flush=True)
        try:
            result = run(benchmark, given.short)
        except KeyboardInterrupt:
            write_page(given.short)
            print("\nstopped; the same command goes on with the benchmark that was interrupted")
            return INTERRUPTED
        keep(result)
        failed += bool(result.failure)
        missed = sum(figure.holds is False for figure in result.figures)
        verdict = f"FAILED, {result.failure}" if result.failure else f"{missed} goals missed"
        print(f"{head}: {result.seconds:.0f} s, {verdict}", flush=True)
        write_page(given.short)
    print(f"{PAGE.relative_to(ROOT)}: {summary(write_page(given.short))}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
