"""Published times of two networks on one board under given mappings, and the model's for each.

`data/schedules.csv`: what HaX-CoNN's artifact ran side by side, by the mappings that its scripts
name. The scripts count layers of the Caffe file as TensorRT reads it; here a mapping stops at the
layer group behind as many convolutions and fully connected layers. Times are the larger one of the
two latencies of a row. "GPU only" of experiments 1 and 3 adds two latencies, one of them of another
run; H2H of experiment 4 and the schedule of the starter guide are read from logs of other mappings:
these are left out. `data/dla_beside.csv`: AlexNet on the DLA beside other networks on the GPU, from
the same artifact. Both were measured by two processes that start each batch together, with a
profiler on. Nothing is fitted to these rows.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from benchmarks.figures import Figure, figure
from benchmarks.mapping_gain_networks import PLACES, SETTINGS, Setting, costs_of_network
from benchmarks.published_groups import DATA, published_groups
from envs.arrays import FloatArray
from envs.mappings.costs import GroupCosts
from envs.spec.mapping import Mapping
from tuner.console import table
from tuner.placement.schedules import schedule_of
from tuner.placement.schedules_data import Chosen, Contention, Task, Together

#: The artifact measured with trtexec, the time on the device alone.
XAVIER, ORIN = (each._replace(software="trtexec") for each in SETTINGS[:2])

#: The scheme whose gain over the others is published.
OURS = "HaX-CoNN"


#: The costs of a network's layer groups on a board.
CostsOf = Callable[[str, Setting], GroupCosts]


class ScheduleTime(NamedTuple):
    """The published time of two networks at once under given mappings [ms]."""

    setting: Setting
    experiment: str
    scheme: str
    networks: tuple[str, str]
    mappings: tuple[str, str]
    time_ms: float

    def model_ms(self, contention: Contention, costs_of: CostsOf = costs_of_network) -> float:
        """Return the model's time; an accelerator runs the groups that come first."""
        costs = tuple(costs_of(name, self.setting) for name in self.networks)
        chosen = tuple(
            tuple(PLACES.index(each) for each in Mapping.parse(name).by_group(network.groups))
            for name, network in zip(self.mappings, costs, strict=True)
        )
        together = Together(costs, contention)
        return 1e3 * schedule_of(together, chosen, first_come(together, chosen)).makespan_s


def first_come(together: Together, chosen: Chosen) -> list[Task]:
    """Return all groups in the order in which they begin where each begins as soon as it can.

    Times are those without contention.
    """
    steps = together.steps(chosen)
    ready_s, free_s = [0.0] * len(chosen), dict.fromkeys((s.resource for s in steps.values()), 0.0)
    waiting, order = [list(range(len(each))) for each in chosen], list[Task]()
    while any(waiting):
        start_s, _, network = min(
            (max(ready_s[at], free_s[steps[at, groups[0]].resource]), ready_s[at], at)
            for at, groups in enumerate(waiting)
            if groups
        )
        task = network, waiting[network].pop(0)
        ready_s[network] = free_s[steps[task].resource] = start_s + steps[task].alone_s
        order.append(task)
    return order


def contention_of(setting: Setting) -> Contention:
    """Return the model's contention on a board."""
    return Contention.of(setting.machine, setting.parameters)


@cache
def published_schedules() -> tuple[ScheduleTime, ...]:
    """Return the published times of pairs of networks under given mappings."""
    with (DATA / "schedules.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            ScheduleTime(
                XAVIER if row["board"] == XAVIER.board else ORIN,
                row["experiment"],
                row["scheme"],
                (row["first"], row["second"]),
                (row["first_mapping"], row["second_mapping"]),
                float(row["time_ms"]),
            )
            for row in csv.DictReader(file)
        )


def beside_ms() -> tuple[list[str], FloatArray]:
    """Return networks on a Xavier's GPU, and the times [ms] of AlexNet on a DLA beside each."""
    with (DATA / "dla_beside.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["on_gpu"] for row in rows], np.array([float(row["dla_ms"]) for row in rows])


def alexnet_alone_ms() -> float:
    """Return the published time of AlexNet alone on the DLA: of its groups, without transitions."""
    [alexnet] = [each for each in published_groups() if each.network == "alexnet_grouped"]
    return float(alexnet.time_ms[:, 1].sum())


def slowdowns(
    on_gpu: str, on_dla: str, contention: Contention, costs_of: CostsOf = costs_of_network
) -> tuple[float, float]:
    """Return how much longer two networks take side by side on a Xavier's GPU and DLA than alone.

    Args:
        on_gpu: the network there.
        on_dla: the other one.
        contention: how they slow each other.
        costs_of: what they cost side by side.
    """
    alone = [costs_of_network(name, XAVIER) for name in (on_gpu, on_dla)]
    chosen = tuple((at,) * each.groups for at, each in enumerate(alone))
    together = Together(tuple(costs_of(name, XAVIER) for name in (on_gpu, on_dla)), contention)
    found = schedule_of(together, chosen).finish_s
    first, second = (
        end / each.of(where)[0] for end, each, where in zip(found, alone, chosen, strict=True)
    )
    return first, second


def traffic_byte_s(network: str, seconds: float) -> float:
    """Return the mean traffic of a batch of a network on a Xavier's GPU over these seconds.

    Of a batch that takes longer, only the part that fits counts.
    """
    costs = costs_of_network(network, XAVIER)
    whole_s = costs.of((0,) * costs.groups)[0]
    return float(costs.bytes[:, 0].sum()) / max(whole_s, seconds)


def schedule_figures() -> list[Figure]:
    """Print the published schedules beside the model's, and return how far these are off."""
    rows, figures, errors, right = [], list[Figure](), [], 0
    experiments = dict.fromkeys(each.experiment for each in published_schedules())
    for experiment in experiments:
        mine = [each for each in published_schedules() if each.experiment == experiment]
        model = {each.scheme: each.model_ms(contention_of(each.setting)) for each in mine}
        known = {each.scheme: each.time_ms for each in mine}
        words = f"{experiment}: {' and '.join(mine[0].networks)}"
        for each in mine:
            times = (f"{known[each.scheme]:.2f}", f"{model[each.scheme]:.2f}")
            rows.append([words, each.scheme, " and ".join(each.mappings), *times])
        errors += [abs(model[scheme] / known[scheme] - 1) for scheme in known]
        gains = [_gain(known), _gain(model)]
        right += min(known, key=known.__getitem__) == min(model, key=model.__getitem__)
        for name, gain in zip(("published", "model"), gains, strict=True):
            figures.append(figure(f"published schedules, {words}: gain, {name}", gain, "%"))
    print("Two networks at once under the artifact's own mappings, ms for a batch of both")
    table(["experiment and pair", "scheme", "mappings", "published", "model"], rows)
    label = "published schedules"
    return [
        figure(f"{label}: error of the time, median", 100 * float(np.median(errors)), "%"),
        figure(f"{label}: error of the time, largest", 100 * max(errors), "%"),
        figure(f"{label}: the fastest one is the model's", right, f"of {len(experiments)}"),
        *figures,
    ]


def _gain(times_ms: dict[str, float]) -> float:
    """Return the gain of HaX-CoNN's schedule over the best other one, %."""
    best = min(each for scheme, each in times_ms.items() if scheme != OURS)
    return 100 * (best / times_ms[OURS] - 1)


def beside_figures() -> list[Figure]:
    """Print AlexNet on the DLA beside other networks, and return what its time goes with."""
    networks, times_ms = beside_ms()
    byte_s = [traffic_byte_s(name, ms * 1e-3) for name, ms in zip(networks, times_ms, strict=True)]
    model = [slowdowns(name, "alexnet_grouped", contention_of(XAVIER))[1] for name in networks]
    published = times_ms / alexnet_alone_ms()
    print("AlexNet on the DLA of a Xavier beside other networks on the GPU, over alone")
    table(
        ["on the GPU", "its traffic meanwhile [GB/s]", "published", "model"],
        [
            [name, f"{moved / 1e9:.1f}", f"{known:.2f}", f"{ours:.2f}"]
            for name, moved, known, ours in zip(networks, byte_s, published, model, strict=True)
        ],
    )
    label = "AlexNet on the DLA beside other networks"
    rank = float(spearmanr(byte_s, times_ms).statistic)
    return [
        figure(f"{label}: slowdown, published, median", float(np.median(published)), "times"),
        figure(f"{label}: slowdown, model, median", float(np.median(model)), "times"),
        figure(f"{label}: rank correlation with the others' traffic", rank, ""),
    ]
