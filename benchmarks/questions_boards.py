"""Compare the boards of the catalogue, in every power mode, on the same network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.drawing import plain_ticks, style, to_svg
from benchmarks.published import layers_of
from benchmarks.questions_drawing import (
    BLUE,
    GREEN,
    ORANGE,
    key_below,
    name_rows,
    panels,
    simulated_key,
)
from benchmarks.questions_setup import BOARDS, NETWORKS, Answer
from envs.catalog.boards import board
from envs.problems.draw import BATCHES, described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.spec import Configuration, ConfigurationSpace, workload_of
from tuner.charts.axis import round_numbers

NETWORK = "yolov8n_640"

#: Limits on p99 and on the power of the module.
P99_MS, POWER_W = 50.0, 15.0

#: Instances of one engine.
MAX_INSTANCES = 4

#: The best configuration is the smallest one whose rate is within this share of the highest.
SLACK = 0.01

ENGINES = {"tensor": "GPU", "dla0": "DLA0", "dla1": "DLA1"}


@dataclass(frozen=True)
class Best:
    """The best configuration of a board in a power mode; numbers are NaN where there is none.

    Attributes:
        engines: instances x batch by engine.
    """

    board: str
    mode: str
    engines: str
    rate_ips: float
    power_w: float

    @property
    def per_joule(self) -> float:
        """Return images per joule of the module."""
        return self.rate_ips / self.power_w


def modes_of(name: str) -> list[str]:
    """Return the power modes of a board, without the clocks of submissions to MLPerf."""
    return [mode for mode in board(name).power_modes if not mode.startswith("mlperf")]


def model_of(name: str, mode: str) -> DeviceModel:
    """Return the model of a board with INT8 engines on the GPU and the DLAs."""
    device = device_of(name, mode)
    device = replace(
        device, accelerators=tuple(each for each in device.accelerators if each.name in ENGINES)
    )
    layers = layers_of(NETWORK)
    space = ConfigurationSpace(device, workload_of([described(layers)]), MAX_INSTANCES, BATCHES)
    return DeviceModel(machine_of(name, mode), space, (layers,))


@dataclass(frozen=True)
class Wish:
    """A kind of best configuration: what is maximised, and below which power.

    Attributes:
        words: for tables and keys.
        per_joule: True to maximise images per joule, False to maximise images per second.
        limit_w: limit on the power of the module, infinite for none.
    """

    words: str
    per_joule: bool = False
    limit_w: float = np.inf


WISHES = (
    Wish("most images/s"),
    Wish(f"most images/s at {POWER_W:g} W or less", limit_w=POWER_W),
    Wish("most images per joule", per_joule=True),
)


def best(name: str, mode: str) -> list[Best]:
    """Return the best configuration under `P99_MS` for each of `WISHES`."""
    model = model_of(name, mode)
    placements = model.space.catalogue
    found = model.batch(model.nominal(), placements)
    rate = found.throughput_ips[:, 0]
    size = placements[..., 0].sum(axis=(1, 2)) * 1000 + placements[..., 1].sum(axis=(1, 2))
    result = []
    for wish in WISHES:
        kept = (found.p99_ms[:, 0] <= P99_MS) & (found.power_w <= wish.limit_w)
        if not kept.any():
            result.append(Best(name, mode, "none keeps the limits", np.nan, np.nan))
            continue
        score = np.where(kept, rate / found.power_w if wish.per_joule else rate, 0.0)
        near = np.flatnonzero(score >= (1 - SLACK) * score.max())
        row = int(near[size[near].argmin()])
        result.append(
            Best(
                name,
                mode,
                _engines(model, placements[row]),
                float(rate[row]),
                float(found.power_w[row]),
            )
        )
    return result


def _engines(model: DeviceModel, placement: Any) -> str:
    names = model.space.device.accelerator_names
    return " + ".join(
        f"{ENGINES[names[accelerator]]} {count}x{batch}"
        for _, accelerator, count, batch in Configuration.of(placement).slots()
    )


def answer() -> Answer:
    """Return the answer, its table and its plot."""
    every = [best(name, mode) for name in BOARDS for mode in modes_of(name)]
    chosen = {
        name: [_of_all_modes(every, name, wish) for wish in range(len(WISHES))] for name in BOARDS
    }
    most = max(chosen.values(), key=lambda row: row[0].rate_ips)[0]
    frugal = max(chosen.values(), key=lambda row: row[1].rate_ips)[1]
    thrifty = max(chosen.values(), key=lambda row: row[2].per_joule)[2]
    least = min(chosen.values(), key=lambda row: row[0].rate_ips)[0]
    sentences = [
        f"Simulated. The {BOARDS[most.board]} gives the most images/s: {_words(most)}. It is"
        f" {most.rate_ips / least.rate_ips:.1f} times the rate of the {BOARDS[least.board]}"
        f" ({_words(least)}).",
        f"Simulated. With a limit of {POWER_W:g} W the {BOARDS[frugal.board]} gives the most:"
        f" {_words(frugal)}. The {BOARDS[thrifty.board]} gives the most images per joule:"
        f" {_words(thrifty)}.",
    ]
    return Answer(
        "boards",
        f"Which board? ({NETWORKS[NETWORK]} INT8, p99 of at most {P99_MS:g} ms)",
        sentences,
        ["simulated", *(wish.words for wish in WISHES)],
        [[BOARDS[name], *map(_words, row)] for name, row in chosen.items()],
        lambda: _plot(every),
    )


def _of_all_modes(every: list[list[Best]], name: str, wish: int) -> Best:
    """Return the best power mode of a board for one of `WISHES`."""
    mine = [row[wish] for row in every if row[wish].board == name]
    per_joule = WISHES[wish].per_joule
    return max(mine, key=lambda each: np.nan_to_num(each.per_joule if per_joule else each.rate_ips))


def _words(each: Best) -> str:
    if np.isnan(each.rate_ips):
        return each.engines
    return (
        f"{each.mode}, {each.engines}: {each.rate_ips:,.0f}/s at {each.power_w:.1f} W,"
        f" {each.per_joule:.0f} images/J"
    )


def _plot(every: list[list[Best]]) -> str:
    looks = (("o", ORANGE, "white", 7.0), ("o", BLUE, BLUE, 4.5), ("^", GREEN, GREEN, 5.0))
    labels = [f"{BOARDS[row[0].board]} {row[0].mode}" for row in every]
    with style():
        figure, (rates, joules) = panels(2, 1.7 + 0.26 * len(every), left=0.2, gap=0.02)
        for at, row in enumerate(every):
            for each, (marker, colour, face, size) in zip(row, looks, strict=True):
                look = {"color": colour, "markerfacecolor": face, "marker": marker, "ms": size}
                rates.plot(each.rate_ips, at, **look)
                joules.plot(each.per_joule, at, **look)
        name_rows(rates, joules, labels)
        rates.set_xscale("log")
        plain_ticks(rates.xaxis, round_numbers(*rates.get_xlim()))
        joules.set_xlim(left=0.0)
        rates.set_title("images per second")
        joules.set_title("images per joule of the module")
        entries = [
            simulated_key(f"simulated, {wish.words}", colour, marker, line="none")
            for wish, (marker, colour, _, _) in zip(WISHES, looks, strict=True)
        ]
        entries[0].set_markerfacecolor("white")
        key_below(figure, entries, 3, f"{NETWORKS[NETWORK]} INT8, p99 of at most {P99_MS:g} ms.")
        return to_svg(figure, "Which board")
