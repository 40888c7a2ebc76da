r"""Find the configuration that is best by your goal within your limits: python -m tuner.tune.

  python -m tuner.tune --network my.onnx --p99-ms 50              on the processor of this computer
  python -m tuner.tune --network my.onnx --p99-ms 50 --runtime tensorrt      on its GPU and DLAs
  python -m tuner.tune --network my.onnx --p99-ms 50 --samples inputs.npz    allows INT8, judged
  python -m tuner.tune --network a.onnx b.onnx --p99-ms 50 20     two networks with a limit each
  python -m tuner.tune --network my.onnx --p99-ms 20 --power-w 30 \
      --runtime simulated --board agx_orin_64                     in the model of a board
  python -m tuner.tune --network my.onnx --p99-ms 20 --goal energy --rate-ips 100 \
      --runtime simulated --board agx_orin_64                     least power that keeps up
  python -m tuner.tune --runtime replayed --trace resnet50 --p99-ms 400      from a recording

Exit code 0: the limits are kept. 2: an option or a network is wrong, or nothing could be measured,
and one sentence says why. 3: nothing that was measured keeps the limits, and the configuration that
came closest is printed. 130: Ctrl-C or SIGTERM; the best so far is printed, and kept as incomplete.
--out keeps the answer for python -m tuner.export; --report tuning.html is the tuning as a page.
"""

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from envs.errors import NoFeasibleConfiguration, RuntimeFault
from envs.files import check_writable, write_text
from envs.simulator.window_noise import WINDOW_S
from envs.spec import Configuration, Goal, Outcome
from tuner.alone import check_slowdown
from tuner.answer import Answer
from tuner.answer_text import (
    answer_lines,
    answer_table,
    infeasible,
    notes,
    nothing_measured,
)
from tuner.api import MEASUREMENTS, RISK, check_request, optimize
from tuner.confirming import PAIRS
from tuner.console import progress_bar, table
from tuner.flags import run
from tuner.goal_text import brief
from tuner.objectives import asked
from tuner.options import ServeOptions, plain
from tuner.stopping import leave
from tuner.tuning import TuningStopped
from tuner.tuning_report import write_tuning_report
from tuner.versions import versions


@dataclass(frozen=True)
class TuneCommand:
    """The options of `python -m tuner.tune`.

    Attributes:
        p99_ms: limit on the 99th percentile of latency: one for all networks, or one each.
        power_w: limit on the power of the board; needs a power sensor.
        slowdown: p99 of a critical network beside the others over that alone, at most, as in 1.1;
            what it has alone is measured first.
        goal: throughput (most inferences a second), energy (fewest joules for an inference; needs a
            power sensor) or latency (lowest p99).
        min_rate_ips: the least inferences a second, one for all networks, or one each; by default
            0.95 of the arrivals where the goal is energy or latency.
        risk: how boldly to try what may break a limit: bold, balanced, careful, or its price as a
            share of the best score so far, in 0.003..3.
        measurements: of the search, at most; it ends when nothing more is worth measuring.
        seconds: of the search, at most, engine builds and other changes included.
        pairs: windows of the answer and of the default, in turns, that confirm the answer and give
            the ratio of the two: at most so many of each; 0 to confirm nothing.
        window_s: length of each measurement.
        bundle: the policy; by default the one that comes with the project.
        out: a JSON file for the answer.
        report: an HTML file that says what was asked, what was found, what it cost, and how sure it
            is; also where no limit is kept.
        journal: a file that gets a JSON line for each measurement as it comes, for tuner.watch.
        serve: the networks and the device.
    """

    p99_ms: Optional[list[float]] = None
    power_w: Optional[float] = None
    slowdown: Optional[float] = None
    goal: str = Goal.THROUGHPUT.value
    min_rate_ips: Optional[list[float]] = None
    risk: str = RISK
    measurements: int = MEASUREMENTS
    seconds: Optional[float] = None
    pairs: int = PAIRS
    window_s: float = WINDOW_S
    bundle: Optional[Path] = None
    out: Optional[Path] = None
    report: Optional[Path] = None
    journal: Optional[Path] = None
    serve: ServeOptions = field(default_factory=ServeOptions)


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(TuneCommand, tune, arguments, __doc__ or "", hidden=("outside",))


def tune(options: TuneCommand) -> int:
    """Tune, print the answer, and keep it; Ctrl-C leaves what was measured so far."""
    began_s = time.perf_counter()
    given = asked(options.p99_ms, options.power_w, options.goal, options.min_rate_ips)
    request = (options.measurements, options.window_s, given, len(options.serve.network))
    check_request(*request, options.risk, options.pairs)  # all of it before a bar is drawn
    options.serve.check()
    check_slowdown(options.slowdown, options.serve)
    if options.out:
        check_writable(options.out, "choose another --out")
    if options.report:
        check_writable(options.report, "choose another --report")
    try:
        answer = measured(options)
    except TuningStopped as stopped:
        show(stopped.answer, options, began_s)
        raise
    show(answer, options, began_s)
    if reason := nothing_measured(answer):
        raise RuntimeFault(reason)
    if not answer.limits_kept:
        raise NoFeasibleConfiguration(infeasible(answer))
    return 0


def measured(options: TuneCommand) -> Answer:
    """Return the answer; a bar shows how many of the most measurements are made."""
    with progress_bar("measuring", options.measurements + 2 * options.pairs) as advance:

        def progress(configuration: Configuration, outcome: Outcome) -> None:
            advance(f"{configuration}: {brief(outcome, options.goal)}")

        return optimize(
            options.serve,
            p99_ms=options.p99_ms,
            power_w=options.power_w,
            slowdown=options.slowdown,
            goal=options.goal,
            min_rate_ips=options.min_rate_ips,
            risk=options.risk,
            measurements=options.measurements,
            seconds=options.seconds,
            pairs=options.pairs,
            window_s=options.window_s,
            bundle=options.bundle,
            progress=progress,
            journal=options.journal,
        )


def show(answer: Answer, options: TuneCommand, began_s: float) -> None:
    """Print the measurements as a table, then the answer in words, and write it into --out."""
    space, objective = answer.problem.space, answer.problem.objective
    device = space.device.name.split(" (")[0]
    print(f"{device} ({answer.origin}): {objective.describe(space.workload.names)}")
    table(*answer_table(answer))
    print("".join(f"{line}\n" for line in notes(answer)), end="")
    if not nothing_measured(answer):
        print("\n".join(answer_lines(answer)))
        if options.out:
            write_text(options.out, json.dumps(answer.to_dict(), indent=2) + "\n")
    if options.report:
        facts = {
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "seconds": round(time.perf_counter() - began_s, 1),
            "options": plain(options),
            "versions": versions(),
        }
        print(f"  report: {write_tuning_report(options.report, answer, facts)}")
    print(f"  {len(answer.tried)} measurements, {time.perf_counter() - began_s:.0f} s")


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
