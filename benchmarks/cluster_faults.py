"""Place fifty applications on twelve boards, and let a cluster fail in many ways.

The controller is the real command, `python -m cluster.controller`, as processes of its own. The
kube-apiserver and etcd are real, and let the controller do what the manifests allow. Boards,
kubelets and the deployment controller are played (tests/cluster/kubernetes): no container runs.
Every fault must end with each application placed as declared, or Unplaceable or Failed with a
reason; every server belongs to one application, none is there twice, and no board is too full.

python -m benchmarks.cluster_faults
python -m benchmarks.cluster_faults --only killed lease
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cluster_fault_cases import CASES, Case, play
from benchmarks.figures import figure, parser, report
from envs.errors import OptionError
from tests.cluster.kubernetes.judge import phases
from tests.cluster.kubernetes.nodes import BoardNode
from tests.cluster.kubernetes.programs import Binaries, Missing, find
from tests.cluster.kubernetes.stage import Stage
from tuner.console import exit_code, progress_bar, table

APPLICATIONS = 50
BOARDS = (("agx_orin_64", "MAXN"), ("agx_orin_32", "MAXN"), ("orin_nx_16", "25W"))
BOARDS += (("orin_nano_8", "15W"),)
NODES = tuple(BoardNode(f"node-{at}", *BOARDS[at % len(BOARDS)]) for at in range(12))
NETWORKS = ("mobilenet_v2", "resnet50", "resnet18", "googlenet", "yolov8n_640", "squeezenet1_1")


@dataclass(frozen=True)
class Result:
    """Tell what became of a cluster after a fault.

    Attributes:
        fault: its name.
        seconds: from the last thing that was done until all was as declared; if it never was, of
            the whole fault.
        wrong: what was not as declared at the end; empty for nothing.
        lives: controllers that were killed after their first change.
    """

    fault: str
    seconds: float
    wrong: str
    lives: int


def declared(count: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return applications of random networks, rates, limits, replicas and priorities."""
    random = np.random.default_rng(seed)
    return {
        f"application-{number:02d}": {
            "network": NETWORKS[int(random.integers(len(NETWORKS)))],
            "rateIps": int(random.integers(5, 40)),
            "p99Ms": int(random.integers(60, 200)),
            "replicas": int(random.choice([1, 1, 1, 2])),
            "priority": int(random.integers(3)),
        }
        for number in range(count)
    }


def place_many(binaries: Binaries, folder: Path) -> tuple[float, int]:
    """Return how long fifty applications took to be placed in s, and how many of them serve.

    If they are not placed, that is told, and it took as long as was waited for.
    """
    with Stage(binaries, folder, NODES) as stage:
        stage.lead()
        start = time.monotonic()
        stage.declare(declared(APPLICATIONS))
        try:
            stage.settle(None)
        except AssertionError as error:
            print(f"the {APPLICATIONS} applications: {error}\n", file=sys.stderr)
            stage.right_at = time.monotonic()
        serving = sum(each == "Serving" for each in phases(stage.admin).values())
        return stage.right_at - start, serving


def play_all(binaries: Binaries, folder: Path, cases: Sequence[Case]) -> list[Result]:
    """Play faults one after the other on one API server."""
    results = []
    with Stage(binaries, folder) as stage, progress_bar("faults", len(cases)) as advance:
        for case in cases:
            lives, begun = stage.lives, time.monotonic()
            try:
                seconds, wrong = play(stage, case), ""
            except AssertionError as error:
                seconds, wrong = time.monotonic() - begun, str(error)
            results.append(Result(case.__name__, seconds, wrong, stage.lives - lives))
            advance(case.__name__)
    return results


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", default=[], help="words in the names of faults")
    options.add_argument("--no-placing", action="store_true", help="leave the fifty out")
    given = options.parse_args(arguments)
    return exit_code(lambda: run(given.only, not given.no_placing, given.json))


def run(only: Sequence[str], placing: bool, path: Path | None) -> int:
    """Place the fifty, play the faults, and report.

    Raises:
        OptionError: there is no API server, or no fault of that name.
    """
    try:
        binaries = find()
    except Missing as reason:
        raise OptionError(f"{reason} (python -m tests.cluster.kubernetes.build)") from None
    cases = [each for each in CASES if not only or any(word in each.__name__ for word in only)]
    if not cases:
        raise OptionError(f"--only {' '.join(only)} is in the name of no fault")
    seconds = serving = math.nan
    with tempfile.TemporaryDirectory(prefix="orin-tuner-") as name:
        for each in ("many", "faults"):
            (Path(name) / each).mkdir()
        if placing:
            seconds, serving = place_many(binaries, Path(name) / "many")
        results = play_all(binaries, Path(name) / "faults", cases)
    rows = [[r.fault, f"{r.seconds:.1f}", "NO" if r.wrong else "yes"] for r in results]
    table(["fault", "s", "ends as declared"], rows)
    for each in results:
        if each.wrong:
            print(f"{each.fault}: {each.wrong}\n", file=sys.stderr)
    ended = [each.seconds for each in results if not each.wrong]
    lives = sum(each.lives for each in results)
    title = f"{APPLICATIONS} applications on {len(NODES)} boards are placed"
    figures = [
        figure(title, seconds, "s", "< 60"),
        figure("of which serve", serving, "applications"),
        figure("faults that end as declared", len(ended), "faults", f">= {len(cases)}"),
        figure("longest time until all is as declared", max(ended, default=math.nan), "s"),
        figure("controllers that were killed after one change", lives, "controllers"),
    ]
    return report(figures, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
