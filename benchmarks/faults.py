"""Break things under a controller, and see whether it recovers.

Breaks one thing after the other, live and in the model, and looks at the next control periods.
Live means real ONNX Runtime sessions on this computer, with a client that keeps sending requests;
simulated means the model of an AGX Orin. After every fault the device must serve a valid
configuration within two control periods, break limits in at most one, and lose no request
silently.

python -m benchmarks.faults
python -m benchmarks.faults --worlds simulated
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.fault_restarts import AFTER, Result, killed
from benchmarks.fault_worlds import (
    GONE,
    HANG,
    KILL,
    NAN,
    NO_MEMORY,
    STUCK,
    WORLDS,
    World,
)
from benchmarks.figures import figure, parser, report
from benchmarks.setup import REFERENCE_BUNDLE
from envs.errors import RuntimeFault
from envs.spec import Measurement, judge_measurement
from tuner.console import progress_bar, table
from tuner.control.build import controller_of
from tuner.control.controller import ControlOptions
from tuner.control.guard import Phase
from tuner.control.journal import Journal
from tuner.control.period import Period

#: The largest number of periods before a fault.
BEFORE = 14


@dataclass(frozen=True)
class Fault:
    """One thing that breaks.

    Attributes:
        act: breaks it.
        can_keep: True if limits can be kept, and measured to be kept, while it lasts.
        ends_in: the phase in which it must end; None for any.
        fired: returns True if the fault really happened.
    """

    name: str
    act: Callable[[Campaign], object]
    can_keep: bool = True
    ends_in: Phase | None = None
    fired: Callable[[Campaign], bool] = lambda on: not on.world.pending()


class Campaign:
    """A controller on a world in which things break."""

    def __init__(
        self,
        world: World,
        folder: Path,
        period_s: float,
        bundle: Path = REFERENCE_BUNDLE,
        p99_ms: float = 100.0,
    ) -> None:
        self.world, self.folder = world, folder
        self.limits_path = folder / "limits.json"
        made = controller_of(
            world.service,
            {"p99_ms": p99_ms, "power_w": 60.0},
            self.limits_path,
            bundle,
            folder,
            ControlOptions(period_s),
        )
        self.controller, self.limits, self.last_good = made.controller, made.limits, made.last_good
        self.journal = Journal(folder / "journal.jsonl")

    def close(self) -> int:
        """End the world and count the requests that were lost silently."""
        return self.world.end()

    def period(self) -> Period:
        """Run one control period and write it to the journal."""
        period = self.controller.step()
        self.journal.write(period.as_dict(self.world.service.space))
        return period

    def settle(self) -> None:
        """Go on until the same configuration has kept the limits for two periods."""
        before = self.period()
        for _ in range(BEFORE):
            now = self.period()
            if now.kept and before.kept and now.configuration == before.configuration:
                return
            before = now
        raise RuntimeFault(f"nothing settled within {BEFORE} periods: {before}")

    def after(self, fault: Fault) -> tuple[int, int]:
        """Run some periods after a fault.

        Returns:
            The number of periods until it serves again as it should, and the number of periods
            that broke a limit or did not serve.
        """
        recovered, broken = 0, 0
        weights = self.world.service.space.workload.weights
        for number in range(1, AFTER + 1):
            period = self.period()
            served = (
                isinstance(period.outcome, Measurement)
                and period.outcome.tenants[0].throughput_ips > 0
            )
            beyond = (
                not isinstance(period.outcome, Measurement)
                or judge_measurement(period.outcome, period.objective, weights)[1] > 0
            )
            broken += fault.can_keep and beyond
            if not recovered and served and not (fault.can_keep and beyond):
                recovered = number
        if fault.ends_in is not None and period.phase is not fault.ends_in:
            raise RuntimeFault(
                f"{fault.name}: it ends in the phase {period.phase.value}, "
                f"not {fault.ends_in.value}"
            )
        return recovered or AFTER + 1, broken

    def full_disk(self) -> None:
        """Let everything that is written meet a full disk."""
        self.journal = Journal(Path("/dev/full"))
        self.last_good.move(Path("/dev/full"))


def starved(on: Campaign) -> None:
    """Let an instance die, and then deny the memory that it takes to start it again.

    The death is a separate event, which passes first. It hits what serves, not an experiment.
    """
    on.world.break_engine(KILL)
    while on.period().phase is Phase.SEARCHING:
        on.world.break_engine(KILL)
    on.world.break_engine(NO_MEMORY)


def damaged(on: Campaign) -> None:
    """Damage the files that engines are loaded from, and let an instance die."""
    on.world.damage_cache()
    on.world.break_engine(KILL)


def clock_set_back(on: Campaign) -> None:
    """Set the wall clock back an hour; only the time stamps of the journal may change."""
    now = time.time
    mock.patch("time.time", side_effect=lambda: now() - 3600.0).start()


FAULTS = (
    Fault("an instance dies", lambda on: on.world.break_engine(KILL)),
    Fault("an instance hangs", lambda on: on.world.break_engine(HANG)),
    Fault("the sensor is gone", lambda on: on.world.break_sensor(GONE), False, Phase.SAFE),
    Fault("the sensor is stuck", lambda on: on.world.break_sensor(STUCK), False, Phase.SAFE),
    Fault("the sensor gives NaN", lambda on: on.world.break_sensor(NAN), False, Phase.SAFE),
    Fault("the engine cache is damaged", damaged),
    Fault("the disk is full", Campaign.full_disk),
    Fault("no memory for the next engine", starved),
    Fault(
        "a limit below anything possible",
        lambda on: on.limits_path.write_text('{"p99_ms": 0.01, "power_w": 60}'),
        can_keep=False,
    ),
    Fault(
        "a file of limits that cannot be read",
        lambda on: on.limits_path.write_text('{"p99_ms": -3'),
    ),
    Fault("arrivals triple", lambda on: on.world.arrivals_times(3.0)),
    Fault("the clock is set back", clock_set_back),
)

#: The policy cannot be read, from the start: the safe default serves.
NO_POLICY = Fault("the bundle is cut short", lambda on: None)


def one(name: str, fault: Fault, folder: Path, period_s: float, p99_ms: float = 100.0) -> Result:
    """Break one thing in a world of its own, whose limit on p99 is `p99_ms`."""
    world = WORLDS[name](folder, period_s)
    world.begin()
    bundle = REFERENCE_BUNDLE
    if fault is NO_POLICY:
        bundle = folder / "cut.bundle"
        whole = REFERENCE_BUNDLE.read_bytes()
        bundle.write_bytes(whole[: len(whole) // 2])
    on = Campaign(world, folder, period_s, bundle, p99_ms)
    try:
        if fault is not NO_POLICY:
            on.settle()
        fault.act(on)
        recovered, broken = on.after(fault)
        if not fault.fired(on):
            raise RuntimeFault(f"{fault.name} did not happen in the world {name}")
    finally:
        mock.patch.stopall()
        silent = on.close()
    return Result(name, fault.name, recovered, broken, silent)


def campaign(
    worlds: list[str], period_s: float, advance: Callable[[str], None] = lambda _: None
) -> list[Result]:
    """Break everything in every world."""
    results = []
    for name in worlds:
        for fault in (*FAULTS, NO_POLICY, signal.SIGTERM, signal.SIGKILL):
            with tempfile.TemporaryDirectory() as folder:
                results.append(
                    one(name, fault, Path(folder), period_s)
                    if isinstance(fault, Fault)
                    else killed(name, fault, Path(folder), period_s)
                )
            advance(f"{name}: {results[-1].fault}")
    return results


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    arguments.add_argument("--period-s", type=float, default=1.0, help="length of a control period")
    given = arguments.parse_args()
    with progress_bar("breaking things", len(given.worlds) * (len(FAULTS) + 3)) as advance:
        results = campaign(given.worlds, given.period_s, advance)
    head = [
        "world",
        "fault",
        "serves again in period",
        "periods that broke a limit",
        "requests lost silently",
        "as it should",
    ]
    table(
        head,
        [
            [
                each.world,
                each.fault,
                str(each.recovered_in),
                str(each.broken),
                str(each.silent),
                "yes" if each.good else "NO",
            ]
            for each in results
        ],
    )
    figures = [
        figure(
            "faults that end in a valid serving state within two control periods",
            100 * sum(each.recovered_in <= 2 for each in results) / len(results),
            "%",
            "== 100",
        ),
        figure(
            "largest number of periods that broke a limit after one fault",
            max(each.broken for each in results),
            "periods",
            "<= 1",
        ),
        figure(
            "requests accepted and lost silently",
            sum(each.silent for each in results),
            "requests",
            "== 0",
        ),
    ]
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
