"""Compare tuners on problems that the device model simulates, or on a trace.

python -m tuner.evaluate
python -m tuner.evaluate trace=resnet50 bundle=checkpoints/reference.bundle
python -m tuner.evaluate trace=agx_orin_resnet50 goal=energy
"""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np

from envs.belief.risk import BALANCED, parse_risk
from envs.errors import OptionError, TraceError, require_positive
from envs.problems.draw_options import DrawOptions
from envs.problems.limits import LimitRange, draw_objectives, uniforms_per_draw
from envs.problems.problem_batch import ProblemBatch
from envs.spec import parse_goal
from envs.traces.reader import Trace, find_trace, read_trace
from envs.traces.remark import remark
from tuner.cli import run_command
from tuner.console import progress_bar, table
from tuner.evaluation.cases import TraceCases
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.equal_risk import sentence as equal_risk_sentence
from tuner.evaluation.factories import default_searches, factories_of, front_of
from tuner.evaluation.front import FRONT_BUDGETS, RULE, FrontPoint, split_front
from tuner.evaluation.live import LiveOptions, check_live
from tuner.evaluation.live_check import LiveCheck
from tuner.evaluation.report import write_report
from tuner.evaluation.report_parts import learned_from
from tuner.evaluation.running import BUDGETS, compare
from tuner.evaluation.sentences import headline, learning_sentence, origin_label, rule_sentence
from tuner.evaluation.simulated import SimulatedCases, simulated_cases
from tuner.evaluation.statistics import summaries
from tuner.evaluation.tables import COLUMNS, text_rows, write_runs_csv, write_summary_csv
from tuner.evaluation.training_problems import AnyCases, equal_to, has_model
from tuner.network_files import read_networks
from tuner.objectives import asked, objective_of
from tuner.policy.bundle import load_bundle
from tuner.versions import versions


@dataclass
class EvaluationOptions:
    """Options of a comparison.

    Attributes:
        objectives: how many to draw, from limits that no training draws; without a trace each comes
            with a problem of its own.
        seeds: of each tuner on each objective.
        seed: of the draw.
        tuners: beside the policy; None for those that fit.
        max_measurements: fewer measurements for tuners that take long to decide, by name.
        risk: the price of a broken limit that the policy is told, in words or a number.
        training_problems: on which the rule's price is found that breaks as many limits.
        jobs: processes.
    """

    objectives: int = 20
    seeds: int = 2
    seed: int = 1000
    tuners: Optional[list[str]] = None
    max_measurements: dict[str, int] = field(default_factory=dict)
    risk: Any = "balanced"
    training_problems: int = 40
    jobs: int = 1

    def __post_init__(self) -> None:
        require_positive("evaluation", self, "objectives", "seeds", "training_problems", "jobs")
        parse_risk(self.risk, "evaluation.risk")
        if self.seed < 0 or any(count < 1 for count in self.max_measurements.values()):
            raise OptionError(
                "evaluation.seed must not be below zero, and evaluation.max_measurements not below"
                " 1"
            )


@dataclass
class EvaluateCommand:
    """The options of `python -m tuner.evaluate`.

    Attributes:
        trace: the recording to compare on, by name or path; None for simulated problems.
        bundle: the policy to compare with the searches.
        out: folder for the report and the figures.
        network: the ONNX files of the trace, to measure chosen configurations again, live.
        choices: number of configurations to measure live.
        goal: throughput, energy or latency; by default throughput on a trace, and the shares of
            draw.goals without one.
        min_rate_ips: on a trace, the least inferences a second: a number, or a list, one a network.
        draw: which problems to simulate; always from boards, networks and limits that are held out.
        evaluation: how to compare.
    """

    trace: Optional[str] = None
    bundle: Optional[str] = None
    out: str = "runs/evaluate"
    network: list[str] = field(default_factory=list)
    choices: int = 5
    goal: Optional[str] = None
    min_rate_ips: Any = None
    draw: DrawOptions = field(default_factory=lambda: DrawOptions(split="held_out"))
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)


@dataclass(frozen=True)
class Report:
    """A comparison and where it was written."""

    comparison: Comparison
    trace: Trace | None
    html: Path
    csv: Path
    live: tuple[LiveCheck, ...]
    front: tuple[FrontPoint, ...] = ()


def main(options: EvaluateCommand) -> int:
    """Compare, write the report and print its table."""
    cases: AnyCases
    if options.trace:
        given = asked(goal=options.goal, min_rate_ips=options.min_rate_ips)
        cases = trace_cases(read_trace(find_trace(options.trace)), options.evaluation, given)
    else:
        draw = options.draw
        if options.min_rate_ips is not None:
            raise OptionError("min_rate_ips belongs to a trace: give trace=, or leave it out")
        if options.goal is not None:
            draw = replace(draw, goals={parse_goal(options.goal).value: 1.0})
        cases = simulated_cases(draw, options.evaluation.objectives, options.evaluation.seed)
    policies = {"policy": Path(options.bundle)} if options.bundle else {}
    live = LiveOptions(options.network, options.choices)
    show(evaluate(cases, policies, options.evaluation, Path(options.out), live))
    return 0


def trace_cases(
    trace: Trace, options: EvaluationOptions, given: Mapping[str, Any] | None = None
) -> TraceCases:
    """Return a trace under objectives from the held-out limits.

    Args:
        trace: the recording.
        options: how many objectives, and their seed.
        given: the goal and the least rates of all of them, see `tuner.objectives.asked`; None for
            throughput alone.

    Raises:
        ObjectiveError: the goal cannot be judged on this trace.
        TraceError: its latencies differ too little to draw such limits.
    """
    uniforms = np.random.default_rng(options.seed).random(
        (options.objectives, uniforms_per_draw(trace.space.shape[0]))
    )
    drawn = draw_objectives(LimitRange.of(trace.batch), uniforms, "held_out")
    if not (np.isfinite(drawn.p99_ms).any(axis=1) | np.isfinite(drawn.power_w)).all():
        raise TraceError(
            f"latencies in {trace.path.name} differ too little to draw limits that training has not"
            " seen: record more configurations"
        )
    same = objective_of(asked() if given is None else given, trace.space.workload)
    rates = np.tile(same.min_rate_ips, (len(drawn), 1)) if same.min_rate_ips else None
    return TraceCases(trace, replace(drawn, goal=same.goal, min_rate_ips=rates))


def evaluate(
    cases: AnyCases,
    policies: Mapping[str, Path],
    options: EvaluationOptions,
    out: Path,
    live: LiveOptions | None = None,
    about: str = "",
    training: ProblemBatch | None = None,
    learning: str = "",
) -> Report:
    """Compare policy bundles with searches; write report.html and two CSV files into `out`.

    Args:
        cases: to compare on.
        policies: bundles by the name that the report gives them.
        options: how to compare.
        out: the folder.
        live: the live check; None for none.
        about: a sentence for the report, on where the policies come from.
        training: problems on which the rule's price of a broken limit is found; drawn where not
            given.
        learning: a plot for the report, of how the policy learned; empty for none.

    Raises:
        OptionError, TraceError, BundleError, StorageError: before the comparison, where possible.
    """
    trace = cases.trace
    bundles = {name: load_bundle(path) for name, path in policies.items()}
    searches = options.tuners
    if searches is None:
        searches = default_searches(trace, has_model(cases))
    risk, equal = parse_risk(options.risk), None
    if bundles and RULE in searches:
        drawn = (options.training_problems, options.jobs, training)
        equal = equal_to(next(iter(bundles.values())), cases, risk, *drawn)
    factories = factories_of(
        trace, bundles, searches, risk, BALANCED if equal is None else equal.risk
    )
    limits = dict(options.max_measurements) | {
        name: bundle.budget for name, bundle in bundles.items()
    }
    if RULE in searches:
        front = front_of(bundles)
        factories |= front
        limits |= dict.fromkeys(front, FRONT_BUDGETS[-1])
    live = live if live is not None and live.network else None
    if live is not None:
        if trace is None:
            raise OptionError("network: a simulated problem cannot be measured here; give a trace")
        trace.check_networks(read_networks(live.network))
    with progress_bar("comparing", len(cases)) as advance:
        every = compare(
            factories, cases, range(options.seeds), BUDGETS, limits, advance, options.jobs
        )
    comparison, points = split_front(every)
    provenance = {"versions": versions(), "command": shlex.join(["python", *sys.orig_argv[1:]])}
    if isinstance(cases, SimulatedCases):
        provenance["problems"] = {
            "drawn from": vars(cases.options),
            "count": cases.count,
            "seed": cases.seed,
        }
    notes = [remark(trace)] if trace is not None else []
    notes += [learned_from(name, bundle, trace) for name, bundle in bundles.items()]
    notes += [] if equal is None else [equal_risk_sentence(equal)]
    note = " ".join(filter(None, [*notes, about]))
    write = partial(
        write_report,
        out / "report.html",
        comparison,
        trace,
        provenance=provenance,
        note=note,
        learning=learning,
    )
    html = write(front=points)
    csv = write_summary_csv(out / "summary.csv", summaries(comparison))
    write_runs_csv(out / "runs.csv", comparison)
    checks: tuple[LiveCheck, ...] = ()
    if live is not None and trace is not None:
        checks = check_live(trace, comparison, live)
        write(front=points, live_checks=checks)
    return Report(comparison, trace, html, csv, checks, tuple(points))


#: The columns that fit a terminal; the report has them all.
TERMINAL = tuple(
    column
    for column in COLUMNS
    if column.field in ("share_mean", "share_p5", "feasible_share", "broken_share", "spent_s")
)


def show(report: Report) -> None:
    """Print the verdict, the tables after three and eight measurements, and the paths."""
    comparison, trace = report.comparison, report.trace
    focus = "policy" if "policy" in comparison.tuners else comparison.tuners[0]
    print(headline(comparison, focus))
    print(learning_sentence(comparison, trace, focus))
    if said := rule_sentence(comparison, focus):
        print(said)
    if trace is not None and (told := remark(trace)):
        print(told)
    every = summaries(comparison)
    last = comparison.budgets[-1]  # a small recording has fewer than eight configurations
    for budget in sorted({min(3, last), min(8, last)}):
        print(f"\nafter {budget} measurements ({origin_label(trace)})")
        table(*text_rows(comparison, every, budget, TERMINAL))
    for check in report.live:
        print(f"{check.label}: {check.sentence()}")
    print(f"report: {report.html}\nfigures: {report.csv}")


if __name__ == "__main__":
    run_command("evaluate", EvaluateCommand, main)
