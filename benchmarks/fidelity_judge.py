"""Figures of `benchmarks.fidelity` for MLPerf, NVIDIA's tables of the DLA, contention and rails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.fidelity_sharing import sharing_figures
from benchmarks.fidelity_tables import median_error, worst_error
from benchmarks.figures import Figure, figure
from benchmarks.published_rows import Row
from envs.arrays import FloatArray


def judge(rows: list[Row], inside: FloatArray, outside: FloatArray) -> list[Figure]:
    """Return the figures that have goals, and their values with the source left out."""

    def pick(test: Callable[[Row], bool]) -> tuple[FloatArray, FloatArray]:
        member = np.array([test(row) for row in rows])
        return inside[member], outside[member]

    def orin_resnet(*quantities: str, steady: bool = False) -> Callable[[Row], bool]:
        return lambda row: (
            row.group == "mlperf"
            and row.board == "agx_orin_64"
            and row.network == "resnet50"
            and "cTuning" not in row.source
            and row.quantity in quantities
            and (row.steady or not steady)
        )

    def dla_table(source: str) -> Callable[[Row], bool]:
        return lambda row: row.group == "dla" and row.source == source

    figures = []
    for name, quantities in (
        ("throughput and latency", ("throughput_ips", "latency_ms")),
        ("watts", ("wall_w",)),
    ):
        mine, other = pick(orin_resnet(*quantities))
        calm, _ = pick(orin_resnet(*quantities, steady=True))
        label = f"ResNet-50 on AGX Orin, MLPerf, {name}"
        figures += [
            figure(f"{label}: median error of all rows", 100 * median_error(mine), "%", "<= 10"),
            figure(f"{label}: worst error of all rows", 100 * worst_error(mine), "%", "<= 20"),
            figure(
                f"{label}: median error where the clocks are known",
                100 * median_error(calm),
                "%",
                "<= 10",
            ),
            figure(
                f"{label}: worst error where the clocks are known",
                100 * worst_error(calm),
                "%",
                "<= 20",
            ),
            figure(
                f"{label}: median error of all rows, source left out",
                100 * median_error(other),
                "%",
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
        figures.append(
            figure(f"MLPerf, {name}: median error", 100 * median_error(mine), "%", "<= 15")
        )
        figures.append(
            figure(f"MLPerf, {name}: median error, source left out", 100 * median_error(other), "%")
        )
    for source in ("DLA-SW README", "cuDLA-samples"):
        mine, other = pick(dla_table(source))
        figures.append(
            figure(f"DLA tables, {source}: median error", 100 * median_error(mine), "%", "<= 10")
        )
        figures.append(
            figure(
                f"DLA tables, {source}: median error, source left out",
                100 * median_error(other),
                "%",
            )
        )
    figures += _contention_figures(rows, inside, outside)
    return figures + sharing_figures(rows, inside, outside)


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
    figures.append(figure("rails: median error", 100 * median_error(np.array(mine)), "%"))
    return figures
