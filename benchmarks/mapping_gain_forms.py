"""Other forms of contention than the model's: what each says of the published pairs.

Each form is the model's with other values, another function of the traffic of a group and of all
others, or a wait for the GPU. One is fitted: `beside anything` to AlexNet on the DLA beside other
networks. It is held against GoogLeNet beside itself, and against MLPerf's rows of GPU and both
DLAs, which run all the time: slowed by a factor each, they are slowed by it together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from benchmarks.figures import Figure, figure
from benchmarks.fitting import ratios
from benchmarks.mapping_gain_networks import LEAST, PLACES, Setting, costs_of_network
from benchmarks.mapping_gain_pairs import PAIRS, predicted
from benchmarks.published_rows import published
from benchmarks.published_schedules import (
    XAVIER,
    CostsOf,
    alexnet_alone_ms,
    beside_ms,
    contention_of,
    published_schedules,
    slowdowns,
)
from envs.mappings.costs import GroupCosts
from envs.simulator.parameters import nominal
from tuner.console import table
from tuner.placement.schedules_data import NO_CONTENTION, Contention

#: Gains that are at most so far from the published ones [points].
NEAR = 8.0

#: Speed beside others over alone, by own demand and that of others, of the processor of which
#: PCCS (MICRO 2021) ships a sample: github.com/processorcentricmodel/PCCS,
#: model_construction/input.txt. Its peak is taken to be that of an AGX Xavier.
OWN_GB_S = (0.0, 9.3, 37.6, 46.8, 55.1, 65.7, 84.7, 93.1)
OTHER_GB_S = (0.0, 12.7, 38.1, 63.1, 92.8, 127.4)
SPEED = (
    (1.0, 0.99, 0.98, 0.98, 0.97, 0.97),
    (1.0, 0.99, 0.98, 0.98, 0.97, 0.97),
    (1.0, 1.00, 1.00, 0.99, 0.98, 0.96),
    (1.0, 0.98, 0.86, 0.85, 0.84, 0.84),
    (1.0, 0.98, 0.81, 0.75, 0.74, 0.74),
    (1.0, 0.88, 0.71, 0.70, 0.70, 0.70),
    (1.0, 0.71, 0.66, 0.58, 0.56, 0.56),
    (1.0, 0.83, 0.64, 0.55, 0.54, 0.54),
)
PEAK_GB_S = 136.5

_SPEED = RegularGridInterpolator((OWN_GB_S, OTHER_GB_S), np.array(SPEED))


@dataclass(frozen=True)
class Sampled(Contention):
    """Slow groups as the sample of PCCS says, by shares of the bandwidth."""

    def slowdown(self, own_byte_s: float, other_byte_s: float) -> float:
        """Return the factor on the time of a group, see `Contention`."""
        scale = PEAK_GB_S / self.dram_byte_s
        own, other = min(own_byte_s * scale, OWN_GB_S[-1]), other_byte_s * scale
        other = min(other, OTHER_GB_S[-1])
        return 1 / float(_SPEED((own, other)))


@dataclass(frozen=True)
class Beside(Contention):
    """Slow groups by one factor beside anything, `slope`, whatever it moves."""

    def slowdown(self, own_byte_s: float, other_byte_s: float) -> float:
        """Return the factor on the time of a group, see `Contention`."""
        return self.slope if other_byte_s else 1.0


def beside_factor() -> float:
    """Return the median slowdown of AlexNet on the DLA beside other networks on the GPU."""
    return float(np.median(beside_ms()[1])) / alexnet_alone_ms()


def with_turns(name: str, setting: Setting) -> GroupCosts:
    """Return the costs of a network that waits a slice for each of its turns on the GPU.

    A DLA leaves the softmax to the GPU, a mapping goes there from the DLA. The GPU is taken to be
    busy with another process: this is the most that such waits can be.
    """
    costs, slice_s = costs_of_network(name, setting), float(setting.parameters.slice_ms[0]) * 1e-3
    gpu, dla = (PLACES.index(each) for each in PLACES)
    transition_s, end_s = costs.transition_s.copy(), costs.end_s.copy()
    transition_s[1:, dla, gpu] += slice_s
    end_s[dla] += slice_s
    return replace(costs, transition_s=transition_s, end_s=end_s)


class Form(NamedTuple):
    """A form of contention: a function of the model's, and the costs of networks beside others."""

    of: Callable[[Contention], Contention]
    costs_of: CostsOf = costs_of_network


def forms() -> dict[str, Form]:
    """Return each form by its name."""
    factor = beside_factor()
    return {
        "as the model is": Form(lambda model: model),
        "none": Form(lambda model: NO_CONTENTION),
        "from the first byte": Form(lambda model: replace(model, threshold=0.0, plateau=1.0)),
        "four times the traffic": Form(
            lambda model: replace(model, dram_byte_s=model.dram_byte_s / 4)
        ),
        "sample of PCCS": Form(lambda model: Sampled(model.dram_byte_s, 0.0, 0.0, 0.0)),
        "a slice for each turn on the GPU": Form(lambda model: model, with_turns),
        f"{factor:.2f} times beside anything": Form(lambda model: Beside(1.0, 0.0, factor, 0.0)),
    }


class Verdict(NamedTuple):
    """Hold what a form of contention says: of pairs, of slowdowns, and of published schedules.

    Attributes:
        near, won: pairs whose gain is near the published one, and pairs that a schedule wins.
        gpu, dla: slowdowns of GoogLeNet beside itself.
        alexnet: median slowdown of AlexNet on the DLA beside other networks.
        error: median error of the time of published schedules.
    """

    near: int
    won: int
    gpu: float
    dla: float
    alexnet: float
    error: float


def verdict(form: Form) -> Verdict:
    """Return what a form of contention says of everything that is published."""
    gains = []
    for setting, pair in PAIRS:
        first, second = (form.costs_of(name, setting) for name in pair.networks)
        gains.append(predicted((first, second), form.of(contention_of(setting))).gain)
    apart = np.abs(np.array(gains) - [pair.gain for _, pair in PAIRS])
    on_xavier = form.of(contention_of(XAVIER))
    gpu, dla = slowdowns("googlenet", "googlenet", on_xavier, form.costs_of)
    alexnet = [
        slowdowns(name, "alexnet_grouped", on_xavier, form.costs_of)[1] for name in beside_ms()[0]
    ]
    errors = [
        each.model_ms(form.of(contention_of(each.setting)), form.costs_of) / each.time_ms - 1
        for each in published_schedules()
    ]
    return Verdict(
        int((apart <= NEAR).sum()),
        sum(gain >= 100 * LEAST for gain in gains),
        gpu,
        dla,
        float(np.median(alexnet)),
        float(np.median(np.abs(errors))),
    )


def mlperf_ratios() -> list[float]:
    """Return the model's rates over MLPerf's where a Xavier's GPU and both DLAs run."""
    rows = [
        row
        for row in published()
        if (row.group, row.architecture) == ("mlperf", "volta")
        and row.quantity == "throughput_ips"
        and (row.gpu_instances and row.dla_cores == 2)
    ]
    return list(ratios(rows, {"volta": nominal("volta")})[:, 0])


def form_figures() -> list[Figure]:
    """Print what each form of contention says and return it."""
    rows, figures = [], []
    for name, form in forms().items():
        found = verdict(form)
        rows.append(
            [name, str(found.near), str(found.won), *(f"{each:.2f}" for each in found[2:5]),
             f"{100 * found.error:.1f}"]
        )  # fmt: skip
        label = f"contention, {name}"
        figures += [
            figure(f"{label}: pairs within {NEAR:g} points", found.near, f"of {len(PAIRS)}"),
            figure(f"{label}: pairs won by a schedule", found.won, f"of {len(PAIRS)}"),
            figure(f"{label}: GoogLeNet on the GPU beside itself", found.gpu, "times"),
            figure(f"{label}: GoogLeNet on the DLA beside itself", found.dla, "times"),
            figure(f"{label}: AlexNet on the DLA beside others, median", found.alexnet, "times"),
            figure(f"{label}: published schedules, median error", 100 * found.error, "%"),
        ]
    print("Forms of contention. Published: 1.69 and 1.28 times for GoogLeNet beside itself")
    table(
        ["form", "pairs near", "pairs won", "GoogLeNet, GPU", "DLA", "AlexNet, DLA",
         "error of schedules %"],
        rows,
    )  # fmt: skip
    now = float(np.median(mlperf_ratios()))
    label = "MLPerf on Xavier, GPU and both DLAs, model over published, median"
    return [
        *figures,
        figure(label, now, "times"),
        figure(f"{label}, each slower beside anything", now / beside_factor(), "times"),
    ]
