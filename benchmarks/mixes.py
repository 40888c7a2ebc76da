"""How do critical networks and best effort share a board, by four ways of sharing and by ours?

Four mixes of a critical network (closed loop, even and Poisson arrivals) and one or two networks of
best effort. On the GPU alone, one request after another is simulated for

- `sequential`: the device serves one request at a time, in the order of arrival;
- `streams`: both run at once, their kernels in turns;
- `priorities`: the same, and critical kernels go first; between two of them a kernel of best effort
  begins;
- `barrier`: a request of best effort starts while no critical one waits, and runs to its end;
- `segments`: best effort gives way between the segments of its network.

The number of segments, instances and batch of best effort is the choice of the device model that
keeps p99 of the critical within `SLOWDOWN` of what it has alone. `placed` is the same choice over
all accelerators of the board, by the model. Every number is simulated; kernels, times and shares
are those of the model, nothing is fitted to these mixes.

python -m benchmarks.mixes
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.mixes_simulation import Client, Found, simulated
from envs.arrays import Floats, Placements
from envs.belief.local_search import search
from envs.catalog.boards import board
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import BATCHES, described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.tables import COSTS, position_of
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Objective,
    Tenant,
    Workload,
    accelerator,
)
from envs.spec.criticality import Criticality
from tuner.console import progress_bar, table

#: p99 of the critical beside best effort, over p99 alone.
SLOWDOWN = 1.1

#: Numbers of segments to choose from.
SEGMENTS = (4, 16)

#: Instances of one tenant on one accelerator, at most.
INSTANCES = 4


@dataclass(frozen=True)
class Mix:
    """A critical network beside best effort.

    Attributes:
        share: arrivals, as a share of the closed loop's rate; infinite for a closed loop.
        even: True for arrivals at equal distances.
    """

    name: str
    critical: str
    low: tuple[str, ...]
    share: float = math.inf
    even: bool = False


MIXES = (
    Mix("A, closed loop", "mobilenet_v3_large", ("resnet50",)),
    Mix("B, even arrivals", "yolov8n_640", ("resnet50",), 0.3, even=True),
    Mix("C, Poisson arrivals", "resnet50", ("yolov8n_640",), 0.3),
    Mix("D, Poisson arrivals", "ssd_mobilenet_v1", ("resnet50", "efficientnet_b0"), 0.4),
)

BOARDS = ("agx_orin_64", "agx_xavier")


@dataclass(frozen=True)
class Row:
    """One way of sharing in one mix.

    Attributes:
        slowdown: p99 of the critical over that alone.
        left: rate of best effort over what the critical leaves of its rate alone.
        total: rates over those alone, summed (system throughput).
    """

    way: str
    slowdown: float
    left: float
    total: float
    choice: str = ""


def model_of(
    name: str, mix: Mix, rate_ips: float, accelerators: Sequence[str] | None
) -> DeviceModel:
    """Return the model of a board with the tenants of a mix."""
    tables = [reference_network(each) for each in (mix.critical, *mix.low)]
    tenants = [Tenant(mix.critical, described(tables[0]), rate_ips)]
    for number, layers in enumerate(tables[1:]):
        low = described(layers)
        tenants.append(Tenant(f"{low.name}_{number}", low, criticality=Criticality.BEST_EFFORT))
    mode = next(iter(board(name).power_modes))
    device = device_of(name, mode)
    if accelerators is not None:
        kept = tuple(each for each in device.accelerators if each.name in accelerators)
        device = replace(device, accelerators=kept)
    return DeviceModel(machine_of(name, mode), _space(device, tenants), tuple(tables))


def _space(device: DeviceSpec, tenants: Sequence[Tenant]) -> ConfigurationSpace:
    return ConfigurationSpace(
        device.with_segments(SEGMENTS), Workload(tuple(tenants)), INSTANCES, BATCHES
    )


def single(space: ConfigurationSpace, tenants: Sequence[int], batch: int = 1) -> Placements:
    """Return one configuration [1, T, A, 2]: an instance on the Tensor Cores for these tenants."""
    placements = np.zeros((1, *space.shape, 2), dtype=np.int16)
    placements[0, list(tenants), space.device.accelerator_names.index("tensor")] = (1, batch)
    return placements


def client(model: DeviceModel, tenant: int, batch: int) -> Client:
    """Return an instance on the Tensor Cores, alone, by the model."""
    costs = model.nominal().table[
        :, 0, tenant, position_of(accelerator("tensor")), model.space.batches.index(batch)
    ]
    host_s, gpu_s, work_s = (
        costs[COSTS.index(each)] for each in ("host_s", "gpu_s", "exclusive_s")
    )
    return Client(float(host_s), float(work_s), float(gpu_s - work_s))


def chosen(model: DeviceModel, alone_ms: float) -> Placements:
    """Return the best configuration [1, T, A, 2] that keeps the critical within the slowdown."""
    limits = (SLOWDOWN * alone_ms, *(math.inf for _ in model.space.workload.tenants[1:]))
    found = search(model, model.nominal(), Objective(limits), np.random.default_rng(0))
    return found[:1]


def ways(
    model: DeviceModel, mix: Mix, rate_ips: float, placements: Placements
) -> dict[str, list[Client]]:
    """Return the clients of each way of sharing, the critical first."""
    critical = replace(client(model, 0, 1), rate_ips=rate_ips, even=mix.even)
    lows = [client(model, tenant, 1) for tenant in range(1, 1 + len(mix.low))]
    kernels = [len(each) for each in model.networks]
    many = [replace(low, pieces=count) for low, count in zip(lows, kernels[1:], strict=True)]
    cut = []
    for tenant, column, instances, batch in Configuration.of(placements[0]).slots():
        if tenant:
            segments = model.space.device.accelerators[column].segments
            one = client(model, tenant, batch)
            more_s = (segments - 1) * float(model.nominal().segment_s[0])
            cut += [replace(one, host_s=one.host_s + more_s, pieces=segments, first=1)] * instances
    return {
        "sequential": [replace(each, whole=True) for each in (critical, *lows)],
        "streams": [replace(critical, pieces=kernels[0]), *many],
        "priorities": [
            replace(critical, pieces=kernels[0]),
            *(replace(each, first=1) for each in many),
        ],
        "barrier": [critical, *(replace(low, first=1) for low in lows)],
        "segments": [critical, *cut],
    }


def rows_of(name: str, mix: Mix, seconds: float) -> list[Row]:
    """Return a row for each way of sharing a board."""
    closed = model_of(name, mix, math.inf, ["tensor"])
    able = closed.response(closed.nominal(), single(closed.space, range(1))).throughput_ips[0, 0]
    rate_ips = mix.share * float(able)
    model = model_of(name, mix, rate_ips, ["tensor"])
    alone = simulated([replace(client(model, 0, 1), rate_ips=rate_ips, even=mix.even)], seconds)[0]
    low_alone = [
        simulated([client(model, tenant, 1)], seconds)[0].rate_ips(seconds)
        for tenant in range(1, 1 + len(mix.low))
    ]
    response = model.response(model.nominal(), single(model.space, range(1)))
    placements = chosen(model, float(response.p99_ms[0, 0]))
    use = alone.rate_ips(seconds) * client(model, 0, 1).work_s
    rows = []
    for way, clients in ways(model, mix, rate_ips, placements).items():
        found = simulated(clients, seconds)
        owners = _owners(placements) if way == "segments" else range(1, len(clients))
        batches = _batches(placements) if way == "segments" else [1] * (len(clients) - 1)
        lows = np.zeros(len(mix.low))
        for seen, owner, batch in zip(found[1:], owners, batches, strict=True):
            lows[owner - 1] += batch * seen.rate_ips(seconds)
        choice = model.space.describe(Configuration.of(placements[0])) if way == "segments" else ""
        rows.append(_row(way, found[0], alone, lows / low_alone, seconds, 1 - use, choice))
    rows.append(placed(name, mix, rate_ips, np.array(low_alone), 1 - use))
    return rows


def _owners(placements: Placements) -> list[int]:
    slots = Configuration.of(placements[0]).slots()
    return [tenant for tenant, _, count, _ in slots if tenant for _ in range(count)]


def _batches(placements: Placements) -> list[int]:
    slots = Configuration.of(placements[0]).slots()
    return [batch for tenant, _, count, batch in slots if tenant for _ in range(count)]


def _row(
    way: str, seen: Found, alone: Found, lows: Floats, seconds: float, left: float, choice: str
) -> Row:
    critical = seen.rate_ips(seconds) / alone.rate_ips(seconds)
    return Row(
        way,
        seen.p99_ms / alone.p99_ms,
        float(lows.sum()) / max(left, 1e-9),
        critical + float(lows.sum()),
        choice,
    )


def placed(name: str, mix: Mix, rate_ips: float, low_alone: Floats, left: float) -> Row:
    """Return the row of the best configuration over all accelerators, by the model."""
    model = model_of(name, mix, rate_ips, None)
    alone = model.response(model.nominal(), single(model.space, range(1)))
    placements = chosen(model, float(alone.p99_ms[0, 0]))
    found = model.response(model.nominal(), placements)
    critical = float(found.throughput_ips[0, 0] / alone.throughput_ips[0, 0])
    lows = found.throughput_ips[0, 1:] / low_alone
    return Row(
        "placed",
        float(found.p99_ms[0, 0] / alone.p99_ms[0, 0]),
        float(lows.sum()) / max(left, 1e-9),
        critical + float(lows.sum()),
        model.space.describe(Configuration.of(placements[0])),
    )


def figures_of(name: str, mix: Mix, rows: Sequence[Row]) -> list[Figure]:
    """Return the figures of one mix on one board; ours have goals."""
    by_way = {row.way: row for row in rows}
    start, ours = f"{name}, {mix.name}", by_way["segments"]
    first = by_way["sequential"].total
    return [
        figure(f"{start}: p99 of the critical over alone, segments", ours.slowdown, "x", "<= 1.1"),
        figure(f"{start}: best effort over what is left, segments", 100 * ours.left, "%", ">= 80"),
        *(
            figure(f"{start}: p99 of the critical over alone, {way}", by_way[way].slowdown, "x")
            for way in ("sequential", "streams", "priorities", "barrier", "placed")
        ),
        *(
            figure(f"{start}: total throughput over sequential, {way}", row.total / first, "x")
            for way, row in by_way.items()
            if way != "sequential"
        ),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--boards", nargs="+", default=list(BOARDS))
    arguments.add_argument("--seconds", type=float, default=30.0, help="simulated, of each way")
    given = arguments.parse_args()
    figures: list[Figure] = []
    lines = []
    with progress_bar("mixes", len(given.boards) * len(MIXES)) as advance:
        for name in given.boards:
            for mix in MIXES:
                rows = rows_of(name, mix, given.seconds)
                figures += figures_of(name, mix, rows)
                first = rows[0].total
                lines += [
                    [
                        name,
                        mix.name,
                        row.way,
                        f"{row.slowdown:.2f}",
                        f"{100 * row.left:.0f}",
                        f"{row.total:.2f}",
                        f"{row.total / first:.2f}",
                        row.choice,
                    ]
                    for row in rows
                ]
                advance(f"{name}, {mix.name}")
    head = [
        *("board", "mix", "way", "critical p99 [x alone]", "best effort [% of what is left]"),
        *("system throughput", "over sequential", "choice"),
    ]
    table(head, lines)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
