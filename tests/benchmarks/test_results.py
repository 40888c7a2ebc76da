"""The command that collects every benchmark, on stand-ins that take no time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import results, results_page
from benchmarks.benchmark import Benchmark
from benchmarks.catalogue import BENCHMARKS
from benchmarks.figures import ROOT, Figure, figure, report

#: A benchmark writes its figures to the path after --json, or fails.
GOOD = """
import json, sys
figures = [{"name": "speed", "value": 3.0, "unit": "1/s", "goal": ">= 2", "holds": True}]
open(sys.argv[sys.argv.index("--json") + 1], "w").write(json.dumps(figures))
open("log.txt", "a").write("ran ")
"""
BAD = "raise ValueError('no network here')"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project with one benchmark that works and one that fails."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "good.py").write_text(GOOD)
    (folder / "bad.py").write_text(BAD)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Project\n")
    benchmarks = (
        Benchmark("works", "good", "Measures something.", "measured"),
        Benchmark("breaks", "bad", "Measures nothing.", "simulated"),
        Benchmark("long", "good", "Takes hours.", "simulated", short=None, left_out="it is long"),
    )
    monkeypatch.setattr(results, "BENCHMARKS", benchmarks)
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "STATE", tmp_path / "runs")
    monkeypatch.setattr(results, "PAGE", tmp_path / "docs" / "results.md")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    monkeypatch.setattr(results, "commit", lambda: "abc123")
    return tmp_path


def test_the_page_has_every_benchmark_and_says_which_failed(project: Path) -> None:
    assert results.main(["--short"]) == 1
    page = (project / "docs" / "results.md").read_text()
    assert "| speed | 3 | 1/s | >= 2 | yes |" in page
    assert "commit `abc123`" in page
    assert "**It failed.** exit code 1: ValueError: no network here" in page
    assert "Not run yet: `python -m benchmarks.good`. The short form leaves it out: it is" in page


def test_a_fresh_clone_keeps_what_the_page_says(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.main(["--short"])
    page = project / "docs" / "results.md"
    before = page.read_text()
    monkeypatch.setattr(results, "STATE", project / "empty")
    results.main(["--page"])
    assert page.read_text() == before
    monkeypatch.setattr(results, "commit", lambda: "def456")
    (project / "benchmarks" / "bad.py").write_text(GOOD)
    results.main(["--short", "--only", "breaks"])
    after = page.read_text()
    assert after.count("`abc123`") == 2, "the one that was not run again: overview and section"
    assert after.count("`def456`") == 2
    assert "**It failed.**" not in after


def test_a_finished_benchmark_of_the_same_commit_is_not_run_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.main(["--short"])
    results.main(["--short"])
    assert (project / "log.txt").read_text() == "ran "
    (project / "benchmarks" / "bad.py").write_text(GOOD)
    assert results.main(["--short"]) == 0
    assert (project / "log.txt").read_text() == "ran ran ", "the one that failed"
    monkeypatch.setattr(results, "commit", lambda: "def456")
    results.main(["--short", "--only", "works"])
    assert (project / "log.txt").read_text() == "ran ran ran "


def test_ctrl_c_keeps_what_is_done(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = results.run

    def interrupted(benchmark: Benchmark, short: bool) -> results.Result:
        if benchmark.name == "breaks":
            raise KeyboardInterrupt
        return run(benchmark, short)

    monkeypatch.setattr(results, "run", interrupted)
    assert results.main([]) == results.INTERRUPTED
    assert "| speed | 3 |" in (project / "docs" / "results.md").read_text()
    assert results.kept("works", short=False) is not None


def test_the_full_form_stands_in_for_the_short_one(project: Path) -> None:
    results.main(["--only", "works"])
    results.main(["--short", "--only", "works"])
    assert (project / "log.txt").read_text() == "ran "


def test_figures_with_the_same_metrics_stand_side_by_side() -> None:
    figures = [
        figure(f"{tuner}: {metric} (9 problems)", value, "%", goal)
        for tuner in ("policy", "random", "tpe")
        for metric, value, goal in (("mean", 97.25, ">= 95"), ("worst", 1234.0, ""))
    ]
    [table] = results_page.figures_tables(figures)
    assert table.startswith("| 9 problems | mean [%] | worst [%] |\n")
    assert "| random | 97.2 (goal >= 95: met) | 1,234 |" in table


def test_the_readmes_table_comes_from_the_comparison() -> None:
    metrics = ("share of the oracle, mean", "share of the oracle, 5th percentile")
    metrics += ("measurements beyond a limit",)
    found = [
        Figure(f"{tuner} after {budget}: {metric} (375 problems x 10 seeds)", 90.0 + budget, "%")
        for tuner in ("policy", "random")
        for budget in (3, 8)
        for metric in metrics
    ]
    for budget, low in ((3, -0.5), (8, 0.25)):
        gained = f"policy minus rule after {budget}, at equal risk"
        found += [
            Figure(gained, 1.0, "points"),
            Figure(f"{gained}, lower end of 95 %", low, "points"),
            Figure(f"{gained}, upper end of 95 %", 2.0, "points"),
        ]
    shown = results.Result("transfer", False, "python x", "", "", "abc", "", 1.0, "", found)
    before = "# Title\n<!-- table: begin -->\nold\n<!-- table: end -->\nrest\n"
    after = results_page.readme_with_table(before, shown)
    assert "| **learned policy** | 93.0 | 93.0 | 98.0 | 98.0 |" in after
    assert "375 problems x 10 seeds, commit `abc`" in after
    assert "adds nothing after 3 measurements (95 %: -0.5 to +2.0 points)" in after
    assert "and 1.0 points after 8 (95 %: +0.2 to +2.0 points)." in after
    assert after.startswith("# Title\n")
    assert after.endswith("<!-- table: end -->\nrest\n")
    assert "old" not in after


def test_every_benchmark_exists_and_every_command_is_listed() -> None:
    modules = {each.module for each in BENCHMARKS}
    for module in modules:
        text = (ROOT / "benchmarks" / f"{module}.py").read_text()
        assert "report(" in text, "it writes its figures with --json"
    no_figures = {"results", "picture", "terminal_picture", "questions", "training_curve"}
    no_figures |= {"page_pictures", "recorded_boards"}
    commands = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if re.search(r"^if __name__", path.read_text(), re.MULTILINE)
    }
    assert commands == modules | no_figures
    assert len({each.name for each in BENCHMARKS}) == len(BENCHMARKS)


def test_a_short_form_that_is_left_out_says_why() -> None:
    assert all(bool(each.left_out) == (each.short is None) for each in BENCHMARKS)


def test_numbers_are_written_as_people_read_them() -> None:
    texts = [results_page.number(value) for value in (0.0, 0.04123, 3.0, 97.256, 156200.4)]
    assert texts == ["0", "0.0412", "3", "97.3", "156,200"]
    assert results_page.number(float("nan")) == "not measured"


def test_figures_of_numpy_are_written(tmp_path: Path) -> None:
    made = [figure("rows", np.int64(3), "", ">= 2"), figure("share", np.float32(0.5), "")]
    path = tmp_path / "figures.json"
    assert report(made, path) == 0
    assert [each["value"] for each in json.loads(path.read_text())] == [3.0, 0.5]
