r"""Find the configuration with the most throughput within your limits: python -m tuner.tune.

  python -m tuner.tune --network my.onnx --p99-ms 50              on the processor of this computer
  python -m tuner.tune --network my.onnx --p99-ms 50 --runtime tensorrt      on its GPU and DLAs
  python -m tuner.tune --network a.onnx b.onnx --p99-ms 50 20     two networks with a limit each
  python -m tuner.tune --network my.onnx --p99-ms 20 --power-w 30 \
      --runtime simulated --board agx_orin_64                     in the model of a board
  python -m tuner.tune --runtime replayed --trace resnet50 --p99-ms 400      from a recording

Exit code 0: the limits are kept. 3: nothing that was measured keeps them, and the configuration
that came closest is printed. --out keeps the answer for python -m tuner.export.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from envs.errors import NoFeasibleConfiguration
from envs.files import write_text
from envs.problems.problem import Problem
from envs.simulator.device_model import WINDOW_S
from envs.spec import Configuration, Failure, Measurement, Outcome
from tuner.api import MEASUREMENTS, check_request, optimize
from tuner.console import progress_bar, table
from tuner.flags import run
from tuner.options import ServeOptions
from tuner.tuning import Answer


@dataclass(frozen=True)
class TuneCommand:
    """The options of `python -m tuner.tune`.

    Attributes:
        p99_ms: limit on the 99th percentile of latency: one for all networks, or one each.
        power_w: limit on the power of the board; needs a power sensor.
        measurements: at most so many, the confirmation included.
        window_s: length of each measurement.
        bundle: the policy; by default the one that comes with the project.
        out: a JSON file for the answer.
        serve: the networks and the device.
    """

    p99_ms: Optional[list[float]] = None
    power_w: Optional[float] = None
    measurements: int = MEASUREMENTS
    window_s: float = WINDOW_S
    bundle: Optional[Path] = None
    out: Optional[Path] = None
    serve: ServeOptions = field(default_factory=ServeOptions)


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(TuneCommand, tune, arguments, __doc__ or "", hidden=("outside",))


def tune(options: TuneCommand) -> int:
    """Tune, print the answer, and keep it."""
    began_s = time.perf_counter()
    request = (options.measurements, options.window_s, options.p99_ms, options.power_w)
    check_request(*request, len(options.serve.network))  # all of it before a bar is drawn
    options.serve.check()
    with progress_bar("measuring", options.measurements) as advance:

        def show(configuration: Configuration, outcome: Outcome) -> None:
            advance(str(configuration))

        answer = optimize(
            options.serve,
            p99_ms=options.p99_ms,
            power_w=options.power_w,
            measurements=options.measurements,
            window_s=options.window_s,
            bundle=options.bundle,
            progress=show,
        )
    print_answer(answer, time.perf_counter() - began_s)
    if options.out:
        write_text(options.out, json.dumps(answer.to_dict(), indent=2) + "\n")
    if not answer.limits_kept:
        raise NoFeasibleConfiguration(infeasible(answer))
    return 0


def infeasible(answer: Answer) -> str:
    """Explain an infeasible answer: nothing met the limits, or the best failed its confirmation."""
    problem = answer.problem
    limits = problem.objective.describe(problem.space.workload.names)
    once = [
        configuration
        for configuration, outcome in answer.tried[: answer.searched]
        if problem.judge(outcome)[1] <= 0
    ]
    if once:
        kept = "; ".join(dict.fromkeys(map(str, once)))
        return (
            f"no configuration kept the limits ({limits}) when it was measured again; in one"
            f" window alone these did: {kept}"
        )
    return (
        f"no configuration that was measured meets the limits ({limits}); the least violating one"
        " is given above"
    )


def print_answer(answer: Answer, elapsed_s: float) -> None:
    """Print the measurements as a table, then the answer in words."""
    space, objective = answer.problem.space, answer.problem.objective
    names, device = space.workload.names, space.device.name.split(" (")[0]
    rows = []
    for number, (configuration, outcome) in enumerate(answer.tried, start=1):
        note = "confirms" if number > answer.searched else "default" if number == 1 else ""
        rows.append([str(number), str(configuration), *cells(answer.problem, outcome), note])
    throughputs = [f"{name} [inferences/s]" for name in names]
    latencies = [f"{answer.latency_quantity} {name} [ms]" for name in names]
    head = ["#", "configuration (instances x batch)", *throughputs, *latencies, "power [W]"]
    print(f"{device} ({answer.origin}): {objective.describe(names)}")
    table([*head, "limits", ""], rows)
    score, default = (
        answer.problem.judge(each)[0] for each in (answer.outcome, answer.tried[0][1])
    )
    weighted = " (weighted throughput)" if len(names) > 1 else ""
    print(f"answer: {space.describe(answer.configuration)} ({answer.origin})")
    for name, each in answer.networks.items():
        latency = f"{answer.latency_quantity} {each.p99_ms:.1f} ms"
        print(f"  {name}: {each.throughput_ips:.1f} inferences/s, {latency}")
    if answer.networks:
        print(f"  confirmed by a second window, {answer.origin} on {device}")
        if default > 0:
            print(f"  {score / default:.2f} times the default{weighted}")
    windows = [outcome for _, outcome in answer.tried]
    disturbed = sum(isinstance(each, Measurement) and each.disturbed for each in windows)
    if disturbed:
        print(
            f"  caution: something else used the computer in {disturbed} of {len(windows)} windows"
        )
    print(f"  {len(answer.tried)} measurements, {elapsed_s:.0f} s")


def cells(problem: Problem, outcome: Outcome) -> list[str]:
    """Return throughput and p99 of each network, the power, and `kept` or `broken`."""
    if isinstance(outcome, Failure):
        unknown = ["-"] * (2 * len(problem.space.workload.names))
        return [outcome.kind.value, *unknown, "failed"]
    return [
        *(f"{tenant.throughput_ips:.1f}" for tenant in outcome.tenants),
        *(f"{tenant.p99_ms:.1f}" for tenant in outcome.tenants),
        f"{outcome.power_w:.1f}" if outcome.power_w > 0 else "-",
        "kept" if problem.judge(outcome)[1] <= 0 else "broken",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
