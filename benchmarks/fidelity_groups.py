"""Figures of `benchmarks.fidelity` for layer groups.

Layer groups of GoogLeNet and AlexNet on AGX Xavier (FP16, GPU and DLA), outputs marked within
GoogLeNet, and single convolutions on the DLAs of an AGX Orin. Two forms of the prediction:

- as the model is, with engines as `trtexec` builds them, which the source used;
- calibrated: one factor an accelerator, from the time of the whole network there. AxoNN, whose
  published accuracy is the bar (95 to 98 % of a mapping's time), measures every layer instead.

The accuracy of mappings is that of all mappings with one or two transitions: the sum of the model's
group times against the sum of the published ones. Transitions are left out on both sides. No energy
of a layer group is published.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from benchmarks.figures import Figure, figure
from benchmarks.published_groups import (
    GPU_AND_DLA,
    GroupTimes,
    layer_ms,
    modelled,
    outputs,
    published_groups,
    published_layers,
)
from benchmarks.published_mappings import mapping_figures
from benchmarks.published_rows import Row
from envs.arrays import FloatArray, IntArray
from envs.simulator.parameters import SOFTWARE, ParameterSet
from tuner.console import table

#: The accuracy of AxoNN that the calibrated model is held to [%].
BAR = 95.0

#: The software of the published groups, and engines as fast as those of MLPerf submissions.
BUILDS = ("trtexec", "mlperf")


def group_figures(volta: ParameterSet, ampere: ParameterSet) -> list[Figure]:
    """Print the published costs beside the model's, and return the figures."""
    found = []
    for times in published_groups():
        ours = {
            name: 1e3 * modelled(times, volta.with_values(**SOFTWARE[name])).time_s
            for name in BUILDS
        }
        _print(times, ours[BUILDS[0]])
        for name in BUILDS:
            found += _totals(times, ours[name], name)
        found += _groups(times, ours[BUILDS[0]])
    found += _transfer(volta)
    return [*found, *_outputs(volta), *mapping_figures(volta), *_layers(ampere)]


def left_out_figures(rows: list[Row], outside: FloatArray) -> list[Figure]:
    """Return the accuracy of mappings by a fit without the published groups.

    Args:
        rows: [R] published rows.
        outside: [R] model over published for each, fitted without its source; NaN where none was.
    """
    found = []
    for times in published_groups():
        names = {f"{times.network}:{at}" for at in range(len(times.time_ms))}
        member = [row.group == "layer_group" and row.network in names for row in rows]
        ours = times.time_ms * outside[member].reshape(2, -1).T
        if np.isfinite(ours).all():
            median = float(np.median(accuracies(times, calibrated(times, ours))))
            label = f"{times.network} on Xavier, calibrated, source left out"
            found.append(figure(f"{label}: accuracy of mappings, median", median, "%"))
    return found


def calibrated(times: GroupTimes, ours: FloatArray) -> FloatArray:
    """Return the model's times [G, 2] with the published total of each accelerator."""
    return np.asarray(ours * times.time_ms.sum(axis=0) / ours.sum(axis=0))


def mappings_of(groups: int, transitions: tuple[int, ...] = (1, 2)) -> IntArray:
    """Return all mappings [N, G] to two accelerators with these numbers of transitions."""
    found = []
    for count in transitions:
        for stops in combinations(range(1, groups), count):
            parts = np.searchsorted(stops, np.arange(groups), side="right") % 2
            found += [parts, 1 - parts]
    return np.array(found)


def accuracies(times: GroupTimes, ours: FloatArray) -> FloatArray:
    """Return the accuracy [%] of the time of each mapping with one or two transitions."""
    groups = np.arange(len(ours))
    chosen = mappings_of(len(ours))
    expected, found = (values[groups, chosen].sum(axis=1) for values in (times.time_ms, ours))
    return np.asarray(100 * (1 - np.abs(found / expected - 1)))


def _print(times: GroupTimes, ours: FloatArray) -> None:
    print(f"{times.network}, AGX Xavier, FP16: published and model [ms], as the model is")
    fitted = calibrated(times, ours)
    lines = [
        [f"{start}..{stop - 1}"]
        + [
            f"{value:.3f}"
            for at in range(2)
            for value in (times.time_ms[index, at], ours[index, at], fitted[index, at])
        ]
        for index, (start, stop) in enumerate(pairwise(times.bounds))
    ]
    heads = [f"{name}{word}" for name in GPU_AND_DLA for word in ("", " model", " calibrated")]
    table(["layers", *heads], lines)


def _totals(times: GroupTimes, ours: FloatArray, build: str) -> list[Figure]:
    label = f"{times.network} on Xavier as {build} builds it"
    share = 100 * (ours.sum(axis=0) / times.time_ms.sum(axis=0) - 1)
    by_mapping = accuracies(times, ours)
    return [
        *(
            figure(f"{label}: sum of groups over published, {name}", share[at], "%")
            for at, name in enumerate(GPU_AND_DLA)
        ),
        figure(f"{label}: accuracy of mappings, median", float(np.median(by_mapping)), "%"),
        figure(f"{label}: accuracy of mappings, least", float(by_mapping.min()), "%"),
    ]


def _groups(times: GroupTimes, ours: FloatArray) -> list[Figure]:
    found, fitted = [], calibrated(times, ours)
    for word, values in (("as it is", ours), ("calibrated", fitted)):
        errors = 100 * np.abs(values / times.time_ms - 1)
        for at, name in enumerate(GPU_AND_DLA):
            label = f"{times.network} on Xavier, {word}: error of a group on {name}"
            found.append(figure(f"{label}, median", float(np.median(errors[:, at])), "%"))
            found.append(figure(f"{label}, largest", float(errors[:, at].max()), "%"))
    by_mapping = accuracies(times, fitted)
    label = f"{times.network} on Xavier, calibrated: accuracy of mappings"
    median = float(np.median(by_mapping))
    return [
        *found,
        figure(f"{label}, median", median, "%", f">= {BAR:g}"),
        figure(f"{label}, least", float(by_mapping.min()), "%"),
    ]


def _transfer(volta: ParameterSet) -> list[Figure]:
    """Return the accuracies of each network's mappings with the factors of the other one."""
    parameters = volta.with_values(**SOFTWARE[BUILDS[0]])
    pairs = [(times, 1e3 * modelled(times, parameters).time_s) for times in published_groups()]
    found = []
    for (own, ours), (other, theirs) in zip(pairs, reversed(pairs), strict=True):
        factors = other.time_ms.sum(axis=0) / theirs.sum(axis=0)
        median = float(np.median(accuracies(own, ours * factors)))
        label = f"{own.network} on Xavier, calibrated on {other.network}"
        found.append(figure(f"{label}: accuracy of mappings, median", median, "%"))
    return found


def _outputs(volta: ParameterSet) -> list[Figure]:
    published, model, names = outputs(volta)
    found = []
    for name in GPU_AND_DLA:
        member = np.array(names) == name
        label = f"googlenet on Xavier, marking an output on {name}"
        low, high = published[member].min(), published[member].max()
        found += [
            figure(f"{label}: published, least", 1e3 * low, "us"),
            figure(f"{label}: published, most", 1e3 * high, "us"),
            figure(f"{label}: model, median", 1e3 * float(np.median(model[member])), "us"),
        ]
    return found


def _layers(ampere: ParameterSet) -> list[Figure]:
    ratios: dict[str, list[float]] = {}
    for each in published_layers():
        kind = "depthwise" if each.layers.name.startswith("DW") else "convolutions"
        ratio = layer_ms(each, ampere) / each.latency_ms
        ratios.setdefault(f"{kind} in {each.precision}", []).append(ratio)
    found = []
    for name, values in ratios.items():
        over = np.array(values)
        label = f"single {name} on an AGX Orin's DLA"
        found += [
            figure(f"{label}: model over published, median", float(np.median(over)), "times"),
            figure(f"{label}: error, median", 100 * float(np.median(np.abs(over - 1))), "%"),
        ]
    return found
