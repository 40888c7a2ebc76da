"""Read the rows of `data/published.csv`: published measurements of Jetson boards."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.published_groups import published_groups, published_layers
from envs.catalog.boards import board

PUBLISHED = Path(__file__).parent / "data" / "published.csv"


#: Rounds that state that the clocks of MaxQ were capped and not locked.
CAPPED = ("MLPerf v2.1", "MLPerf v3.0")


@dataclass(frozen=True)
class Row:
    """One published number.

    `run` says how it was measured. Texts are empty and numbers NaN where the source has none.
    """

    group: str
    source: str
    board: str
    mode: str
    gpu_mhz: float
    dla_mhz: float
    emc_mhz: float
    cpu_mhz: float
    cpu_cores: float
    network: str
    precision: str
    software: str
    run: str
    gpu_instances: int
    gpu_batch: int
    dla_cores: int
    dla_instances: int
    dla_batch: int
    quantity: str
    value: float
    spread: float
    idle_w: float
    note: str

    @property
    def architecture(self) -> str:
        """Return the GPU's architecture."""
        return board(self.board).gpu_architecture

    @property
    def steady(self) -> bool:
        """Return True if the clocks are known.

        That is so if the latency of equal inputs stayed within 10 % and the source states them all.
        """
        return not self.spread > 1.1 and "not stated" not in self.note

    @property
    def unlocked(self) -> bool:
        """Return True if a governor chose the GPU's clock, below the cap.

        In v2.0, latencies of two of MaxP's MultiStreams varied by 17 and 70 %, and ResNet-50 took
        longer than with the GPU locked to 0.93 GHz.
        """
        if self.board != "agx_orin_64":
            return False
        return (self.source in CAPPED and self.note.startswith("MaxQ")) or (
            self.source == "MLPerf v2.0" and not self.steady
        )

    @property
    def label(self) -> str:
        """Return the row in words."""
        return " ".join(
            filter(
                None,
                (
                    self.source,
                    self.board,
                    self.network,
                    self.mode if not self.note else "",
                    self.note,
                    self.run,
                ),
            )
        )


@cache
def published() -> tuple[Row, ...]:
    """Return all rows."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = [
            Row(**{key: _read(key, text) for key, text in row.items()})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        ]
    return (*rows, *_dla_layers(), *_layer_groups())


def _dla_layers() -> list[Row]:
    """Return the median time of each single convolution in INT8 at MAXN.

    Those in FP16 are left out: no rate of an Orin's DLA in FP16 is published.
    """
    times: dict[str, list[float]] = {}
    for each in published_layers():
        if (each.mode, each.precision) == ("MAXN", "int8"):
            times.setdefault(each.words, []).append(each.latency_ms)
    return [
        _trtexec(
            group="dla_layer",
            source="branes-ai/graphs",
            board="agx_orin_64",
            network=words,
            precision="int8",
            value=median(values),
            note="clocks not locked",
            **_ON_DLA,
        )
        for words, values in times.items()
    ]


def _layer_groups() -> list[Row]:
    """Return the times of the layer groups of HaX-CoNN's artifact, on the GPU and on a DLA."""
    return [
        _trtexec(
            group="layer_group",
            source="HaX-CoNN",
            board="agx_xavier",
            network=f"{times.network}:{at}",
            precision="fp16",
            value=float(times.time_ms[at, on_dla]),
            **(_ON_DLA if on_dla else _ON_GPU),
        )
        for times in published_groups()
        for on_dla in range(2)
        for at in range(len(times.time_ms))
    ]


_ON_GPU = {"gpu_instances": 1, "gpu_batch": 1}
_ON_DLA = {"dla_cores": 1, "dla_instances": 1, "dla_batch": 1}


def _trtexec(**given: Any) -> Row:
    """Return the row of a latency at MAXN that trtexec measured; NaN or empty what is not given."""
    empty: dict[str, Any] = {key: _read(key, "") for key in Row.__annotations__}
    fixed = {"mode": "MAXN", "software": "trtexec", "run": "loop", "quantity": "latency_ms"}
    return Row(**empty | fixed | given)


def _read(key: str, text: str) -> str | int | float:
    kind = str(Row.__annotations__[key])
    if kind == "float":
        return float(text) if text else float("nan")
    return int(text or 0) if kind == "int" else text
