"""How do critical networks and best effort share a board, by four ways of sharing and by ours?

Four mixes of a critical network (closed loop, even and Poisson arrivals) and one or two networks of
best effort. On the GPU alone, one request after another is simulated for

- `sequential`: the device serves one request at a time, in the order of arrival;
- `streams`: both run at once, their kernels in turns;
- `priorities`: the same, and critical kernels go first; but in the gap between two of them, which
  is assumed to be `GAP_S`, a kernel of best effort begins and runs to its end;
- `barrier`: a request of best effort starts while no critical one waits, and runs to its end;
- `segments`: best effort gives way between the segments of its network.

The number of segments, instances and batch of best effort is the device model's choice within
`SLOWDOWN` of p99 that the critical has alone, or within a tighter limit where its choice broke that
one when it was simulated. `placed` is the model's choice over all accelerators of the board, and
its prediction. Every number is simulated; kernels, times and shares are those of the model, nothing
is fitted to these mixes.

What is left for best effort is the share of time in which the critical leaves the GPU alone, of the
rate that the same instances have alone in one piece. System throughput is the sum of rates over
those of one instance alone at a batch of 1.

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
from envs.arrays import FloatArray, Placements
from envs.belief.local_search import search
from envs.catalog.boards import board
from envs.catalog.reference_networks import reference_network
from envs.graph.layer_table import LayerTable
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

#: By how much tighter limits the model chooses within, in logarithms, until a choice keeps p99.
TIGHTER = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)

#: Between two kernels of one stream.
GAP_S = 2e-6

#: Numbers of segments to choose from.
SEGMENTS = (4, 16, 32)

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
        left: rate of best effort over what the critical leaves of the same instances' rate alone.
        total: system throughput.
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
    tenants = [
        replace(tenant, weight=1 / rate)
        for tenant, rate in zip(tenants, _alone_ips(name, tables), strict=True)
    ]
    mode = next(iter(board(name).power_modes))
    device = device_of(name, mode)
    if accelerators is not None:
        kept = tuple(each for each in device.accelerators if each.name in accelerators)
        device = replace(device, accelerators=kept)
    return DeviceModel(machine_of(name, mode), _space(device, tenants), tuple(tables))


def _alone_ips(name: str, tables: Sequence[LayerTable]) -> list[float]:
    """Return the rate of each network alone, one instance on the Tensor Cores at a batch of 1."""
    mode = next(iter(board(name).power_modes))
    found = []
    for layers in tables:
        space = _space(device_of(name, mode), [Tenant("one", described(layers))])
        model = DeviceModel(machine_of(name, mode), space, (layers,))
        alone = model.response(model.nominal(), single(space, range(1)))
        found.append(float(alone.throughput_ips[0, 0]))
    return found


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


def chosen(model: DeviceModel, alone_ms: float, margin: float = 0.0) -> Placements:
    """Return the best configuration [1, T, A, 2] that keeps the critical within the slowdown.

    Where only the Tensor Cores are there, the critical keeps its one instance at a batch of 1.
    """
    limit_ms = SLOWDOWN * alone_ms * math.exp(-margin)
    limits = (limit_ms, *(math.inf for _ in model.space.workload.tenants[1:]))
    found = search(model, model.nominal(), Objective(limits), np.random.default_rng(0))
    if len({each.whole for each in model.space.device.accelerators}) == 1:
        own = single(model.space, range(1))[0, 0]
        found = found[(found[:, 0] == own).all(axis=(1, 2))]
    return found[:1]


def clients_of(model: DeviceModel, placements: Placements, cut: bool) -> list[list[Client]]:
    """Return the instances of each network of best effort, in its segments or in one piece."""
    found: list[list[Client]] = [[] for _ in model.networks[1:]]
    for tenant, column, instances, batch in Configuration.of(placements[0]).slots():
        if not tenant:
            continue
        segments = model.space.device.accelerators[column].segments if cut else 1
        one = client(model, tenant, batch)
        more_s = (segments - 1) * float(model.nominal().segment_s[0])
        one = replace(one, host_s=one.host_s + more_s, pieces=segments, first=1, batch=batch)
        found[tenant - 1] += [one] * instances
    return found


@dataclass(frozen=True)
class Setting:
    """A mix on the Tensor Cores of a board.

    Attributes:
        critical: its one instance.
        lows: one instance of each network of best effort at a batch of 1.
        alone: the critical alone.
        low_alone: rates [lows] alone.
        seconds: that are simulated.
    """

    model: DeviceModel
    critical: Client
    lows: list[Client]
    alone: Found
    low_alone: FloatArray
    seconds: float

    @property
    def left(self) -> float:
        """Return the share of time in which the critical leaves the GPU alone."""
        return max(1 - self.alone.rate_ips(self.seconds) * self.critical.work_s, 1e-9)

    def row(self, way: str, critical: Client, lows: list[list[Client]], choice: str = "") -> Row:
        """Simulate one way of sharing: instances of each network of best effort."""
        every = [each for group in lows for each in group]
        found = simulated([critical, *every], self.seconds)
        rates = _by_group(lows, found[1:], self.seconds)
        alone = _by_group(lows, simulated(_in_one_piece(every), self.seconds), self.seconds)
        total = found[0].rate_ips(self.seconds) / self.alone.rate_ips(self.seconds)
        return Row(
            way,
            found[0].p99_ms / self.alone.p99_ms,
            float((rates / alone).mean() / self.left),
            total + float((rates / self.low_alone).sum()),
            choice,
        )


def _by_group(groups: list[list[Client]], found: list[Found], seconds: float) -> FloatArray:
    """Return the inferences a second of each group of clients, which stand in a row."""
    rows, rates = iter(found), []
    for group in groups:
        rates.append(sum(each.batch * next(rows).rate_ips(seconds) for each in group))
    return np.array(rates)


def _in_one_piece(clients: list[Client]) -> list[Client]:
    return [replace(each, pieces=1, gap_s=0.0, whole=False) for each in clients]


def setting_of(name: str, mix: Mix, seconds: float) -> Setting:
    """Return a mix on the Tensor Cores of a board."""
    closed = model_of(name, mix, math.inf, ["tensor"])
    able = closed.response(closed.nominal(), single(closed.space, range(1))).throughput_ips[0, 0]
    rate_ips = mix.share * float(able)
    model = model_of(name, mix, rate_ips, ["tensor"])
    critical = replace(client(model, 0, 1), rate_ips=rate_ips, even=mix.even)
    lows = [client(model, tenant, 1) for tenant in range(1, 1 + len(mix.low))]
    alone = simulated([critical], seconds)[0]
    low_alone = [simulated([low], seconds)[0].rate_ips(seconds) for low in lows]
    return Setting(model, critical, lows, alone, np.array(low_alone), seconds)


def rows_of(name: str, mix: Mix, seconds: float) -> list[Row]:
    """Return a row for each way of sharing a board."""
    own = setting_of(name, mix, seconds)
    kernels = [len(each) for each in own.model.networks]
    many = [
        replace(low, pieces=count, gap_s=GAP_S)
        for low, count in zip(own.lows, kernels[1:], strict=True)
    ]
    critical = replace(own.critical, pieces=kernels[0], gap_s=GAP_S)
    return [
        own.row(
            "sequential",
            replace(own.critical, whole=True),
            [[replace(each, whole=True)] for each in own.lows],
        ),
        own.row("streams", critical, [[each] for each in many]),
        own.row("priorities", critical, [[replace(each, first=1)] for each in many]),
        own.row("barrier", own.critical, [[replace(each, first=1)] for each in own.lows]),
        in_segments(own),
        placed(name, mix, own),
    ]


def in_segments(own: Setting) -> Row:
    """Return the row of the model's first choice that keeps p99 when it is simulated."""
    model = own.model
    alone_ms = model.response(model.nominal(), single(model.space, range(1))).p99_ms[0, 0]
    rows = []
    for margin in TIGHTER:
        placements = chosen(model, float(alone_ms), margin)
        choice = model.space.describe(Configuration.of(placements[0]))
        rows.append(
            own.row("segments", own.critical, clients_of(model, placements, cut=True), choice)
        )
        if rows[-1].slowdown <= SLOWDOWN:
            return rows[-1]
    return min(rows, key=lambda row: row.slowdown)


def placed(name: str, mix: Mix, own: Setting) -> Row:
    """Return the row of the best configuration over all accelerators, by the model."""
    model = model_of(name, mix, own.critical.rate_ips, None)
    alone = model.response(model.nominal(), single(model.space, range(1)))
    placements = chosen(model, float(alone.p99_ms[0, 0]))
    found = model.response(model.nominal(), placements)
    critical = float(found.throughput_ips[0, 0] / alone.throughput_ips[0, 0])
    lows = found.throughput_ips[0, 1:] / own.low_alone
    return Row(
        "placed",
        float(found.p99_ms[0, 0] / alone.p99_ms[0, 0]),
        math.nan,
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
            figure(
                f"{start}: total throughput over sequential, {way}",
                row.total / first,
                "x",
                ">= 1.92" if way == "placed" else "",
            )
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
