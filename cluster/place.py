r"""Place applications on a cluster of boards, by the device model: python -m cluster.place.

  python -m cluster.place --cluster my.yaml                       a table of what goes where
  python -m cluster.place --cluster my.yaml --report cluster.html
  python -m cluster.place --cluster my.yaml --goal power --reserve 0.25
  python -m cluster.place --cluster my.yaml --policy as_they_come in the order of the file

The file, YAML or JSON, has two lists:

  nodes:
    - {board: agx_orin_64, mode: 30W, count: 2}      boards of the catalogue; mode: the largest
    - {board: orin_nano_8, name: door}
  applications:
    - {network: resnet50, rate_ips: 30, p99_ms: 100, count: 5, name: camera}
    - {network: yolov8n_640, rate_ips: 15, p99_ms: 60, replicas: 2, priority: 1}

Networks are reference networks. Rates are of Poisson arrivals, all replicas together. An
application is hosted where everybody on a node keeps the limit on p99, no place is used above 0.8
and memory not above 0.8. Then requests are simulated one by one, to see who is late. Policies:
together (ours, all at once), as_they_come (ours, in order), Ibis's depth_first and breadth_first,
and by memory alone first_fit, best_fit, worst_fit and knapsack, which know no limits.

Every number is simulated: no board ran. Exit code 2: an option or the file is wrong. 3: an
application found no room or is late.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from cluster.described import Described, read_cluster
from cluster.placement.nodes import Application, Rules
from cluster.placement.ours import Goal, OneMore
from cluster.placement.policies import (
    best_fit,
    breadth_first,
    depth_first,
    first_fit,
    knapsack,
    place_all,
    worst_fit,
)
from cluster.placement.state import ClusterState
from cluster.placement.together import place_together
from cluster.report.page import verdict, write_report
from cluster.report.view import PlacementView, fullest, view_of
from cluster.simulate.plan import Stay, simulated_stays
from envs.errors import OptionError
from envs.files import check_writable
from tuner.console import table
from tuner.flags import run
from tuner.versions import versions

#: Nodes whose requests are simulated at most, the fullest ones.
SIMULATED = 200

#: On more nodes than this, `as_they_come` looks at a sample of them for each application.
MANY, SAMPLE = 200, 32

#: Applications, spread over the file, that prices are made of.
EXPECTED = 1000

#: Rows of the table in the terminal.
ROWS = 40

ORIGIN = "simulated (model): times by the device model, requests one by one; no board ran"

#: Places all of the applications by a goal, and returns those that found no room.
Scheme = Callable[[ClusterState, Sequence[Application], Goal], list[Application]]


def _as_they_come(
    state: ClusterState, wanted: Sequence[Application], goal: Goal
) -> list[Application]:
    sample = SAMPLE if len(state.nodes) > MANY else None
    expected = wanted[:: max(len(wanted) // EXPECTED, 1)]
    return place_all(state, wanted, OneMore(state, expected, goal, sample))


POLICIES: dict[str, Scheme] = {
    "together": place_together,
    "as_they_come": _as_they_come,
    "depth_first": lambda state, wanted, _: place_all(state, wanted, depth_first),
    "breadth_first": lambda state, wanted, _: place_all(state, wanted, breadth_first),
    "first_fit": lambda state, wanted, _: place_all(state, wanted, first_fit),
    "best_fit": lambda state, wanted, _: place_all(state, wanted, best_fit),
    "worst_fit": lambda state, wanted, _: place_all(state, wanted, worst_fit),
    "knapsack": lambda state, wanted, _: knapsack(state, wanted),
}


@dataclass(frozen=True)
class PlaceCommand:
    """The options of `python -m cluster.place`.

    Attributes:
        cluster: the file with nodes and applications.
        policy: together, as_they_come, depth_first, breadth_first, first_fit, best_fit, worst_fit
            or knapsack. For thousands of applications: as_they_come.
        goal: hosted (most applications) or power (least power) first; of our policies.
        reserve: share of each p99 that is not planned with, because models and windows scatter.
        precision: of engines, fp16 or int8, whose answers nobody judged here.
        requests: of an average application that are simulated one by one; 0 for none. On more than
            200 nodes only the fullest 200 are simulated.
        report: write an HTML report to this file.
    """

    cluster: Optional[Path] = None
    policy: str = "together"
    goal: str = Goal.HOSTED.value
    reserve: float = 0.15
    precision: str = "fp16"
    requests: int = 1000
    report: Optional[Path] = None


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    command = shlex.join(["python", "-m", "cluster.place", *arguments])
    return run(PlaceCommand, lambda options: place(options, command), arguments, __doc__ or "")


def place(options: PlaceCommand, command: str) -> int:
    """Place, print the table and write the report; return the exit code."""
    _check(options)
    assert options.cluster is not None
    described = read_cluster(options.cluster, options.precision)
    if options.report is not None:
        check_writable(options.report)
    state = ClusterState(described.nodes, Rules(reserve=options.reserve))
    waiting = POLICIES[options.policy](state, described.applications, Goal(options.goal))
    view = view_of(state, waiting, _stays(state, described, options.requests))
    _print(view, options)
    if options.report is not None:
        facts = {"command": command, "versions": versions(), "policy": options.policy}
        title = f"{options.cluster.stem}: applications on {len(described.nodes):,} boards"
        print(write_report(options.report, view, title, ORIGIN, "p99", facts))
    return 3 if view.late or view.waiting else 0


def _check(options: PlaceCommand) -> None:
    """Check the options before anything is read.

    Raises:
        OptionError: one has a wrong value; the message names it.
    """
    if options.cluster is None:
        raise OptionError("--cluster is missing: name the file with nodes and applications")
    goals = [each.value for each in Goal]
    for key, value, known in (
        ("policy", options.policy, list(POLICIES)),
        ("goal", options.goal, goals),
        ("precision", options.precision, ["fp16", "int8"]),
    ):
        if value not in known:
            raise OptionError(f"--{key} {value}: choose from {', '.join(known)}")
    if not 0 <= options.reserve < 1:
        raise OptionError(f"--reserve {options.reserve} must lie in 0..1, below 1")
    if options.requests < 0:
        raise OptionError(f"--requests {options.requests} must be 0 or more")


def _stays(state: ClusterState, described: Described, requests: int) -> dict[str, Stay]:
    """Return what requests take on the fullest nodes; nothing where none are asked for."""
    if not requests:
        return {}
    seconds = requests / float(np.mean([each.rate_ips for each in described.applications]))
    return simulated_stays(state, seconds, nodes=sorted(fullest(state, SIMULATED)))


def _print(view: PlacementView, options: PlaceCommand) -> None:
    rows = [
        [
            each.application.name, each.application.network,
            "; ".join(f"{node} {place} batch {batch}" for node, place, batch in each.where),
            f"{1e3 * each.application.limit_s:.4g}",
            "" if np.isnan(each.p99_s) else f"{1e3 * each.p99_s:.3g}",
            "late" if each.is_late else "",
        ]
        for each in view.hosted[:ROWS]
    ]  # fmt: skip
    table(["application", "network", "where", "limit, ms", "p99, ms", ""], rows)
    if len(view.hosted) > ROWS:
        print(f"and {len(view.hosted) - ROWS:,} more (--report shows nodes and kinds)")
    if view.waiting:
        names = ", ".join(each.name for each in view.waiting[:10])
        print(f"no room: {names}{' ...' if len(view.waiting) > 10 else ''}")
    nodes, used = (sum(getattr(kind, key) for kind in view.kinds) for key in ("nodes", "used"))
    total = len(view.hosted) + len(view.waiting)
    print(f"{len(view.hosted):,} of {total:,} applications on {used:,} of {nodes:,} nodes, "
          f"{view.watts:.3g} W above idle. {verdict(view)}")  # fmt: skip
    print(f"Origin: {ORIGIN}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
