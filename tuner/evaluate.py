"""Compare tuners on a trace: python -m tuner.evaluate trace=resnet50 bundle=checkpoints/one_tenant.bundle"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Optional

import numpy as np

from envs.errors import OptionError, TraceError, require_positive
from envs.objective import Objectives
from envs.objective_draw import LimitRange, draw_objectives, uniforms_per_draw
from envs.traces.reader import Trace, find_trace, read_trace
from tuner.cli import run_command
from tuner.console import progress_bar, table
from tuner.evaluation.live import LiveOptions, check_live
from tuner.evaluation.protocol import BUDGETS, Comparison, compare
from tuner.evaluation.report import write_report
from tuner.evaluation.statistics import Summary, measurements_to_reach, summaries
from tuner.evaluation.tables import write_runs_csv, write_summary_csv
from tuner.evaluation.words import LiveCheck, headline, learning_sentence, live_sentence, origin_label
from tuner.options import read_networks, versions
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.oracle import Oracle
from tuner.search.protocol import Problem, Tuner
from tuner.search.registry import make_search


@dataclass
class EvaluationOptions:
    """How to compare.

    Attributes:
        objectives: how many to draw, from limits that no training draws. seeds: of each tuner on each of them.
        seed: of the draw. tuners: beside the policy. max_measurements: for those that would think too long about more.
    """

    objectives: int = 20
    seeds: int = 2
    seed: int = 1000
    tuners: list[str] = field(default_factory=lambda: ["random", "hill_climb", "tpe", "gp", "vendor_default"])
    max_measurements: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_positive("evaluation", self, "objectives", "seeds")
        if self.seed < 0 or any(count < 1 for count in self.max_measurements.values()):
            raise OptionError("evaluation.seed must not be below zero, and evaluation.max_measurements not below 1")


@dataclass
class EvaluateCommand:
    """Options of python -m tuner.evaluate."""

    trace: str = "resnet50"
    bundle: Optional[str] = None
    out: str = "runs/evaluate"
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    live: LiveOptions = field(default_factory=LiveOptions)


@dataclass(frozen=True)
class Report:
    """A comparison and where it was written."""

    comparison: Comparison
    trace: Trace
    html: Path
    csv: Path
    live: tuple[LiveCheck, ...]


def main(options: EvaluateCommand) -> int:
    trace = read_trace(find_trace(options.trace))
    policies = {"policy": Path(options.bundle)} if options.bundle else {}
    show(evaluate(trace, policies, options.evaluation, Path(options.out), options.live))
    return 0


def evaluate(trace: Trace, policies: Mapping[str, Path], options: EvaluationOptions, out: Path, live: LiveOptions | None = None) -> Report:
    """Compare policy bundles with searches on objectives that no training drew; writes report.html and two CSV files into `out`."""
    bundles = {name: load_bundle(path) for name, path in policies.items()}
    factories = factories_of(trace, bundles, options.tuners)
    objectives = held_out_objectives(trace, options)
    limits = {name: len(trace.rows) for name in factories} | dict(options.max_measurements)
    limits |= {name: bundle.slots for name, bundle in bundles.items()}
    if live is not None and live.networks:  # said before the long comparison, not after it
        trace.check_networks(read_networks(live.networks))
    with progress_bar("comparing", len(factories) * options.objectives * options.seeds) as advance:
        comparison = compare(factories, trace, objectives, range(options.seeds), BUDGETS, limits, advance)
    provenance = {"versions": versions(), "command": shlex.join(["python", *sys.orig_argv[1:]])}
    note = " ".join(learned_from(name, bundle, trace) for name, bundle in bundles.items())
    html = write_report(out / "report.html", comparison, trace, provenance=provenance, note=note)
    csv = write_summary_csv(out / "summary.csv", summaries(comparison))
    write_runs_csv(out / "runs.csv", comparison, trace)
    checks: tuple[LiveCheck, ...] = ()
    if live is not None and live.networks:
        checks = check_live(trace, comparison, live)
        write_report(html, comparison, trace, provenance=provenance, live_checks=checks, note=note)
    return Report(comparison, trace, html, csv, checks)


def learned_from(name: str, bundle: Bundle, trace: Trace) -> str:
    """What a policy has seen before the comparison, in words: a search has seen nothing."""
    source = bundle.provenance.get("trace") or {}
    same = source.get("name") == trace.path.name and source.get("started") == trace.metadata.get("started")
    where = "this very trace, with other limits" if same else f"another trace, {source.get('name', 'unknown')}"
    return f"The {name} was trained on {where}; the searches start from nothing."


def factories_of(trace: Trace, bundles: Mapping[str, Bundle], searches: list[str]) -> dict[str, Callable[[Problem], Tuner]]:
    """What makes each tuner; the oracle comes last."""
    factories: dict[str, Callable[[Problem], Tuner]] = {}
    for name, bundle in bundles.items():
        bundle.check_space(trace.space)
        factories[name] = partial(LearnedTuner, bundle)
    factories |= {name: partial(make_search, name) for name in searches}
    return factories | {"oracle": lambda problem: Oracle(problem, trace.batch)}


def held_out_objectives(trace: Trace, options: EvaluationOptions) -> Objectives:
    """Objectives [B] from the held-out limits."""
    uniforms = np.random.default_rng(options.seed).random((options.objectives, uniforms_per_draw(trace.space.shape[0])))
    drawn = draw_objectives(LimitRange.of(trace.batch), uniforms, "held_out")
    if not (np.isfinite(drawn.p99_ms).any(axis=1) | np.isfinite(drawn.power_w)).all():
        raise TraceError(f"latencies in {trace.path.name} differ too little to draw limits that training has not seen: record more configurations")
    return drawn


#: The columns that fit a terminal; the report has them all.
HEADINGS = ["tuner", "optimum [%]", "5th [%]", "feasible [%]", "broke limit [%]", "spent [s]", "to 97 %"]


def row_of(comparison: Comparison, each: Summary) -> list[str]:
    """One tuner at one budget: `HEADINGS`, shares being of the oracle's throughput."""
    shares = (each.share_mean, each.share_p5, each.feasible_share, each.broken_share)
    reached = measurements_to_reach(comparison, each.tuner)
    return [each.tuner, *(f"{100 * share:.1f}" for share in shares), f"{each.spent_s:.0f}", str(reached or "-")]


def show(report: Report) -> None:
    """The verdict, the table after three measurements, and where the rest is."""
    comparison, trace = report.comparison, report.trace
    focus = "policy" if "policy" in comparison.tuners else comparison.tuners[0]
    print(headline(comparison, focus))
    print(learning_sentence(comparison, trace, focus))
    every = summaries(comparison)
    for budget in (3, 8):
        print(f"\nafter {budget} measurements ({origin_label(trace)})")
        table(HEADINGS, [row_of(comparison, each) for each in sorted(every, key=lambda each: -each.share_mean) if each.budget == budget])
    for check in report.live:
        print(live_sentence(check))
    print(f"report: {report.html}\nfigures: {report.csv}")


if __name__ == "__main__":
    run_command("evaluate", EvaluateCommand, main)
