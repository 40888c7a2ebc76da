"""Pairs of networks at once: predicted schedules against those of HaX-CoNN's artifact."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

from benchmarks.figures import Figure, figure
from benchmarks.mapping_gain_networks import LEAST, Setting, costs_of_network
from benchmarks.published_groups import modelled, published_groups
from benchmarks.published_schedules import ORIN, XAVIER, contention_of
from envs.mappings.costs import GroupCosts
from envs.mappings.model_costs import merged
from envs.spec.mapping import Mapping
from tuner.console import table
from tuner.placement.schedules import best_schedule, schedule_of
from tuner.placement.schedules_data import Contention, Together

#: Layer groups of a network at most; the solver proves its answers in seconds.
MAX_GROUPS = 24


class Pair(NamedTuple):
    """Two networks at once, with the published times of a batch of both [ms].

    Attributes:
        networks: in the catalogue.
        on_dla: which of them is on the DLA in the published "GPU & DLA".
        gpu_ms, split_ms, hax_ms: GPU only; whole networks on GPU and DLA; HaX-CoNN.
        gain: over the best of its baselines, %.
        source: which part of the artifact.
    """

    networks: tuple[str, str]
    on_dla: int
    gpu_ms: float
    split_ms: float
    hax_ms: float
    gain: float
    source: str


#: github.com/ismetdagli/HaX-CoNN, output_expected/multi_dnn_expected.txt and README. Its scripts
#: compare unequal things: "GPU only" adds two latencies in experiments 1 and 3, and takes the
#: larger one in 2 and 4; "GPU & DLA" is one of the two ways of placing the networks, though both
#: are run; the starter guide and Orin's "GPU & DLA" add latencies where a schedule's are not added.
#: GoogLeNet takes 3.7 ms on the DLA alone (README), so that ResNet-101 took at most 8.7 of the 12.4
#: ms of the starter guide: whole networks were done in 8.7 ms, before the schedule of groups.
PAIRS = (
    (XAVIER, Pair(("googlenet", "resnet101"), 1, 8.1, 10.2, 7.8, 4.9, "experiment 1")),
    (XAVIER, Pair(("inception_v4", "resnet152"), 0, 18.1, 16.7, 14.4, 15.7, "experiment 2")),
    (XAVIER, Pair(("alexnet_grouped", "resnet101"), 1, 13.4, 10.4, 8.4, 23.9, "experiment 3")),
    (XAVIER, Pair(("vgg19", "resnet152"), 0, 15.6, 19.8, 13.6, 15.2, "experiment 4")),
    (XAVIER, Pair(("googlenet", "resnet101"), 0, 12.6, 12.4, 10.3, 20.6, "starter guide")),
    (ORIN, Pair(("googlenet", "resnet101"), 1, 2.42, 2.99, 1.93, 6.8, "Orin")),
)


class Predicted(NamedTuple):
    """Hold what the model says of a pair [ms], and the mappings of the best schedule."""

    gpu_ms: float
    splits_ms: tuple[float, float]
    best_ms: float
    bound_ms: float
    mappings: str
    seconds: float

    @property
    def gain(self) -> float:
        """Return the gain over the best of whole networks, %."""
        return 100 * (min(self.gpu_ms, *self.splits_ms) / self.best_ms - 1)


def predicted(
    networks: tuple[GroupCosts, GroupCosts], contention: Contention, transitions: int = 1
) -> Predicted:
    """Return the best schedule of two networks, and whole networks on GPU and DLA."""
    few, starts = zip(*(merged(each, MAX_GROUPS) for each in networks), strict=True)
    together = Together(few, contention)
    began = time.monotonic()
    best = best_schedule(together, "makespan", transitions)
    seconds = time.monotonic() - began
    assert best is not None

    def whole_ms(*places: int) -> float:
        chosen = tuple((place,) * costs.groups for place, costs in zip(places, few, strict=True))
        return 1e3 * schedule_of(together, chosen).makespan_s

    return Predicted(
        whole_ms(0, 0),
        (whole_ms(1, 0), whole_ms(0, 1)),
        1e3 * best.makespan_s,
        1e3 * best.bound,
        " and ".join(
            Mapping(each.accelerators, tuple(int(first[stop]) for stop in each.stops)).name
            for each, first in zip(best.mappings, starts, strict=True)
        ),
        seconds,
    )


def pair_figures(quick: bool) -> list[Figure]:
    """Print predicted and published times of the pairs, and return how far the gains are apart."""
    rows, figures, longest, winners = [], list[Figure](), 0.0, 0
    for setting, pair in PAIRS:
        contention = contention_of(setting)
        first, second = (costs_of_network(name, setting) for name in pair.networks)
        found = predicted((first, second), contention)
        longest = max(longest, found.seconds)
        winners += found.gain >= 100 * LEAST
        words = f"{pair.source}: {' and '.join(pair.networks)}"
        assigned = min(found.gpu_ms, found.splits_ms[pair.on_dla]) / found.best_ms - 1
        rows.append(
            [
                words,
                f"{found.gpu_ms:.1f} ({pair.gpu_ms:g})",
                f"{min(found.splits_ms):.1f}",
                f"{found.splits_ms[pair.on_dla]:.1f} ({pair.split_ms:g})",
                f"{found.best_ms:.1f} ({pair.hax_ms:g})",
                f"{found.gain:.1f} ({pair.gain:g})",
                f"{100 * assigned:.1f}",
                found.mappings,
            ]
        )
        apart = abs(found.gain - pair.gain)
        figures.append(figure(f"{words}: predicted gain", found.gain, "%"))
        figures.append(figure(f"{words}: from the published gain", apart, "points", "<= 8"))
        figures.append(
            figure(f"{words}: time over bound", 100 * (found.best_ms / found.bound_ms - 1), "%")
        )
        if not quick:
            figures += _variants(words, pair, setting, (first, second))
    print(
        "Two networks at once, ms for a batch of both, predicted (published). No schedule ends"
        " before the longer network would alone where it is fastest: where whole networks on GPU"
        " and DLA take little longer than that, groups gain nothing."
    )
    heads = ["pair", "GPU only", "GPU & DLA, better way", "GPU & DLA, published way"]
    table([*heads, "best schedule", "gain %", "gain % over the published way", "mappings"], rows)
    figures.append(
        figure("pairs in which a schedule of groups wins, as published", winners, "", ">= 6")
    )
    figures.append(figure("longest search for a schedule of a pair", longest, "s", "< 10"))
    return figures


def _variants(
    words: str, pair: Pair, setting: Setting, networks: tuple[GroupCosts, GroupCosts]
) -> list[Figure]:
    """Return the gains with two transitions, other engines, and published times of groups."""
    contention = contention_of(setting)
    found = {"with two transitions": predicted(networks, contention, 2)}
    for how, other in (
        ("with linear DLA formats", setting._replace(native=False)),
        ("with fast engines", setting._replace(software="mlperf")),
    ):
        first, second = (costs_of_network(name, other) for name in pair.networks)
        found[how] = predicted((first, second), contention_of(other))
    known = {each.network: each for each in published_groups()}
    if pair.networks[0] in known and setting is XAVIER:
        times = known[pair.networks[0]]
        measured = replace(modelled(times, setting.parameters), time_s=times.time_ms * 1e-3)
        found[f"with published times of {times.network}"] = predicted(
            (measured, networks[1]), contention
        )
    return [figure(f"{words}: predicted gain {how}", each.gain, "%") for how, each in found.items()]
