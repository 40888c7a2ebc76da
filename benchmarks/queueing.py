"""Compare closed forms of waiting times with published measurements, and with single requests.

Measured by others: an Edge TPU that several networks share, and three networks on the GPU of an
older Jetson, alone and together (umassos/ibis, MIT, at ac0f8d73). The closed forms of
`cluster.queueing` have the service and swap times of the same source, and nothing else of it.
Simulated: Poisson requests one by one at the places of a node.

Example:
    python -m benchmarks.queueing
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from benchmarks.concurrent_beside import QUEUE
from benchmarks.figures import Figure, figure, parser, report
from cluster.queueing import (
    batching_with_wait,
    first_come_late_s,
    first_come_s,
    front_end_s,
    load_of,
    sharing_by_mean_size_s,
    sharing_late_s,
    sharing_s,
)
from cluster.simulate.requests import batched, first_come, poisson_arrivals, shared
from envs.arrays import FloatArray, Rows
from envs.catalog.edge_tpus import edge_tpu_profile
from tuner.console import table

#: umassos/ibis (MIT) at ac0f8d73, data/trt_ps_validation.csv: three networks in TensorRT, each
#: answered a hundred times alone and a hundred times with the two others beside it.
SHARING = Path(__file__).parent / "data" / "gpu_sharing.csv"

#: Seconds that each case is simulated for.
SECONDS = 10000.0

#: Sizes of requests on one place [s], and their arrivals at each load.
SIZES_S = np.array([0.01, 0.03, 0.06])
SHARES = np.array([0.5, 0.3, 0.2])
LOADS = (0.3, 0.6, 0.8)
SWAP_S = np.array([0.017, 0.01, 0.005])


def edge_tpu_figures() -> list[Figure]:
    """Return the errors of the mean times of networks that share an Edge TPU."""
    with QUEUE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    errors, lines = [], []
    for case in dict.fromkeys((row["mix"], row["load"]) for row in rows):
        mine = [row for row in rows if (row["mix"], row["load"]) == case]
        profiles = [edge_tpu_profile(row["network"]) for row in mine]
        found_ms = 1e3 * first_come_s(
            np.array([each.service_s for each in profiles]),
            np.array([float(row["rate_ips"]) for row in mine]),
            np.array([each.swap_s for each in profiles]),
        )
        for row, found in zip(mine, found_ms, strict=True):
            errors.append(abs(found / float(row["mean_ms"]) - 1.0))
            lines.append([*case, row["network"], row["mean_ms"], f"{found:.1f}"])
    print("An Edge TPU that several networks share: mean time measured by others, and closed form")
    table(["mix", "load", "network", "measured [ms]", "closed form [ms]"], lines)
    label = "Edge TPU, first come first served with swaps"
    return [
        figure(f"{label}: mean error", 100 * float(np.mean(errors)), "%", "<= 3.8"),
        figure(f"{label}: worst error", 100 * max(errors), "%"),
        figure(f"{label}: points", len(errors), ""),
    ]


def sharing_figures() -> list[Figure]:
    """Return the errors of the times of three networks that start together on one GPU."""
    with SHARING.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["network"] for row in rows))
    alone_ms, beside_ms = (
        np.array([_mean_ms(rows, name, mode) for name in names]) for mode in ("alone", "together")
    )
    found_ms = 1e3 * shared(np.zeros(len(names)), alone_ms / 1e3)
    print("Three networks that start together on one GPU: measured by others, and equal shares")
    table(
        ["network", "alone [ms]", "together [ms]", "equal shares [ms]"],
        [[n, f"{a:.1f}", f"{b:.1f}", f"{f:.1f}"] for n, a, b, f in zip(
            names, alone_ms, beside_ms, found_ms, strict=True)],
    )  # fmt: skip
    worst = 100 * float(np.abs(found_ms / beside_ms - 1.0).max())
    return [figure("GPU, processor sharing: worst error of three networks", worst, "%", "<= 2")]


def _mean_ms(rows: list[dict[str, str]], network: str, mode: str) -> float:
    mine = [float(r["response_ms"]) for r in rows if (r["network"], r["mode"]) == (network, mode)]
    return float(np.mean(mine))


def simulated_figures(seconds: float) -> list[Figure]:
    """Return the errors of every closed form against requests one by one."""
    rng = np.random.default_rng(0)
    errors: dict[str, list[float]] = {}

    def compare(name: str, stays: FloatArray, classes: Rows, found: FloatArray, late: bool) -> None:
        for each, value in enumerate(np.atleast_1d(found)):
            own = stays[classes == each]
            seen = float(np.quantile(own, 0.99) if late else own.mean())
            errors.setdefault(name, []).append(float(value) / seen - 1.0)

    for load in LOADS:
        rates = SHARES * load / load_of(SIZES_S, SHARES)
        came = poisson_arrivals(rates, seconds, rng)
        sizes, classes = SIZES_S[came.classes], came.classes
        stays = shared(came.times_s, sizes) - came.times_s
        compare("sharing, mean", stays, classes, sharing_s(SIZES_S, rates), False)
        compare("sharing, p99", stays, classes, sharing_late_s(SIZES_S, rates), True)
        published = sharing_by_mean_size_s(SIZES_S, rates)
        compare("sharing as published by Ibis, mean", stays, classes, published, False)
        for label, swap in (("", np.zeros(3)), (" with swaps", 0.5 * SWAP_S)):
            stays = first_come(came, sizes, swap) - came.times_s
            found = first_come_s(SIZES_S, rates, swap)
            compare(f"first come{label}, mean", stays, classes, found, False)
            found = first_come_late_s(SIZES_S, rates, swap)
            compare(f"first come{label}, p99", stays, classes, found, True)
        for cores in (1, 2, 4):
            rate = np.array([load * cores / 0.024])
            came = poisson_arrivals(rate, seconds, rng)
            sizes = rng.exponential(0.024, len(came.times_s))
            stays = shared(came.times_s, sizes, cores) - came.times_s
            found = front_end_s(np.array(0.024), rate, cores)
            compare("front end, mean", stays, came.classes, found, False)
        batch_s = 0.004 + 0.003 * np.arange(1, 9)
        for wait_s in (0.005, 0.02, 0.1):
            rate = np.array([load * 8 / batch_s[-1]])
            gathered = batching_with_wait(batch_s, rate, wait_s)
            if gathered.load[0] < 0.9:
                came = poisson_arrivals(rate, seconds, rng)
                stays = batched(came.times_s, batch_s, wait_s) - came.times_s
                compare("batches with a wait, mean", stays, came.classes, gathered.mean_s, False)
    goals = {"sharing as published by Ibis, mean": "", "sharing, p99": "<= 10"}
    goals |= {"first come, p99": "<= 15", "first come with swaps, p99": "<= 15"}
    return [
        figure(f"closed form against single requests, {name}: worst error",
               100 * float(np.abs(each).max()), "%", goals.get(name, "<= 10"))
        for name, each in errors.items()
    ]  # fmt: skip


def main() -> int:
    """Print the tables and the figures."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=SECONDS, help="simulated, for each case")
    arguments = options.parse_args()
    figures = [*edge_tpu_figures(), *sharing_figures(), *simulated_figures(arguments.seconds)]
    return report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
