"""Gains of single networks on AGX Xavier and AGX Orin, by the device model."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from benchmarks.figures import Figure, figure
from envs.catalog.reference_networks import reference_groups
from envs.mappings.costs import GroupCosts
from envs.mappings.gain import Gain, fallbacks, gain_of
from envs.mappings.model_costs import group_costs, whole_costs
from envs.mappings.search import MappingCost, fastest, pareto_front, single_accelerators
from envs.simulator.machine import Machine, machine_of
from envs.simulator.parameters import SOFTWARE, ParameterSet, nominal
from envs.spec import accelerator
from tuner.console import table

#: Image classifiers of the catalogue.
CLASSIFIERS = (
    *("alexnet", "alexnet_grouped", "densenet121", "efficientnet_b0", "googlenet", "inception_v4"),
    *("mobilenet_v2", "mobilenet_v3_large", "resnet18", "resnet50", "resnet101", "resnet152"),
    *("squeezenet1_1", "vgg16", "vgg19", "vit_b16"),
)

#: Where a network may run: the GPU's Tensor Cores and one DLA core.
PLACES = ("tensor", "dla0")

WEIGHTS = (0.0, 0.5, 1.0)

#: Largest trade-off of energy and performance over all layers on one accelerator, image
#: classifiers on Jetson Xavier (Dagli and Belviranli, RSDHA 2021, abstract).
PUBLISHED_GAIN = 28

#: The energy that AxoNN (DAC 2022) allows in trtutils' default, as a share of the GPU's.
ENERGY_SHARE = 0.8

#: A gain below this share is none.
LEAST = 0.005


class Setting(NamedTuple):
    """A board, with the precision of its engines.

    Attributes:
        words: in the tables.
        board, gpu, dla: of the catalogue, and the precisions.
        batch: samples in a batch.
        software: see `envs.simulator.parameters.SOFTWARE`.
        native: False if the DLA's engines read and write linear formats.
    """

    words: str
    board: str
    gpu: str
    dla: str
    batch: int = 1
    software: str = "tensorrt"
    native: bool = True

    @property
    def machine(self) -> Machine:
        """Return the board at MAXN."""
        return machine_of(self.board, "MAXN", self.gpu, self.dla, self.native)

    @property
    def parameters(self) -> ParameterSet:
        """Return the fitted parameters of the board and the software."""
        return nominal(self.machine.architecture).with_values(**SOFTWARE[self.software])


SETTINGS = (
    Setting("AGX Xavier, FP16", "agx_xavier", "fp16", "fp16"),
    Setting("AGX Orin, INT8", "agx_orin_64", "int8", "int8"),
    Setting("AGX Xavier, FP16, batch 8", "agx_xavier", "fp16", "fp16", 8),
)

#: Other inputs: what the papers do not say, or say differently.
OTHER_SETTINGS = (
    Setting("AGX Xavier, FP16, fast engines", "agx_xavier", "fp16", "fp16", software="mlperf"),
    Setting("AGX Xavier, FP16, linear DLA formats", "agx_xavier", "fp16", "fp16", native=False),
    Setting("AGX Xavier, GPU FP16 and DLA INT8", "agx_xavier", "fp16", "int8"),
    Setting("AGX Orin, FP16", "agx_orin_64", "fp16", "fp16"),
    Setting("AGX Orin, INT8, fast engines", "agx_orin_64", "int8", "int8", software="mlperf"),
)


@cache
def costs_of_network(name: str, setting: Setting) -> GroupCosts:
    """Return the model's costs of the layer groups of a classifier."""
    places = [accelerator(each) for each in PLACES]
    groups, batch = reference_groups(name), setting.batch
    return group_costs(groups, places, setting.machine, setting.parameters, batch, name)


def wholes(name: str, setting: Setting) -> tuple[MappingCost, ...]:
    """Return the whole network on each accelerator; the GPU runs what a DLA leaves."""
    costs = costs_of_network(name, setting)
    places, groups = [accelerator(each) for each in PLACES], reference_groups(name)
    whole = whole_costs(groups, places, setting.machine, setting.parameters, setting.batch)
    return (*single_accelerators(costs), *fallbacks(costs, *whole))


def gains_of(costs: GroupCosts, singles: tuple[MappingCost, ...]) -> list[Gain]:
    """Return the gains by `WEIGHTS`, any number of transitions allowed."""
    front = pareto_front(costs)
    return [gain_of(front, singles, weight) for weight in WEIGHTS]


def saved_at_energy(costs: GroupCosts, singles: tuple[MappingCost, ...]) -> float:
    """Return the share of time that a mapping saves within `ENERGY_SHARE` of the GPU's energy.

    It is against the fastest single accelerator within that energy; NaN where none is.
    """
    limit_j = ENERGY_SHARE * singles[0].energy_j
    best = fastest(costs, energy_limit_j=limit_j)
    single_s = min((each.time_s for each in singles if each.energy_j <= limit_j), default=math.nan)
    return max(0.0, 1 - best.time_s / single_s) if best else math.nan


def network_figures(quick: bool) -> list[Figure]:
    """Print the gains of all classifiers and return the largest ones."""
    figures = []
    for setting in SETTINGS:
        figures += _setting_figures(setting, shown=True)
    if not quick:
        for setting in OTHER_SETTINGS:
            figures += _setting_figures(setting, shown=False)
    return figures


def _setting_figures(setting: Setting, shown: bool) -> list[Figure]:
    rows, found, saved = [], [], []
    for name in CLASSIFIERS:
        costs, singles = costs_of_network(name, setting), wholes(name, setting)
        gains = gains_of(costs, singles)
        found.append([each.share for each in gains])
        saved.append(saved_at_energy(costs, singles))
        rows.append(
            [name, str(costs.groups), *_alone(singles), *map(_words, gains), _share(saved[-1])]
        )
    if shown:
        print(f"{setting.words}: gain over the best single accelerator, %, and the mapping")
        heads = ["network", "groups", "GPU ms / mJ", "DLA ms / mJ"]
        heads += ["energy (w = 0)", "trade-off (w = 0.5)", "latency (w = 1)"]
        table([*heads, f"time saved at {100 * ENERGY_SHARE:g} % of the GPU's energy"], rows)
    energy, trade_off, latency = 100 * np.max(found, axis=0)
    gaining, number = np.array(found) >= LEAST, f"of {len(CLASSIFIERS)}"
    goal = f">= {PUBLISHED_GAIN}" if setting is SETTINGS[0] else ""
    most_saved = 100 * max((each for each in saved if not math.isnan(each)), default=math.nan)
    words, limit = setting.words, f"{100 * ENERGY_SHARE:g} % of the GPU's energy"
    return [
        figure(f"{words}: largest trade-off benefit", trade_off, "%", goal),
        figure(f"{words}: largest energy benefit", energy, "%"),
        figure(f"{words}: largest latency benefit", latency, "%"),
        figure(f"{words}: networks with a trade-off benefit", float(gaining[:, 1].sum()), number),
        figure(f"{words}: networks with any benefit", float(gaining.any(axis=1).sum()), number),
        figure(f"{words}: most time saved at {limit}", most_saved, "%"),
    ]


def _alone(singles: tuple[MappingCost, ...]) -> list[str]:
    return [f"{1e3 * each.time_s:.2f} / {1e3 * each.energy_j:.0f}" for each in singles]


def _share(share: float) -> str:
    return "none" if math.isnan(share) or share < LEAST else f"{100 * share:.1f}"


def _words(gain: Gain) -> str:
    if gain.share < LEAST or gain.mapping is None:
        return "none"
    return f"{_share(gain.share)} {gain.mapping.mapping.name}"
