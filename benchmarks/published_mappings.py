"""Published rates of whole networks under mappings, and the model's for each.

`data/mappings.csv`: ResNet-18 on a Xavier NX with its stages on the GPU or a DLA, engines by
torch2trt (NVIDIA), batch 1. The power mode is not stated and taken to be 15 W. Nothing is fitted to
these rows; those of the GPU and the DLA alone are in `published.csv`.
"""

from __future__ import annotations

import csv
from typing import NamedTuple

import numpy as np

from benchmarks.figures import Figure, figure
from benchmarks.published_groups import DATA, GPU_AND_DLA
from envs.catalog.reference_networks import reference_groups
from envs.mappings.model_costs import group_costs
from envs.simulator.machine import machine_of
from envs.simulator.parameters import SOFTWARE, ParameterSet
from envs.spec import accelerator
from envs.spec.mapping import Mapping
from tuner.console import table


class MappingTime(NamedTuple):
    """The published time of a network under a mapping, and the model's [ms]."""

    board: str
    network: str
    precision: str
    mapping: str
    published_ms: float
    model_ms: float


def mapping_times(volta: ParameterSet) -> list[MappingTime]:
    """Return all published mappings beside the model's times, engines as `trtexec` builds them."""
    parameters = volta.with_values(**SOFTWARE["trtexec"])
    places = [accelerator(name) for name in GPU_AND_DLA]
    found = []
    with (DATA / "mappings.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            machine = machine_of(row["board"], row["mode"], row["precision"], row["precision"])
            costs = group_costs(reference_groups(row["network"]), places, machine, parameters)
            where = Mapping.parse(row["mapping"]).by_group(costs.groups)
            time_s, _ = costs.of([GPU_AND_DLA.index(name) for name in where])
            found.append(
                MappingTime(
                    *(row[key] for key in ("board", "network", "precision", "mapping")),
                    1e3 / float(row["throughput_ips"]),
                    1e3 * time_s,
                )
            )
    return found


def mapping_figures(volta: ParameterSet) -> list[Figure]:
    """Print published mappings beside the model's times, and return how far these are off."""
    times = mapping_times(volta)
    print("Whole networks under mappings, published and model [ms]")
    lines = [[*each[:4], f"{each.published_ms:.2f}", f"{each.model_ms:.2f}"] for each in times]
    table(["board", "network", "precision", "mapping", "published", "model"], lines)
    errors = 100 * np.abs([each.model_ms / each.published_ms - 1 for each in times])
    label = "resnet18 on Xavier NX under mappings with two transitions: error of the time"
    return [
        figure(f"{label}, median", float(np.median(errors)), "%"),
        figure(f"{label}, largest", float(np.max(errors)), "%"),
    ]
