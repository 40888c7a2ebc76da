"""Print what mappings of single networks gain over the best single accelerator, by the model.

AGX Xavier in FP16 and AGX Orin 64 GB in INT8, both at MAXN, batch 1, GPU and one DLA core; nothing
is fitted to measurements of mappings. Energy is that of the whole module. The gain is that of
`envs.mappings.gain`: of latency, of energy, and of both as a geometric mean (the trade-off), for
mappings with at most two transitions. Among the single accelerators is the engine for a DLA that
leaves to the GPU only what the DLA does not run: it takes no choice of a mapping.

The paper that first reported such gains (RSDHA 2021: up to 28 % of an energy and performance
trade-off on Xavier) gives neither its formula nor the networks in public, so that its number is
shown beside ours and is no goal. By our formula a network gains only where its layers differ in how
much faster the GPU is: where they are all alike, the product of time and energy is least at one of
the two ends.

python -m benchmarks.mapping_gains [--json PATH]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from envs.catalog.reference_networks import reference_groups
from envs.mappings.gain import WEIGHTS, gain_of
from envs.mappings.model_costs import group_costs, whole_costs
from envs.mappings.search import MappingCost, pareto_front
from envs.simulator.machine import machine_of
from envs.simulator.parameters import SOFTWARE, nominal
from envs.spec import accelerator
from envs.spec.mapping import Mapping
from tuner.console import table

#: Boards of the papers, with the precision of their engines.
BOARDS = {"agx_xavier": "fp16", "agx_orin_64": "int8"}

#: Image classifiers of the catalogue that the papers use, and some more.
NETWORKS = (
    *("alexnet_grouped", "vgg16", "vgg19", "googlenet", "inception_v4", "densenet121"),
    *("resnet18", "resnet50", "resnet101", "resnet152", "squeezenet1_1", "mobilenet_v2"),
)

#: The software of the other published layer times; engines as trtexec builds them are slower.
BUILDS = ("mlperf", "tensorrt")

ACCELERATORS = ("tensor", "dla0")
TRANSITIONS = 2

#: Gains below this are called none [%].
SHOWN = 0.5

#: The largest published trade-off benefit on Xavier [%].
PUBLISHED = 28.0


@dataclass(frozen=True)
class Gains:
    """The gains of a network on a board by weight, and the mapping with the best trade-off."""

    network: str
    shares: dict[float, float]
    mapping: str


def gains(network: str, board: str, build: str = BUILDS[0]) -> Gains:
    """Return what mappings of a reference network gain on a board."""
    precision = BOARDS[board]
    machine = machine_of(board, "MAXN", precision, precision)
    parameters = nominal(machine.architecture).with_values(**SOFTWARE[build])
    places = [accelerator(name) for name in ACCELERATORS]
    groups = reference_groups(network)
    costs = group_costs(groups, places, machine, parameters, name=network)
    times, energies = whole_costs(groups, places, machine, parameters)
    left = costs.of(np.where(np.isfinite(costs.time_s[:, 1]), 1, 0))
    times[1], energies[1] = min(times[1], left[0]), min(energies[1], left[1])
    singles = [
        MappingCost(Mapping((name,)), float(time_s), float(energy_j), ())
        for name, time_s, energy_j in zip(ACCELERATORS, times, energies, strict=True)
    ]
    front = pareto_front(costs, TRANSITIONS)
    found = {weight: gain_of(front, singles, weight) for weight in WEIGHTS}
    best = found[0.5].mapping
    return Gains(
        network,
        {weight: each.share for weight, each in found.items()},
        best.mapping.name if best is not None else "",
    )


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = parser(__doc__).parse_args()
    figures: list[Figure] = []
    for board in BOARDS:
        for build in BUILDS:
            found = [gains(name, board, build) for name in NETWORKS]
            print(f"{board}, engines as {build} builds them: gain over the best accelerator")
            table(
                ["network", *WEIGHTS.values(), "mapping of the best trade-off"],
                [
                    [each.network, *(_text(each.shares[w]) for w in WEIGHTS), each.mapping]
                    for each in found
                ],
            )
            figures += _figures(board, build, found)
    figures.append(figure("published trade-off on AGX Xavier (RSDHA 2021): up to", PUBLISHED, "%"))
    return report(figures, given.json)


def _text(share: float) -> str:
    return f"{share:.1%}" if 100 * share > SHOWN else "none"


def _figures(board: str, build: str, found: list[Gains]) -> list[Figure]:
    label = f"{board} as {build} builds"
    figures = [
        figure(f"{label}: {each.network}, {WEIGHTS[0.5]}", 100 * each.shares[0.5], "%")
        for each in found
    ]
    for weight, name in WEIGHTS.items():
        shares = np.array([100 * each.shares[weight] for each in found])
        figures += [
            figure(f"{label}: {name}, most", float(shares.max()), "%"),
            figure(f"{label}: {name}, median", float(np.median(shares)), "%"),
            figure(
                f"{label}: networks with {name} above {SHOWN:g} %",
                float((shares > SHOWN).sum()),
                f"of {len(NETWORKS)}",
            ),
        ]
    return figures


if __name__ == "__main__":
    sys.exit(main())
