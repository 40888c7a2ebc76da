"""When does a second instance on the GPU help?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from benchmarks.drawing import plain_ticks, style, to_svg
from benchmarks.published_rows import Row
from benchmarks.published_sharing import SERVER_HOST_US
from benchmarks.questions_drawing import (
    SOFTWARE_COLOURS,
    key_below,
    panels,
    published_key,
    published_marks,
    simulated_key,
)
from benchmarks.questions_setup import (
    SOFTWARE_NAMES,
    Answer,
    Setting,
    answers,
    host_share,
    rows_of,
    span,
)
from tuner.charts.palette import FAINT

COUNTS = (1, 2, 3, 4, 6, 8)
BOARDS = (("agx_orin_64", "MAXN"), ("orin_nx_16", "MAXN_SUPER"), ("orin_nano_8", "MAXN_SUPER"))
NETWORKS = ("mobilenet_v2", "resnet18", "resnet50", "yolov8n_640")

SOURCES = (
    "Published: edgefallkit (contexts of YOLO networks), jetson-orin-nano-internal-lab (threads of"
    " a web server)."
)

#: Networks of the table.
TABULATED = ("resnet50", "yolov8n_640")

SOFTWARE = ("trtexec", "tensorrt", "pytorch")

#: The settings closest to the published measurements, by software.
NEAREST = {
    "trtexec": Setting("orin_nano_8", "MAXN_SUPER", "yolov8n_640", "trtexec"),
    "tensorrt": Setting("orin_nano_8", "MAXN_SUPER", "yolov8n_640", "tensorrt"),
    "pytorch": Setting("orin_nano_8", "25W", "resnet18", "pytorch", host_us=SERVER_HOST_US),
}


@dataclass(frozen=True)
class Scaling:
    """One to eight instances at batch 1, [len(COUNTS)] each.

    Attributes:
        host_share: share of its time in which a single instance waits for the host.
        rate: total rate over that of one instance.
        mean, p99: latency over that of one instance.
    """

    setting: Setting
    host_share: float
    rate: list[float]
    mean: list[float]
    p99: list[float]
    power_w: list[float]


def scaling(setting: Setting) -> Scaling:
    """Return what the model gives for `COUNTS` instances on the GPU at batch 1."""
    found = answers(setting, [{setting.on_gpu: (count, 1)} for count in COUNTS])
    rate, mean, p99 = (
        (values[:, 0] / values[0, 0]).tolist()
        for values in (found.throughput_ips, found.p50_ms, found.p99_ms)
    )
    return Scaling(setting, host_share(setting), rate, mean, p99, found.power_w.tolist())


def answer() -> Answer:
    """Return the answer, its table and its plot."""
    every = [
        scaling(Setting(board, mode, network, software))
        for software, (board, mode), network in product(SOFTWARE, BOARDS, NETWORKS)
    ]
    second, fourth = COUNTS.index(2), COUNTS.index(4)
    sentences = [_simulated(software, every) for software in SOFTWARE]
    head = ["simulated, batch 1", "software", "waits for the host", "rate, 2 over 1"]
    head += ["rate, 4 over 1", "p99, 2 over 1", "p99, 4 over 1", "W, with 1 / 4"]
    rows = [
        [
            each.setting.label,
            SOFTWARE_NAMES[each.setting.software],
            f"{100 * each.host_share:.0f} %",
            *(f"{each.rate[at]:.2f}" for at in (second, fourth)),
            *(f"{each.p99[at]:.1f}" for at in (second, fourth)),
            f"{each.power_w[0]:.1f} / {each.power_w[fourth]:.1f}",
        ]
        for each in every
        if each.setting.network in TABULATED
    ]
    return Answer(
        "second_instance",
        "When does a second instance help?",
        [*sentences, *_published()],
        head,
        rows,
        lambda: _plot(every),
    )


def _simulated(software: str, every: list[Scaling]) -> str:
    """Return a sentence on one software."""
    mine = [each for each in every if each.setting.software == software]
    second, fourth = COUNTS.index(2), COUNTS.index(4)
    return (
        f"Simulated, {SOFTWARE_NAMES[software]}: one instance waits for the host"
        f" {span([100 * each.host_share for each in mine], 0)} % of the time. Two instances give"
        f" {span([each.rate[second] for each in mine])} times its rate, four give"
        f" {span([each.rate[fourth] for each in mine])} times, at"
        f" {span([each.p99[fourth] for each in mine], 1)} times its p99."
    )


def _published() -> list[str]:
    """Return a sentence on the published series of each software."""
    gains = rows_of("contexts", quantity="rate_gain")
    slower = [row.value / row.gpu_instances for row in rows_of("contexts", quantity="latency_gain")]
    threads = rows_of("threads", quantity="rate_gain")
    counts = [row.gpu_instances for row in gains]
    return [
        f"Published, contexts of YOLO networks on an Orin Nano under TensorRT: {min(counts)} to"
        f" {max(counts)} give {span([row.value for row in gains])} times the rate of one, and the"
        f" mean latency of N of them is {span(slower)} N times that of one.",
        "Published, ResNet-18 in PyTorch behind a web server on an Orin Nano:"
        f" {' / '.join(str(row.gpu_instances) for row in threads)} requests in flight give"
        f" {' / '.join(f'{row.value:.2f}' for row in threads)} times the rate of one.",
    ]


def _plot(every: list[Scaling]) -> str:
    with style():
        figure, (waits, rates, times) = panels(3, 4.8, key=0.95)
        _against_waiting(waits, every)
        nearest = {software: scaling(setting) for software, setting in NEAREST.items()}
        for software, found in nearest.items():
            line = {"color": SOFTWARE_COLOURS[software], "lw": 1.8}
            rates.plot(COUNTS, found.rate, **line)
            times.plot(COUNTS, found.mean, **line)
            times.plot(COUNTS, found.p99, **line, ls=":")
        _measured(rates, times)
        times.plot([1, 8], [1, 8], color=FAINT, lw=0.8, zorder=1)
        for axes in (rates, times):
            plain_ticks(axes.xaxis, (1, 2, 3, 4, 6, 8))
            axes.set_xlabel("instances on the GPU, Orin Nano")
        rates.set_ylim(0.8, 1.8)
        rates.set_title("total rate over one instance")
        times.set_title("latency over one instance (grey: N)")
        entries = [
            simulated_key(f"simulated, {SOFTWARE_NAMES[name]}", SOFTWARE_COLOURS[name], marker="")
            for name in SOFTWARE
        ]
        entries += [
            simulated_key("simulated, 2 instances", line="none"),
            simulated_key("simulated, 4 instances", marker="^", line="none"),
            simulated_key("simulated, mean latency", marker=""),
            simulated_key("simulated, p99", marker="", line=":"),
            published_key("published, TensorRT (mean latency)", SOFTWARE_COLOURS["trtexec"]),
            published_key("published, PyTorch", SOFTWARE_COLOURS["pytorch"]),
        ]
        key_below(figure, entries, 4, SOURCES)
        return to_svg(figure, "When a second instance helps")


def _against_waiting(axes: Any, every: list[Scaling]) -> None:
    """Draw the gain of two and four instances against the share of time spent waiting."""
    share = np.linspace(0.0, 0.9, 200)
    for count, marker in ((2, "o"), (4, "^")):
        axes.plot(100 * share, np.minimum(count, 1 / (1 - share)), color=FAINT, lw=0.8, zorder=1)
        for each in every:
            axes.plot(
                100 * each.host_share,
                each.rate[COUNTS.index(count)],
                marker,
                color=SOFTWARE_COLOURS[each.setting.software],
                ms=5,
                alpha=0.8,
            )
    axes.text(8, 3.0, "grey: 2 or 4 instances\nfill all of the waiting", fontsize=8, color=FAINT)
    axes.set_xlim(0, 100)
    axes.set_ylim(0.8, 4.1)
    axes.set_title("total rate over one instance")
    axes.set_xlabel("one instance waits for the host, % of time")


def _measured(rates: Any, times: Any) -> None:
    """Draw the published gains: contexts by network, precision and load of the board, threads."""
    for axes, group, quantity in (
        (rates, "contexts", "rate_gain"),
        (times, "contexts", "latency_gain"),
        (rates, "threads", "rate_gain"),
    ):
        series: dict[tuple[str, ...], list[Row]] = {}
        for row in rows_of(group, quantity=quantity):
            series.setdefault((row.network, row.precision, row.note), []).append(row)
        for found in series.values():
            counts, gains = zip(*((row.gpu_instances, row.value) for row in found), strict=True)
            colour = SOFTWARE_COLOURS[found[0].software]
            published_marks(axes, (1, *counts), (1.0, *gains), colour)
