"""Compare ways in which critical networks and best effort share a board, four others and ours.

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
from benchmarks.mixes_world import (
    BOARDS,
    MIXES,
    SLOWDOWN,
    Mix,
    chosen,
    client,
    clients_of,
    model_of,
    single,
)
from envs.arrays import FloatArray
from envs.simulator.device_model import DeviceModel
from envs.spec import Configuration
from tuner.console import progress_bar, table

#: By how much tighter limits the model chooses within, in logarithms, until a choice keeps p99.
TIGHTER = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)

#: Between two kernels of one stream.
GAP_S = 2e-6


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
