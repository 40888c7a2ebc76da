"""How close is the device model to published measurements?

Fits its free parameters and predicts every published number. `in` errors come from the fit to all
rows, `out` errors from a fit without the row's whole source. Where the latency of equal inputs
varied by more than 10 %, the clocks moved below the caps that the row names; a few rows do not
state the memory's clock. Errors are given with and without such rows. Runs of AGX Orin whose clocks
were capped and not locked get a resting clock for the GPU, fitted once for all of them
(`published.governed`).

python -m benchmarks.fidelity [--write] [--plot PATH]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.fitting import Fit, fit
from benchmarks.published import Row, published
from benchmarks.regimes import EAGER_BATCHES, Influence, eager_table, influences, native_table
from envs.arrays import FloatArray
from envs.optional import optional_import
from envs.simulator.parameters import FITTED, PARAMETERS
from tuner.console import progress_bar, table

COMMAND = "python -m benchmarks.fidelity --write"

#: Published total of ResNet-50 Offline on AGX Orin over the GPU's planned share (MLPerf v3.0).
PUBLISHED_GAIN = 6438.1 / 4500

#: Eager FP32 at batch 64: an independent measurement and a paper's best.
EAGER_FP32_IPS = (375.3, 415.2)


def left_out(rows: list[Row], whole: Fit, advance: Callable[[str], None]) -> FloatArray:
    """Return model over published for each row [R], fitted without the row's source."""
    result = np.full(len(rows), np.nan)
    for source in dict.fromkeys(row.source for row in rows):
        fitted = fit([row for row in rows if row.source != source], whole)
        result[[row.source == source for row in rows]] = fitted.ratios(rows)[
            [row.source == source for row in rows]
        ]
        advance(source)
    return result


def errors_table(
    title: str, rows: list[Row], inside: FloatArray, outside: FloatArray, key: Callable[[Row], str]
) -> None:
    """Print the median and the largest error by a key of the rows."""
    print(title)
    lines = []
    for name in dict.fromkeys(key(row) for row in rows):
        member = np.array([key(row) == name for row in rows])
        calm = member & np.array([row.steady for row in rows])
        signed = np.log(inside[member])
        lines.append(
            [
                name,
                str(member.sum()),
                *(f"{value:.0%}" for value in (_median(inside[member]), _worst(inside[member]))),
                f"{np.median(signed):+.0%}",
            ]
            + [
                f"{value:.0%}"
                for value in (
                    _median(inside[calm]),
                    _worst(inside[calm]),
                    _median(outside[member]),
                    _worst(outside[member]),
                )
            ]
        )
    table(
        [
            "",
            "rows",
            "median",
            "worst",
            "bias",
            "median, clocks known",
            "worst, clocks known",
            "left-out median",
            "left-out worst",
        ],
        lines,
    )


def _median(found: FloatArray) -> float:
    return float(np.median(np.abs(found - 1))) if len(found) else float("nan")


def _worst(found: FloatArray) -> float:
    return float(np.max(np.abs(found - 1))) if len(found) else float("nan")


def rows_table(rows: list[Row], inside: FloatArray, outside: FloatArray) -> None:
    """Print published against model for every row."""
    lines = [
        [
            *(
                row.source,
                row.board,
                row.network,
                row.note or row.mode,
                row.run,
                f"{row.gpu_batch}/{row.dla_batch}",
                row.quantity,
            ),
            *(
                f"{row.value:.4g}",
                f"{row.value * mine:.4g}",
                f"{mine - 1:+.0%}",
                f"{other - 1:+.0%}",
                "" if row.steady else "clocks unknown",
            ),
        ]
        for row, mine, other in zip(rows, inside, outside, strict=True)
    ]
    table(
        [
            "source",
            "board",
            "network",
            "mode",
            "run",
            "batch",
            "quantity",
            "published",
            "model",
            "in",
            "out",
            "",
        ],
        lines,
    )


def judge(rows: list[Row], inside: FloatArray, outside: FloatArray) -> list[Figure]:
    """Return the figures that have goals, and their values with the source left out."""

    def pick(test: Callable[[Row], bool]) -> tuple[FloatArray, FloatArray]:
        member = np.array([test(row) for row in rows])
        return inside[member], outside[member]

    def orin_resnet(row: Row) -> bool:
        return (
            row.group == "mlperf"
            and row.board == "agx_orin_64"
            and row.network == "resnet50"
            and "cTuning" not in row.source
        )

    figures = []
    for name, quantities in (
        ("throughput and latency", ("throughput_ips", "latency_ms")),
        ("watts", ("wall_w",)),
    ):
        mine, other = pick(lambda row, q=quantities: orin_resnet(row) and row.quantity in q)  # type: ignore[misc]
        calm, _ = pick(
            lambda row, q=quantities: orin_resnet(row) and row.quantity in q and row.steady
        )  # type: ignore[misc]
        label = f"ResNet-50 on AGX Orin, MLPerf, {name}"
        figures += [
            figure(f"{label}: median error of all rows", 100 * _median(mine), "%", "<= 10"),
            figure(f"{label}: worst error of all rows", 100 * _worst(mine), "%", "<= 20"),
            figure(
                f"{label}: median error where the clocks are known",
                100 * _median(calm),
                "%",
                "<= 10",
            ),
            figure(
                f"{label}: worst error where the clocks are known", 100 * _worst(calm), "%", "<= 20"
            ),
            figure(
                f"{label}: median error of all rows, source left out", 100 * _median(other), "%"
            ),
        ]
    for name, test in (
        (
            "other networks on AGX Orin",
            lambda row: (
                row.group == "mlperf" and row.board == "agx_orin_64" and row.network != "resnet50"
            ),
        ),
        ("Orin NX", lambda row: row.group == "mlperf" and row.board == "orin_nx_16"),
        ("AGX Xavier", lambda row: row.group == "mlperf" and row.board == "agx_xavier"),
        ("Xavier NX", lambda row: row.group == "mlperf" and row.board == "xavier_nx"),
    ):
        mine, other = pick(test)
        figures.append(figure(f"MLPerf, {name}: median error", 100 * _median(mine), "%", "<= 15"))
        figures.append(
            figure(f"MLPerf, {name}: median error, source left out", 100 * _median(other), "%")
        )
    for source in ("DLA-SW README", "cuDLA-samples"):
        mine, other = pick(lambda row, s=source: row.group == "dla" and row.source == s)  # type: ignore[misc]
        figures.append(
            figure(f"DLA tables, {source}: median error", 100 * _median(mine), "%", "<= 10")
        )
        figures.append(
            figure(
                f"DLA tables, {source}: median error, source left out", 100 * _median(other), "%"
            )
        )
    return figures + _contention_figures(rows, inside, outside)


def _contention_figures(rows: list[Row], inside: FloatArray, outside: FloatArray) -> list[Figure]:
    figures = []
    reports = (
        ("TensorRT issue 2745", "", "<= 5"),
        ("TensorRT issue 2745", "dla0 twice", ""),
        ("NVIDIA forum 219770", "", ""),
        ("HaX-CoNN", "", ""),
    )
    for source, run, goal in reports:
        member = [
            i
            for i, row in enumerate(rows)
            if row.group == "contention"
            and row.source == source
            and (row.run == "dla0 twice") == bool(run)
        ]
        for name, found in (("", inside), (", source left out", outside)):
            points = [100 * abs(found[i] - 1) * rows[i].value for i in member]
            label = f"contention, {source}{', ' if run else ''}{run}"
            figures.append(
                figure(
                    f"{label}: largest error of a slowdown{name}",
                    max(points),
                    "points",
                    goal if not name else "",
                )
            )
    figures += [
        figure(
            "regime B, its row left out: GPU and both DLAs over the GPU",
            outside[i] * row.value,
            "times",
        )
        for i, row in enumerate(rows)
        if row.quantity == "gain"
    ]
    mine = [inside[i] for i, row in enumerate(rows) if row.group == "rails"]
    figures.append(figure("rails: median error", 100 * _median(np.array(mine)), "%"))
    return figures


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


def influence_table(found: list[Influence]) -> None:
    """Print what the assumptions that no public number checks can do."""
    print(
        "Assumptions: what the best configuration of the nominal value loses if the truth is at "
        "either end of the range"
    )
    lines = [
        [
            each.name,
            f"{each.low:.3g} .. {each.high:.3g}",
            f"{each.changed:.0%}",
            f"{each.broken:.0%}",
            f"{each.regret:.1%}",
            f"{each.worst:.1%}",
        ]
        for each in found
    ]
    table(
        ["assumption", "range", "other best", "breaks a limit", "mean loss", "largest loss"], lines
    )


def write(fitted: Fit, path: Path = FITTED) -> None:
    """Write the file that the model reads."""
    document = {
        **fitted.values,
        "about": f"fitted to benchmarks/data/published.csv by {COMMAND}; "
        "units and ranges: envs/simulator/parameters.py",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def plot(rows: list[Row], inside: FloatArray, path: Path) -> None:
    """Plot published against model, by quantity."""
    pyplot = optional_import("matplotlib.pyplot", "train")
    drawn, panels = pyplot.subplots(1, 3, figsize=(15, 5))
    for panel, quantity in zip(panels, ("throughput_ips", "latency_ms", "wall_w"), strict=True):
        for name in dict.fromkeys(row.network for row in rows if row.quantity == quantity):
            points = [
                (row.value, row.value * mine)
                for row, mine in zip(rows, inside, strict=True)
                if row.quantity == quantity and row.network == name
            ]
            panel.loglog(
                *zip(*points, strict=True),
                ".",
                label=name if not name.replace(".", "").isdigit() else "language model",
            )
        ends = np.array(
            [
                min(row.value for row in rows if row.quantity == quantity),
                max(row.value for row in rows if row.quantity == quantity),
            ]
        )
        for factor, style in ((1.0, "-"), (0.8, ":"), (1.25, ":")):
            panel.loglog(ends, ends * factor, "k" + style, linewidth=0.7)
        panel.set(xlabel=f"published {quantity}", ylabel=f"model {quantity}")
        panel.legend(fontsize=7)
    drawn.tight_layout()
    drawn.savefig(path, dpi=110)


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
    given = arguments.parse_args()
    rows = list(published())
    sources = dict.fromkeys(row.source for row in rows)
    with progress_bar("fitting", 1 if given.quick else 1 + len(sources)) as advance:
        fitted = fit(rows)
        advance("all")
        inside = fitted.ratios(rows)
        outside = np.full(len(rows), np.nan) if given.quick else left_out(rows, fitted, advance)
    found: list[Influence] = []
    if not given.quick:
        with progress_bar(
            "assumptions", 6 * (2 + sum(each.assumed for each in PARAMETERS.values()))
        ) as advance:
            found = influences(fitted.sets()["ampere"], advance)
    if given.write:
        write(fitted)
    if given.rows:
        rows_table(rows, inside, outside)
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
    resting = figure(
        "unlocked runs on AGX Orin: the GPU's resting clock, fitted", fitted.resting_ghz, "GHz"
    )
    figures = [*judge(rows, inside, outside), resting, *regimes(fitted)]
    if found:
        influence_table(found)
        figures += [
            figure(f"assumption {each.name}: largest loss over its range", 100 * each.worst, "%")
            for each in found
        ]
    if given.plot:
        plot(rows, inside, given.plot)
    # The quick form leaves no source out, and so has no numbers for that.
    return report([each for each in figures if not np.isnan(each.value)], given.json)


if __name__ == "__main__":
    sys.exit(main())
