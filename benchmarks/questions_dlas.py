"""When does a DLA help: what it adds to the GPU in images per second and in images per joule?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from benchmarks.drawing import style, to_svg
from benchmarks.questions_drawing import (
    COLOURS,
    key_below,
    name_rows,
    panels,
    published_key,
    published_marks,
    simulated_key,
)
from benchmarks.questions_setup import Answer, Placement, Setting, answers, rows_of, span
from tuner.charts.palette import INK

#: The batch size of a GPU that is used well.
LARGE = 16

#: Networks and the batch size of the GPU's instance; that of a DLA's is 1.
ROWS = (
    ("resnet50", 1),
    ("resnet50", LARGE),
    ("yolov8n_640", 1),
    ("retinanet_resnet34_1280x768", 1),
)
BOARDS = (
    ("agx_orin_64", "MAXN"),
    ("agx_orin_64", "30W"),
    ("orin_nx_16", "MAXN_SUPER"),
    ("orin_nx_16", "15W"),
)

#: Batches are queued ahead, so that no engine waits for the host.
SOFTWARE = "trtexec"

#: Sets of engines with one instance each.
SETS: dict[str, tuple[str, ...]] = {
    "gpu+dla0": ("tensor", "dla0"),
    "gpu+dla0+dla1": ("tensor", "dla0", "dla1"),
    "dla0+dla1": ("dla0", "dla1"),
}
NAMES = {
    "gpu+dla0": "GPU + DLA0",
    "gpu+dla0+dla1": "GPU + both DLAs",
    "dla0+dla1": "both DLAs, no GPU",
}

#: The setting of the published measurements with power.
MEASURED = Setting("agx_orin_64", "MAXN", "resnet50", SOFTWARE)

SOURCES = (
    "Published: yyshin-katech/embedded-ai-quantization-guide (batch 1, with fallback);"
    " MLPerf Inference v3.0 (over the rate planned for the GPU)."
)


@dataclass(frozen=True)
class Gains:
    """Sets of engines relative to the GPU alone, by their names in `SETS`.

    Attributes:
        setting: of the row.
        batch: of the GPU's instances.
        rate: images per second over those of the GPU alone.
        per_joule: images per joule of the whole module over those of the GPU alone.
    """

    setting: Setting
    batch: int
    rate: dict[str, float]
    per_joule: dict[str, float]

    @property
    def label(self) -> str:
        """Return the setting and the batch in words."""
        return f"{self.setting.label}, {'' if self.batch == 1 else 'GPU at '}batch {self.batch}"


def sets_of(gpu: tuple[int, int], dla: tuple[int, int]) -> dict[str, Placement]:
    """Return every set of engines, the GPU alone first, with (instances, batch) on each engine."""
    return {
        "gpu": {"tensor": gpu},
        **{
            name: {each: gpu if each == "tensor" else dla for each in used}
            for name, used in SETS.items()
        },
    }


def gains(setting: Setting, gpu: tuple[int, int], dla: tuple[int, int]) -> Gains:
    """Return the gains of all sets of engines, with (instances, batch) on each engine."""
    sets = sets_of(gpu, dla)
    found = answers(setting, list(sets.values()))
    rate = found.throughput_ips[:, 0]
    over_first = [
        dict(zip(sets, (values / values[0]).tolist(), strict=True))
        for values in (rate, rate / found.power_w)
    ]
    return Gains(setting, gpu[1], *over_first)


def answer() -> Answer:
    """Return the answer, its table and its plot."""
    pairs = []
    for network, batch in ROWS:
        for board, mode in BOARDS:
            setting = Setting(board, mode, network, SOFTWARE)
            engines = (1, batch), (1, 1)
            fallback = replace(setting, native=False)
            pairs.append((gains(setting, *engines), gains(fallback, *engines)))
    large = gains(replace(MEASURED, software="mlperf"), (2, 256), (2, 2))
    head = ["simulated, times the GPU alone, without / with fallback"]
    head += [f"{words}: {unit}" for words in NAMES.values() for unit in ("images/s", "images/J")]
    rows = [
        [
            native.label,
            *(
                f"{getattr(native, quantity)[name]:.2f} / {getattr(fallback, quantity)[name]:.2f}"
                for name in NAMES
                for quantity in ("rate", "per_joule")
            ),
        ]
        for native, fallback in pairs
    ]
    rows += [
        [
            large.label,
            *(
                f"{getattr(large, quantity)[name]:.2f}"
                for name in NAMES
                for quantity in ("rate", "per_joule")
            ),
        ]
    ]
    return Answer(
        "dla",
        "When does a DLA help?",
        [*_simulated(pairs), *_published()],
        head,
        rows,
        lambda: _plot(pairs, large),
    )


def _simulated(pairs: list[tuple[Gains, Gains]]) -> list[str]:
    """Return a sentence on the rate of each set of engines, and one on images per joule."""
    small, large = ([pair for pair in pairs if pair[0].batch == batch] for batch in (1, LARGE))

    def rates(name: str, chosen: list[tuple[Gains, Gains]], way: int) -> str:
        return span([pair[way].rate[name] for pair in chosen])

    sentences = [
        f"Simulated, {words}: {rates(name, small, 0)} times the rate of the GPU alone at batch 1,"
        f" {rates(name, large, 0)} times that of a GPU at batch {LARGE}. Where engines fall back to"
        f" the GPU: {rates(name, small, 1)} and {rates(name, large, 1)} times."
        for name, words in NAMES.items()
    ]
    joules = [
        f"{words} {span([pair[0].per_joule[name] for pair in small])}"
        f" ({span([pair[1].per_joule[name] for pair in small])} where engines fall back)"
        for name, words in NAMES.items()
    ]
    return [
        *sentences,
        "Simulated, images per joule over the GPU alone at batch 1: " + "; ".join(joules) + ".",
    ]


def measured() -> dict[str, tuple[float, float]]:
    """Return rate and images per joule over the GPU alone, as published, by set of engines."""
    given = {"board": MEASURED.board, "mode": MEASURED.mode, "precision": "int8"}
    given |= {"note": "side by side"}

    def values(quantity: str) -> dict[str, float]:
        found = {}
        for row in rows_of("engines", quantity=quantity, run="loop", **given):
            cores = [f"dla{core}" for core in range(row.dla_cores)]
            found["+".join(["gpu"] * row.gpu_instances + cores)] = row.value
        return found

    rate, power = values("total_ips"), values("power_w")
    return {
        name: (rate[name] / rate["gpu"], rate[name] / power[name] * power["gpu"] / rate["gpu"])
        for name in rate
        if name != "gpu"
    }


def _planned() -> float:
    """Return the published gain of both DLAs at large batches, over the planned rate of the GPU."""
    [row] = rows_of("contention", source="MLPerf v3.0 plan")
    return row.value


def _published() -> list[str]:
    parts = [
        f"{NAMES.get(name, 'DLA0 alone')} {rate:.2f} times the rate and {per_joule:.2f} times the"
        " images per joule"
        for name, (rate, per_joule) in measured().items()
    ]
    return [
        f"Published, {MEASURED.label}, batch 1, over the GPU alone, two layers of each DLA engine"
        f" fall back: {'; '.join(parts)}.",
        f"Published, MLPerf v3.0, large batches: GPU + both DLAs gave {_planned():.2f} times the"
        " rate that was planned for the GPU alone.",
    ]


def _plot(pairs: list[tuple[Gains, Gains]], large: Gains) -> str:
    labels = [native.label for native, _ in pairs] + [large.label]
    with style():
        figure, (rates, joules) = panels(2, 1.6 + 0.33 * len(labels), left=0.375, gap=0.03)
        inks = dict(zip(SETS, COLOURS, strict=False))
        for row, (native, fallback) in enumerate(pairs):
            for name, colour in inks.items():
                for found, lift, face in ((native, 0.14, colour), (fallback, -0.14, "white")):
                    look = {"color": colour, "markerfacecolor": face, "ms": 5}
                    rates.plot(found.rate[name], row - lift, "o", **look)
                    joules.plot(found.per_joule[name], row - lift, "o", **look)
        last = len(labels) - 1
        for name in NAMES:
            rates.plot(large.rate[name], last, "o", color=inks[name], ms=5)
            joules.plot(large.per_joule[name], last, "o", color=inks[name], ms=5)
        at = labels.index(f"{MEASURED.label}, batch 1")
        for name, values in measured().items():
            for axes, value in zip((rates, joules), values, strict=True):
                published_marks(axes, [value], [at + 0.14], inks.get(name, "white"))
        published_marks(rates, [_planned()], [last], inks["gpu+dla0+dla1"])
        _name(rates, joules, labels)
        entries = [
            simulated_key(f"simulated, {NAMES[name]}", colour, line="none")
            for name, colour in inks.items()
        ]
        hollow = simulated_key("simulated, engines fall back to the GPU", line="none")
        hollow.set_markerfacecolor("white")
        entries += [hollow]
        entries += [
            published_key("published (colour: the engines)", "#aaaaaa"),
            published_key("published, DLA0 alone"),
        ]
        key_below(figure, entries, 3, SOURCES)
        return to_svg(figure, "What a DLA adds")


def _name(rates: Any, joules: Any, labels: list[str]) -> None:
    """Give both panels a row for each label and a line at the GPU alone."""
    name_rows(rates, joules, labels)
    for axes, words in ((rates, "images per second"), (joules, "images per joule")):
        axes.axvline(1.0, color=INK, lw=0.9, zorder=1)
        axes.set_xlim(left=0.0)
        axes.set_xlabel("times the GPU alone (1 = no gain)")
        axes.set_title(f"{words} of the whole module" if axes is joules else words)
