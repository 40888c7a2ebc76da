"""Figures of `benchmarks.fidelity` for engines that share a board, and for how they are built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.fidelity_tables import median_error, worst_error
from benchmarks.figures import Figure, figure
from benchmarks.fitting import Fit
from benchmarks.published_rows import Row
from benchmarks.published_sharing import engines
from envs.arrays import FloatArray
from tuner.console import table

#: Published sets of engines: instances on the GPU and DLA cores.
SETS = {"DLA0": (0, 1), "GPU": (1, 0), "GPU+DLA0": (1, 1), "DLA0+DLA1": (0, 2)}

Chosen = Callable[[Row], bool]


def sharing_figures(rows: list[Row], inside: FloatArray, outside: FloatArray) -> list[Figure]:
    """Return the figures of contexts, engines, batches and builds, in sample and left out."""
    found: list[Figure] = []

    def pick(test: Chosen) -> list[tuple[str, FloatArray, FloatArray]]:
        member = np.array([test(row) for row in rows])
        value = np.array([row.value for row in rows])[member]
        return [("", inside[member], value), (", source left out", outside[member], value)]

    for name, ratio, value in pick(lambda row: _kind(row) == ("contexts", "rate_gain")):
        points = 100 * np.abs(ratio - 1) * value
        goals = ("<= 6", "<= 12") if name else ("<= 4", "<= 8")
        label = "contexts on Orin Nano, total rate over one context"
        found += [
            figure(f"{label}: median error{name}", float(np.median(points)), "points", goals[0]),
            figure(f"{label}: worst error{name}", float(points.max()), "points", goals[1]),
        ]
    lines: list[tuple[str, Chosen, str, str]] = [
        ("contexts on Orin Nano, mean latency over one context",
         lambda row: _kind(row) == ("contexts", "latency_gain"), "<= 5", ""),
        ("AGX Orin, GPU and DLAs: total rate",
         lambda row: _kind(row) == ("engines", "total_ips"), "", "<= 10"),
        ("AGX Orin, GPU and DLAs: rate of each engine beside others",
         lambda row: _kind(row) in (("engines", "gpu_ips"), ("engines", "dla_ips")), "", "<= 20"),
        ("AGX Orin, GPU and DLAs: power",
         lambda row: _kind(row) == ("engines", "power_w"), "<= 8", "<= 15"),
        ("AGX Orin, GPU and DLAs: power by rail",
         lambda row: row.group == "engines" and row.quantity.endswith("rail_w"), "", ""),
        ("gain of a batch", lambda row: row.group == "batch" and not row.run.startswith("batch 1"),
         "<= 15", ""),
        ("engines of trtexec on Orin: rate", lambda row: _built(row, "throughput_ips"), "", ""),
        ("engines of trtexec on Orin: power", lambda row: _built(row, "power_w"), "", ""),
        ("engines of tkDNN on Xavier, not fitted: rate",
         lambda row: row.group == "builds" and row.source == "tkDNN", "", ""),
        ("PyTorch threads on Orin Nano: gain over one",
         lambda row: _kind(row) == ("threads", "rate_gain"), "", ""),
        ("eager PyTorch on AGX Orin: power, not fitted",
         lambda row: _kind(row) == ("pytorch", "power_w"), "", ""),
    ]  # fmt: skip
    for label, test, median, worst in lines:
        for name, ratio, _ in pick(test):
            ends = ("", "") if name else (median, worst)
            found += [
                figure(f"{label}: median error{name}", 100 * median_error(ratio), "%", ends[0]),
                figure(f"{label}: worst error{name}", 100 * worst_error(ratio), "%", ends[1]),
            ]
    return found


def _kind(row: Row) -> tuple[str, str]:
    return row.group, row.quantity


def _built(row: Row, quantity: str) -> bool:
    return row.group == "builds" and row.quantity == quantity and row.source != "tkDNN"


def order_figures(rows: list[Row], fitted: Fit) -> list[Figure]:
    """Print the published sets of engines beside the model and compare their order."""
    ampere = fitted.sets()["ampere"]
    known = [row for row in rows if row.group == "engines" and row.note == "side by side"]
    lines, rates, per_joule = [], [], []
    for name, (gpu, cores) in SETS.items():
        mine = [
            row for row in known
            if row.gpu_instances == gpu and row.dla_cores == cores and row.run != "dla1"
        ]  # fmt: skip
        rate, watts = (
            next(row.value for row in mine if row.quantity == key)
            for key in ("total_ips", "power_w")
        )
        given = engines(mine[0], ampere)[1]
        total, power = float(np.nansum(given.throughput_ips[0])), float(given.power_w[0])
        rates.append((rate, total))
        per_joule.append((rate / watts, total / power))
        lines.append([name, f"{rate:.0f}", f"{total:.0f}", f"{watts:.1f}", f"{power:.1f}",
                      f"{rate / watts:.1f}", f"{total / power:.1f}"])  # fmt: skip
    [all_three] = [
        row for row in rows
        if row.group == "engines" and row.quantity == "power_w"
        and (row.gpu_instances, row.dla_cores) == (1, 2)
    ]  # fmt: skip
    given = engines(all_three, ampere)[1]
    total, power = float(np.nansum(given.throughput_ips[0])), float(given.power_w[0])
    lines.append(["GPU+DLA0+DLA1", "not given", f"{total:.0f}", f"{all_three.value:.1f}",
                  f"{power:.1f}", "", f"{total / power:.1f}"])  # fmt: skip
    print("ResNet-50 INT8 at batch 1, AGX Orin MAXN, TensorRT 10.3: published and model")
    table(
        ["engines", "published [1/s]", "model [1/s]", "published [W]", "model [W]",
         "published [1/J]", "model [1/J]"],
        lines,
    )  # fmt: skip
    label = "AGX Orin, GPU and DLAs: the order of the sets is right by"
    return [
        figure(f"{label} {name}", float(_same_order(pairs)), "yes = 1", ">= 1")
        for name, pairs in (("rate", rates), ("images per joule", per_joule))
    ]


def _same_order(pairs: list[tuple[float, float]]) -> bool:
    published, model = np.array(pairs).T
    return bool((np.argsort(published) == np.argsort(model)).all())
