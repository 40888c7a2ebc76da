"""Compare the device model with published measurements.

Fits its free parameters and predicts every published number. `in` errors come from the fit to all
rows, `out` errors from a fit without the row's whole source. Where the latency of equal inputs
varied by more than 10 %, the clocks moved below the caps that the row names; a few rows do not
state the memory's clock. Errors are given with and without such rows. Runs of AGX Orin whose clocks
were capped and not locked get a resting clock for the GPU, fitted once for all of them
(`published.governed`). Published times of layer groups are compared as `fidelity_groups` says.

python -m benchmarks.fidelity [--write] [--plot PATH]
python -m benchmarks.fidelity --leave-out edgefallkit embedded-ai-quantization-guide
python -m benchmarks.fidelity --groups           layer groups alone, with the values in use
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fidelity_groups import group_figures, left_out_figures
from benchmarks.fidelity_judge import judge
from benchmarks.fidelity_sharing import order_figures
from benchmarks.fidelity_tables import (
    errors_table,
    influence_table,
    plot,
    rows_table,
)
from benchmarks.figures import Figure, figure, parser, report
from benchmarks.fitting import Fit, fit
from benchmarks.published_clocks import triton_figures, tx2_figures
from benchmarks.published_rows import Row, published
from benchmarks.regimes import EAGER_BATCHES, eager_table, influences, native_table
from envs.arrays import FloatArray
from envs.simulator.parameters import FITTED, PARAMETERS, nominal
from tuner.console import progress_bar, table

COMMAND = "python -m benchmarks.fidelity --write"

#: Published total of ResNet-50 Offline on AGX Orin over the GPU's planned share (MLPerf v3.0).
PUBLISHED_GAIN = 6438.1 / 4500

#: Eager FP32 at batch 64: an independent measurement and a paper's best.
EAGER_FP32_IPS = (375.3, 415.2)


def left_out(
    rows: list[Row], whole: Fit, sources: list[str], advance: Callable[[str], None]
) -> FloatArray:
    """Return model over published for each row [R] of `sources`, fitted without its source."""
    result = np.full(len(rows), np.nan)
    for source in sources:
        fitted = fit([row for row in rows if row.source != source], whole)
        result[[row.source == source for row in rows]] = fitted.ratios(rows)[
            [row.source == source for row in rows]
        ]
        advance(source)
    return result


def regimes(fitted: Fit) -> list[Figure]:
    """Print both published regimes as tables and return their figures."""
    ampere = fitted.sets()["ampere"]
    eager = eager_table(ampere)
    print(
        "Regime A: eager PyTorch on the GPU, FP16 DLA engines in linear formats; "
        "ResNet-50, AGX Orin MAXN, images/s by batch"
    )
    table(
        ["", *map(str, EAGER_BATCHES)],
        [[name, *(f"{rate:.0f}" for rate in rates)] for name, rates in eager.items()],
    )
    same_hold = eager_table(ampere, dla_hold=float(ampere.dla_hold[0]))
    native = native_table(ampere)
    print(
        "Regime B: INT8 engines, the DLA's in its own formats; "
        "ResNet-50, AGX Orin MAXN, GPU batch 256, DLA batch 2, images/s"
    )
    table(["", "images/s"], [[name, f"{rate:.0f}"] for name, rate in native.items()])
    both, alone = eager["CUDA+Tensor"][-1], max(eager["CUDA"][-1], eager["Tensor"][-1])
    with_dla = eager["CUDA+Tensor+DLA0"][-1]
    gain = native["GPU+DLA0+DLA1"] / native["GPU"]
    return [
        figure(
            "regime A: eager FP32 at batch 64",
            float(eager["CUDA"][-1]),
            "1/s",
            f">= {0.9 * EAGER_FP32_IPS[0]:.0f}",
        ),
        figure(
            "regime A: eager FP32 at batch 64",
            float(eager["CUDA"][-1]),
            "1/s",
            f"<= {1.1 * EAGER_FP32_IPS[1]:.0f}",
        ),
        figure(
            "regime A: CUDA and Tensor Cores together over the better one, batch 64",
            float(both / alone),
            "times",
            "> 1",
        ),
        figure("regime A: a DLA added to both, batch 64", float(with_dla / both), "times", "< 1"),
        figure(
            "regime A: the same, were the engine's hold on the GPU as fitted",
            float(same_hold["CUDA+Tensor+DLA0"][-1] / same_hold["CUDA+Tensor"][-1]),
            "times",
        ),
        figure(
            "regime A: a DLA added to both, both DLAs",
            float(eager["CUDA+Tensor+DLA0+DLA1"][-1] / both),
            "times",
        ),
        figure(
            "regime B: GPU and both DLAs over the GPU",
            gain,
            "times",
            f">= {PUBLISHED_GAIN - 0.12:.2f}",
        ),
        figure(
            "regime B: GPU and both DLAs over the GPU",
            gain,
            "times",
            f"<= {PUBLISHED_GAIN + 0.12:.2f}",
        ),
    ]


def write(fitted: Fit, path: Path = FITTED) -> None:
    """Write the file that the model reads."""
    document = {
        **fitted.values,
        "about": f"fitted to benchmarks/data/published.csv by {COMMAND}; "
        "units and ranges: envs/simulator/parameters.py",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def show(rows: list[Row], inside: FloatArray, outside: FloatArray, fitted: Fit) -> None:
    """Print the errors by several keys, contention and rails row by row, and the fitted values."""
    benchmark = [i for i, row in enumerate(rows) if row.group == "mlperf"]
    mlperf, mine, other = [rows[i] for i in benchmark], inside[benchmark], outside[benchmark]
    errors_table("By source", rows, inside, outside, lambda row: row.source)
    errors_table(
        "By group and quantity", rows, inside, outside, lambda row: f"{row.group} {row.quantity}"
    )
    errors_table("MLPerf by network", mlperf, mine, other, lambda row: row.network)
    errors_table("MLPerf by board", mlperf, mine, other, lambda row: row.board)
    errors_table(
        "MLPerf by board, network and quantity",
        mlperf,
        mine,
        other,
        lambda row: f"{row.board} {row.network} {row.quantity}",
    )
    contended = [i for i, row in enumerate(rows) if row.group in ("contention", "rails")]
    rows_table([rows[i] for i in contended], inside[contended], outside[contended])
    lines = [
        [name, group, f"{value:g}", f"{PARAMETERS[name].nominal:g}"]
        for group, part in fitted.values.items()
        for name, value in part.items()
    ]
    table(["parameter", "fitted for", "value", "nominal"], lines)


def assumptions(fitted: Fit) -> list[Figure]:
    """Move each assumption over its range, print what that can do, and return the figures."""
    count = 6 * (2 + sum(each.assumed for each in PARAMETERS.values()))
    with progress_bar("assumptions", count) as advance:
        found = influences(fitted.sets()["ampere"], advance)
    influence_table(found)
    return [
        figure(f"assumption {each.name}: largest loss over its range", 100 * each.worst, "%")
        for each in found
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--write", action="store_true", help=f"write the fitted values to {FITTED.name}"
    )
    arguments.add_argument(
        "--plot", type=Path, help="write a picture of published against model here"
    )
    arguments.add_argument("--rows", action="store_true", help="print every row")
    arguments.add_argument(
        "--quick",
        action="store_true",
        help="without leaving sources out and without the assumptions",
    )
    arguments.add_argument(
        "--leave-out",
        nargs="+",
        metavar="SOURCE",
        help="leave out these sources only, one at a time, and try no assumptions",
    )
    arguments.add_argument(
        "--groups",
        action="store_true",
        help="compare layer groups alone, and fit nothing: the model keeps the values it has",
    )
    given = arguments.parse_args()
    if given.groups:
        return report(group_figures(nominal("volta"), nominal("ampere")), given.json)
    rows = list(published())
    every = list(dict.fromkeys(row.source for row in rows))
    for source in given.leave_out or ():
        if source not in every:
            arguments.error(f"--leave-out {source!r}: choose from {', '.join(every)}")
    sources = given.leave_out or ([] if given.quick else every)
    with progress_bar("fitting", 1 + len(sources)) as advance:
        fitted = fit(rows)
        advance("all")
        inside = fitted.ratios(rows)
        outside = left_out(rows, fitted, sources, advance)
    if given.write:
        write(fitted)
    if given.rows:
        rows_table(rows, inside, outside)
    show(rows, inside, outside, fitted)
    resting = figure(
        "unlocked runs on AGX Orin: the GPU's resting clock, fitted", fitted.resting_ghz, "GHz"
    )
    figures = [*judge(rows, inside, outside), resting, *order_figures(rows, fitted)]
    figures += [*regimes(fitted), *tx2_figures(), *triton_figures(fitted.sets()["volta"])]
    figures += group_figures(fitted.sets()["volta"], fitted.sets()["ampere"])
    figures += left_out_figures(rows, outside)
    figures += [] if given.quick or given.leave_out else assumptions(fitted)
    if given.plot:
        plot(rows, inside, given.plot)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
