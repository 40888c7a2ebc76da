"""Let a Jetson say no, and see what becomes of the service.

In the world `standins` each fault meets the real command, `python -m tuner.deploy`, as a process of
its own on stand-ins for TensorRT and CUDA, which is started again as systemd would do it. In the
world `simulated` it meets the controller on the model of an AGX Orin. After every fault a service
must serve something valid within three periods, or end with one sentence before it promised
anything; it must not restart for ever. Nothing here ran on a GPU.

python -m benchmarks.device_faults
python -m benchmarks.device_faults --worlds standins --only memory
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import onnx

from benchmarks.device_fault_cases import CASES, Case
from benchmarks.device_fault_models import MODEL_CASES, ModelCase, play
from benchmarks.device_fault_places import board_files
from benchmarks.device_service import Place, Process, lines, run_service, serves
from benchmarks.figures import figure, parser, report
from envs.catalog.architectures import build
from tuner.console import progress_bar, table

WORLDS = ("standins", "simulated")
#: A client that writes, once it is answered, how many engines the stand-in for TensorRT had built
#: when it asked first; others are built in the background from then on.
COUNTING = """
from pathlib import Path
import numpy as np
import tensorrt
def main(submit):
    built = tensorrt.world.builds
    for number in range(10**6):
        submit("small", np.zeros((3, 64, 64), np.float32)).result(60)
        if number == 0:
            Path("built").write_text(str(built))
"""
AnyCase = TypeVar("AnyCase", Case, ModelCase)

#: Periods within which something valid must be served, and restarts at most.
PERIODS, RESTARTS = 3, 2
#: Options that all services have. Most of the time of a period is spent on the processor that
#: stands in for a GPU, so that the limit on latency is wide.
OPTIONS = (
    "--p99-ms",
    "60000",
    "--period-s",
    "0.5",
    "--batches",
    "1",
    "2",
    "4",
    "--allow-uncalibrated",
)


@dataclass(frozen=True)
class Result:
    """Tell what became of a service.

    Attributes:
        served_in: periods within which something valid was served after the fault, at worst; 0 if
            it never was.
        sentence: what it ended with before it promised anything; empty if it served.
        restarts: how often it was started again.
        wrong: what should have been otherwise; empty for nothing.
        met: False if the fault never struck.
    """

    world: str
    fault: str
    served_in: int
    sentence: str
    restarts: int
    wrong: str
    met: bool = True

    @property
    def good(self) -> bool:
        """Return True if the fault ended as it should."""
        return not self.wrong


def on_standins(case: Case, folder: Path) -> Result:
    """Let a fault meet the real command on stand-ins."""
    place = Place(folder, folder / "root")
    onnx.save(build("squeezenet1_1", image_size=64, classes=10), place.network)
    board_files(place.root)
    case.prepare(place)
    options = (*OPTIONS, *case.options, "--periods", str(case.periods))
    standins = {**case.standins, "faults": case.faults}
    processes = run_service(place, options, standins, case.after, case.act, case.heals)
    struck = {line["what"] for line in lines(place.log)}
    return judged(case, processes, struck)


def on_model(case: ModelCase) -> Result:
    """Let a fault meet the controller on the model of a board."""
    with tempfile.TemporaryDirectory() as folder:
        served, struck = play(case, Path(folder))
    gap = max(len(run) for run in "".join("-+"[each] for each in served).split("+"))
    wrong = "" if gap < PERIODS else f"{gap} periods without anything valid"
    met = struck > 0 or bool(case.modes)
    return Result("simulated", case.name, gap + 1 if any(served) else 0, "", 0, wrong, met)


def engines_at_start(folder: Path) -> int:
    """Count the engines that were built when a new service took its first request."""
    place = Place(folder, folder / "root")
    onnx.save(build("squeezenet1_1", image_size=64, classes=10), place.network)
    board_files(place.root)
    (folder / "app.py").write_text(COUNTING)
    run_service(place, (*OPTIONS, "--client", "app:main", "--rate-ips", "50", "--periods", "4"))
    return int((folder / "built").read_text())


def judged(case: Case, processes: Sequence[Process], struck: set[str]) -> Result:
    """Return what became of a service, and whether it should have."""
    last, restarts = processes[-1], len(processes) - 1
    promised = any(each.ready for each in processes)
    gaps = longest_gap(processes)
    served_in = 0 if gaps is None else gaps + 1
    wrong = []
    if last.code is None:
        wrong.append("it hung")
    if restarts > RESTARTS:
        wrong.append(f"{restarts} restarts")
    if any("Traceback" in each.errors for each in processes):
        wrong.append("a traceback")
    said = " ".join(each.errors + str(each.lines) for each in processes)
    if case.says not in said:
        wrong.append(f"it does not say {case.says!r}")
    memory = "memory_pieces" in case.faults
    met = not (case.struck or memory) or (case.struck or "memory") in struck
    if case.struck and not met:
        wrong.append("the fault did not strike")
    if case.refused:
        if promised or last.code != 2 or restarts:
            wrong.append(f"READY {promised}, code {last.code}: it should not have started")
    else:
        if not promised:
            wrong.append(f"it never served: {last.sentence}")
        elif served_in == 0 or served_in > PERIODS:
            wrong.append(f"{gaps} periods without anything valid")
        if case.code not in (None, processes[0].code):
            wrong.append(f"the first process ended with {processes[0].code}")
        if last.code != 0:
            wrong.append(f"it ended with {last.code}: {last.sentence}")
    sentence = "" if promised else last.sentence
    return Result("standins", case.name, served_in, sentence, restarts, "; ".join(wrong), met)


def longest_gap(processes: Sequence[Process]) -> int | None:
    """Count the most periods in a row that served nothing valid after the fault began.

    Returns:
        None if nothing valid was served after it.
    """
    flags = [serves(line) for each in processes for line in each.lines]
    before = next((each.before for each in processes), 0)
    longest = run = 0
    for valid in flags[before:]:
        run = 0 if valid else run + 1
        longest = max(longest, run)
    return longest if any(flags[before:]) else None


def campaign(
    cases: Sequence[Case], jobs: int, advance: Callable[[str], None] = lambda _: None
) -> list[Result]:
    """Let every fault strike, several services at a time."""

    def one(case: Case) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            result = on_standins(case, Path(folder))
        advance(case.name)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, cases))


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", nargs="+", help="faults with one of these texts in their name")
    arguments.add_argument("--worlds", nargs="+", choices=WORLDS, default=WORLDS)
    arguments.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="services at a time"
    )
    given = arguments.parse_args()
    cases = chosen(CASES if "standins" in given.worlds else (), given.only)
    in_model = chosen(MODEL_CASES if "simulated" in given.worlds else (), given.only)
    with progress_bar("letting devices say no", len(cases) + len(in_model)) as advance:
        results = campaign(cases, given.jobs, advance)
        for case in in_model:
            results.append(on_model(case))
            advance(case.name)
    show(results)
    built = math.nan
    if "standins" in given.worlds:
        with tempfile.TemporaryDirectory() as folder:
            built = engines_at_start(Path(folder))
    good = 100 * sum(each.good for each in results) / len(results)
    figures = [
        figure("device faults played through", len(results), "faults", ">= 25"),
        figure("device faults that end as they should", good, "%", "== 100"),
        figure(
            "most restarts after a device fault",
            max(each.restarts for each in results),
            "restarts",
            f"<= {RESTARTS}",
        ),
        figure("engines built before the first request is answered", built, "engines", "<= 1"),
    ]
    return report(figures, given.json)


def chosen(cases: Sequence[AnyCase], texts: Sequence[str] | None) -> list[AnyCase]:
    """Return the faults that have one of these texts in their name; all without texts."""
    return [each for each in cases if not texts or any(text in each.name for text in texts)]


def show(results: Sequence[Result]) -> None:
    """Print a table of the results."""
    head = ["world", "fault", "serves in period", "or ends with", "restarts", "as it should"]
    table(
        head,
        [
            [
                each.world,
                each.fault if each.met else f"{each.fault} (never met)",
                str(each.served_in or "-"),
                each.sentence[:60],
                str(each.restarts),
                "yes" if each.good else f"NO: {each.wrong}",
            ]
            for each in results
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
