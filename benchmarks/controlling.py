"""Measure the cost of control: how long a service takes to start, to decide, and to learn.

Decisions are made in a process without training packages, on problems drawn in the model of an AGX
Orin, while all other cores are busy. A decision includes its observation. Learning from a window
is timed separately. How long choosing takes in the loop of a service comes from the journal of
`python -m tuner.deploy --runtime simulated` in real time: each decision there follows a pause, so
that it finds the caches cold.

python -m benchmarks.controlling
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option, network_files
from tuner.console import progress_bar

#: A program that decides on problems whose outcomes the model gives. It prints the microseconds of
#: each decision and of each learning, and which training packages it imported.
DECISIONS = """
import json, os, sys, time
os.environ["OPENBLAS_NUM_THREADS"] = "1"
from pathlib import Path
import numpy as np
from envs.spec import Measurement, Origin, TenantMeasurement
from envs.problems.draw import draw_problem
from envs.problems.draw_options import DrawOptions
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from envs.problems.problem import Problem
bundle, rng = load_bundle(Path(sys.argv[1])), np.random.default_rng(0)
decision_us, learning_us = [], []
for _ in range(4):
    drawn = draw_problem(DrawOptions(boards=["agx_orin_64"]), rng)
    space, objective = drawn.model.space, drawn.objective
    problem = Problem(space, space.catalogue, objective, space.default(), model=drawn.model)
    for _ in range(60):
        tuner = LearnedTuner(bundle, problem)
        for step in range(bundle.budget):
            began = time.perf_counter()
            configuration = tuner.ask()
            decided = time.perf_counter()
            true = drawn.model.batch(drawn.truth, configuration.array()[None])
            truths = (true.throughput_ips[0, 0], true.p99_ms[0, 0], true.power_w[0])
            ips, ms, watts = (float(v) * np.exp(0.02 * rng.standard_normal()) for v in truths)
            served = (TenantMeasurement(ips, ms, ms, ms, ms, ms, 9),)
            window = Measurement(
                served, 3.0, Origin.SIMULATED, power_w=watts, energy_j=3 * watts
            )
            measured = time.perf_counter()
            tuner.tell(configuration, window)
            learning_us.append(1e6 * (time.perf_counter() - measured))
            if step:
                decision_us.append(1e6 * (decided - began))
training = {"torch", "hydra", "stable_baselines3"} & set(sys.modules)
print(json.dumps([decision_us, learning_us, sorted(training)]))
"""


@contextmanager
def others_busy() -> Iterator[None]:
    """Keep all cores but one busy with something else."""
    spin = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(spin) for _ in range(max(1, (os.cpu_count() or 2) - 1))]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def deploy(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start a service whose state lies in `folder`."""
    command = [
        sys.executable,
        "-m",
        "tuner.deploy",
        "--p99-ms",
        "100",
        "--folder",
        str(folder / "kept"),
        "--lock",
        str(folder / "lock"),
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def starts(network: Path, folder: Path, count: int) -> list[Figure]:
    """Return how long a start takes.

    `--dry-run` does everything but load engines and serve. The other figure is the time until the
    first line of the journal.
    """
    planned, served, resident_mib = [], [], []
    with progress_bar("starts", 2 * count + 2) as advance:
        for turn in range(count + 1):  # the first turn makes the INT8 copy, and does not count
            for times, more in (
                (planned, ["--dry-run"]),
                (served, ["--periods", "1", "--period-s", "0.1"]),
            ):
                began_s = time.perf_counter()
                process = deploy(folder, "--network", str(network), *more)
                assert process.stdout is not None
                line = process.stdout.readline()
                took_s = time.perf_counter() - began_s
                _, status, usage = os.wait4(process.pid, 0)
                if status or not line:
                    reason = process.stderr.read() if process.stderr else status
                    raise SystemExit(f"tuner.deploy failed: {reason}")
                process.returncode = 0
                if turn:
                    times.append(took_s)
                    resident_mib.append(usage.ru_maxrss / 1024)
                advance()
    return [
        figure(
            "start, all but loading engines (--dry-run), median",
            float(np.median(planned)),
            "s",
            "< 1",
        ),
        figure(
            "start, until the first window of 0.1 s has been judged, median",
            float(np.median(served)),
            "s",
        ),
        figure(
            "resident memory of that process, engines included, largest", max(resident_mib), "MiB"
        ),
    ]


def decisions(bundle: Path) -> list[Figure]:
    """Return how long decisions take while the other cores are busy."""
    with others_busy():
        run = subprocess.run(
            [sys.executable, "-c", DECISIONS, str(bundle)],
            capture_output=True,
            text=True,
            check=True,
        )
    decision_us, learning_us, imported = json.loads(run.stdout)
    return [
        figure(
            "decision with its observation, median", float(np.median(decision_us)), "us", "<= 200"
        ),
        figure("decision with its observation, p99", float(np.percentile(decision_us, 99)), "us"),
        figure("learning from a window, median", float(np.median(learning_us)), "us"),
        figure("learning from a window, p99", float(np.percentile(learning_us, 99)), "us"),
        figure(
            f"training packages imported for it{': ' if imported else ''}{', '.join(imported)}",
            len(imported),
            "",
            "== 0",
        ),
    ]


def periods(network: Path, folder: Path, count: int) -> list[Figure]:
    """Return how long choosing takes in the loop of a service, from its journal.

    Two limits in turns keep the service searching.
    """
    limits = folder / "limits.json"
    with others_busy():
        process = deploy(
            folder,
            "--runtime",
            "simulated",
            "--network",
            str(network),
            "--limits",
            str(limits),
            "--period-s",
            "0.05",
        )
        assert process.stdout is not None
        lines = []
        with progress_bar("periods", count) as advance:
            for number in range(count):
                if number % 20 == 0:
                    limits.write_text(
                        json.dumps({"p99_ms": (3.0, 6.0)[number // 20 % 2] + number * 1e-3})
                    )
                lines.append(json.loads(process.stdout.readline()))
                advance(lines[-1]["phase"])
        process.terminate()
        if process.wait():
            raise SystemExit("tuner.deploy failed")
    took = [line["decision_us"] for line in lines]
    searching = [line["decision_us"] for line in lines if line["phase"] == "searching"]
    return [
        figure(f"in the loop, {count} periods: choosing, median", float(np.median(took)), "us"),
        figure("in the loop: choosing, p99", float(np.percentile(took, 99)), "us"),
        figure(
            f"in the loop: choosing an experiment ({len(searching)} of them), median",
            float(np.median(searching)),
            "us",
        ),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--network", default="resnet50", help="a name or a file")
    arguments.add_argument("--starts", type=int, default=9)
    arguments.add_argument("--periods", type=int, default=400)
    add_bundle_option(arguments)
    given = arguments.parse_args()
    [network] = network_files([given.network])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = (
            starts(network, folder, given.starts)
            + decisions(given.bundle)
            + periods(network, folder, given.periods)
        )
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
