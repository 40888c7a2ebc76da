"""Settings, answers of the device model and published points that the questions share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.published import layers_of
from benchmarks.published_rows import Row, published
from envs.catalog.boards import board
from envs.simulator.machine import machine_of
from envs.simulator.parameters import SOFTWARE, nominal
from envs.simulator.response import Response, respond
from envs.simulator.tables import COSTS, POSITIONS, Contexts, contexts_of, position_of
from envs.spec import accelerator

#: Boards and networks as people write them.
BOARDS = {
    "agx_orin_64": "AGX Orin 64 GB",
    "agx_orin_32": "AGX Orin 32 GB",
    "orin_nx_16": "Orin NX 16 GB",
    "orin_nano_8": "Orin Nano 8 GB",
    "agx_xavier": "AGX Xavier",
    "xavier_nx": "Xavier NX",
}
NETWORKS = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "mobilenet_v2": "MobileNet v2",
    "mobilenet_v3_large": "MobileNet v3 large",
    "yolov8n_640": "YOLOv8n",
    "yolov7_640": "YOLOv7",
    "retinanet_resnet34_1280x768": "RetinaNet R34",
}
SOFTWARE_NAMES = {
    "trtexec": "TensorRT INT8, queued ahead",
    "tensorrt": "TensorRT INT8",
    "pytorch": "PyTorch FP32",
    "mlperf": "TensorRT INT8 as tuned for MLPerf",
}

#: (instances, batch) by accelerator.
Placement = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Setting:
    """A network under a software on a board.

    Attributes:
        native: False if the DLA's engines read and write linear formats, so that the GPU has to
            reformat what enters and leaves them.
        host_us: host time of a batch, where it is not that of the software [us].
    """

    board: str
    mode: str
    network: str
    software: str = "tensorrt"
    native: bool = True
    host_us: float | None = None

    @property
    def label(self) -> str:
        """Return board, mode and network in words."""
        return f"{BOARDS[self.board]} {self.mode}, {NETWORKS[self.network]}"

    @property
    def on_gpu(self) -> str:
        """Return the accelerator of the GPU's instances."""
        return "cuda" if self.software == "pytorch" else "tensor"


def contexts(setting: Setting, batches: Sequence[int]) -> Contexts:
    """Return one context with the fitted parameters of the setting's software."""
    module = board(setting.board)
    cores = [f"dla{core}" for core in range(module.dla_cores)]
    values = dict(SOFTWARE[setting.software])
    if setting.host_us is not None:
        values["host_us"] = setting.host_us
    return contexts_of(
        machine_of(setting.board, setting.mode, dla_native=setting.native),
        [accelerator(name) for name in ("cuda", "tensor", *cores)],
        [layers_of(setting.network)],
        batches,
        nominal(module.gpu_architecture).with_values(**values),
    )


def answers(setting: Setting, placements: Sequence[Placement]) -> Response:
    """Return what each placement gives, one row each."""
    batches = sorted({batch for each in placements for _, batch in each.values()})
    shape = (len(placements), 1, POSITIONS)
    instances, levels = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, placement in enumerate(placements):
        for name, (number, batch) in placement.items():
            position = position_of(accelerator(name))
            instances[row, 0, position] = number
            levels[row, 0, position] = batches.index(batch)
    rows = np.zeros(len(placements), dtype=np.int64)
    return respond(contexts(setting, batches), rows, instances, levels)


def host_share(setting: Setting, batch: int = 1) -> float:
    """Return the share of its time in which one instance on the GPU waits for the host."""
    table = contexts(setting, (batch,)).table[:, 0, 0, position_of(accelerator(setting.on_gpu)), 0]
    costs = dict(zip(COSTS, table.tolist(), strict=True))
    return float(costs["host_s"] / (costs["host_s"] + costs["gpu_s"]))


def rows_of(group: str, *, quantity: str = "", **wanted: str | int) -> list[Row]:
    """Return the published rows of a group that have these values."""
    wanted |= {"quantity": quantity} if quantity else {}
    return [
        row
        for row in published()
        if row.group == group and all(getattr(row, name) == value for name, value in wanted.items())
    ]


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        name: of the plot's file and of the marks in the page.
        question: in words.
        sentences: the answer in figures.
        head, rows: the table.
        plot: draws the plot, as SVG.
    """

    name: str
    question: str
    sentences: list[str]
    head: list[str]
    rows: list[list[str]]
    plot: Callable[[], str]


def span(values: Sequence[float], digits: int = 2) -> str:
    """Return the smallest and the largest value in words; one number where they look the same."""
    texts = [f"{value:.{digits}f}" for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(texts))
