"""When does a larger batch help: rate and latency against the batch size of one instance?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.drawing import plain_ticks, style, to_svg
from benchmarks.questions_drawing import (
    COLOURS,
    key_below,
    panels,
    published_key,
    published_marks,
    simulated_key,
)
from benchmarks.questions_setup import (
    NETWORKS,
    SOFTWARE_NAMES,
    Answer,
    Setting,
    answers,
    rows_of,
    span,
)
from tuner.charts.axis import round_numbers

BATCHES = (1, 2, 4, 8, 16, 32, 64)

#: Batch sizes of the table.
TABULATED = (4, 16, 64)

SETTINGS = {
    "tensorrt": (
        Setting("agx_orin_64", "MAXN", "resnet50"),
        Setting("agx_orin_64", "MAXN", "yolov8n_640"),
        Setting("agx_orin_64", "MAXN", "yolov7_640"),
        Setting("agx_orin_64", "30W", "resnet50"),
        Setting("orin_nano_8", "MAXN_SUPER", "resnet50"),
        Setting("orin_nano_8", "MAXN_SUPER", "yolov8n_640"),
    ),
    "pytorch": (
        Setting("agx_orin_64", "MAXN", "resnet50", "pytorch"),
        Setting("agx_orin_64", "MAXN", "yolov8n_640", "pytorch"),
        Setting("agx_orin_64", "MAXN", "mobilenet_v3_large", "pytorch"),
        Setting("orin_nano_8", "MAXN_SUPER", "resnet50", "pytorch"),
    ),
}

#: The ends of the axes of gains.
TOP = {"tensorrt": 4.0, "pytorch": 12.0}

SOURCES = (
    "Published: MLPerf Inference v3.0 (ResNet-50), NVIDIA-AI-IOT/yolo_deepstream (YOLOv7, Orin-X),"
    " dream-lab/pagoda (PyTorch)."
)


@dataclass(frozen=True)
class Batches:
    """One instance on the GPU at each of `BATCHES`."""

    setting: Setting
    rate_ips: list[float]
    latency_ms: list[float]
    power_w: list[float]

    def gain(self, batch: int) -> float:
        """Return the rate at a batch size over that at batch 1."""
        return self.rate_ips[BATCHES.index(batch)] / self.rate_ips[0]


def batches(setting: Setting) -> Batches:
    """Return what the model gives for one instance at each of `BATCHES`."""
    found = answers(setting, [{setting.on_gpu: (1, batch)} for batch in BATCHES])
    return Batches(
        setting,
        found.throughput_ips[:, 0].tolist(),
        found.p50_ms[:, 0].tolist(),
        found.power_w.tolist(),
    )


def answer() -> Answer:
    """Return the answer, its table and its plot."""
    every = {name: [batches(each) for each in given] for name, given in SETTINGS.items()}
    rows = [
        [
            each.setting.label,
            SOFTWARE_NAMES[name],
            f"{each.rate_ips[0]:,.0f}",
            *(f"{each.gain(batch):.1f}" for batch in TABULATED),
            " / ".join(f"{each.latency_ms[BATCHES.index(batch)]:.1f}" for batch in (1, *TABULATED)),
            f"{each.power_w[0]:.0f} / {each.power_w[BATCHES.index(16)]:.0f}",
        ]
        for name, found in every.items()
        for each in found
    ]
    head = ["simulated, one instance on the GPU", "software", "images/s at batch 1"]
    head += [f"rate, {batch} over 1" for batch in TABULATED]
    head += [f"ms a batch of {' / '.join(map(str, (1, *TABULATED)))}", "W, batch 1 / 16"]
    sentences = [
        f"Simulated, {SOFTWARE_NAMES[name]}: batch 4 gives {_gains(found, 4)} times the rate of"
        f" batch 1, batch 16 {_gains(found, 16)} times, batch 64 {_gains(found, 64)} times."
        for name, found in every.items()
    ]
    sentences += map(_phrase, published_series())
    return Answer(
        "batch",
        "When does a larger batch help?",
        sentences,
        head,
        rows,
        lambda: _plot(every),
    )


def _gains(found: list[Batches], batch: int) -> str:
    return span([each.gain(batch) for each in found], 1)


@dataclass(frozen=True)
class Series:
    """Published gains of batches of one network over batch 1.

    Attributes:
        label: in words.
        network: as in the catalogue.
        software: as in `SOFTWARE_NAMES`.
        gains: by batch size.
    """

    label: str
    network: str
    software: str
    gains: dict[int, float]


def published_series() -> list[Series]:
    """Return the published gains on AGX Orin."""
    streams = {
        row.gpu_batch: 1e3 * row.gpu_batch / row.value
        for row in rows_of("mlperf", source="MLPerf v3.0", board="agx_orin_64", network="resnet50")
        if row.quantity == "latency_ms" and row.note.startswith("MaxP")
    }
    gains = {batch: rate / streams[1] for batch, rate in streams.items() if batch > 1}
    found = {"MLPerf": Series("ResNet-50 INT8, MLPerf v3.0", "resnet50", "mlperf", gains)}
    for row in rows_of("batch", board="agx_orin_64"):
        label = f"{NETWORKS[row.network]} {row.precision.upper()}, {row.source}"
        series = found.setdefault(label, Series(label, row.network, row.software, {}))
        series.gains[row.gpu_batch] = row.value
    return list(found.values())


def _phrase(series: Series) -> str:
    gains = " / ".join(f"{gain:.1f}" for gain in series.gains.values())
    sizes = " / ".join(map(str, series.gains))
    return (
        f"Published, AGX Orin, {series.label}: batch {sizes} gives {gains} times the rate of"
        " batch 1."
    )


def _plot(every: dict[str, list[Batches]]) -> str:
    with style():
        figure, (fast, slow, times) = panels(3, 5.0, key=1.2)
        inks: dict[str, str] = {}
        for axes, (name, found) in zip((fast, slow), every.items(), strict=True):
            for each in found:
                colour = inks.setdefault(each.setting.label, COLOURS[len(inks) % len(COLOURS)])
                line = "-" if name == "tensorrt" else "--"
                look = {"color": colour, "ls": line, "marker": "o", "ms": 3.5, "lw": 1.5}
                axes.plot(BATCHES, [each.gain(batch) for batch in BATCHES], **look)
                times.plot(BATCHES, each.latency_ms, **look)
        _measured(fast, slow, inks)
        for axes, name in zip((fast, slow), every, strict=True):
            _batch_axis(axes, f"rate over batch 1, {SOFTWARE_NAMES[name]}")
            axes.set_ylim(0.9, TOP[name])
        times.set_yscale("log")
        _batch_axis(times, "latency of a batch [ms]")
        times.set_ylim(0.4, 800)
        plain_ticks(times.yaxis, round_numbers(0.4, 800))
        entries = [
            simulated_key(label, inks[label])
            for label in sorted(inks, key=len, reverse=True)  # the last column is the narrowest
        ]
        entries += [
            simulated_key("all lines with circles: simulated (dashed: PyTorch)", line="--"),
            published_key("published, AGX Orin (colour: the network)", "#aaaaaa"),
        ]
        key_below(figure, entries, 3, SOURCES)
        return to_svg(figure, "When a larger batch helps")


def _measured(fast: Any, slow: Any, inks: dict[str, str]) -> None:
    """Draw the published gains in the colour of the same network on AGX Orin."""
    for series in published_series():
        name = NETWORKS[series.network]
        colour = next((ink for label, ink in inks.items() if label.endswith(name)), "white")
        axes = slow if series.software == "pytorch" else fast
        published_marks(axes, (1, *series.gains), (1.0, *series.gains.values()), colour)


def _batch_axis(axes: Any, title: str) -> None:
    axes.set_xscale("log")
    plain_ticks(axes.xaxis, BATCHES)
    axes.set_xlabel("batch size")
    axes.set_title(title)
