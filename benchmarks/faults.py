"""What happens when things break under a controller? Breaks them, one after the other, live and in the model, and looks at the next periods.

Live is real ONNX Runtime sessions on this computer with a client that keeps asking; simulated is the model of an AGX Orin. After every fault
the device must serve a valid configuration within two control periods, break limits in at most one, and lose no request silently.

python -m benchmarks.faults
python -m benchmarks.faults --worlds simulated
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.fault_worlds import GONE, HANG, KILL, NAN, NO_MEMORY, STUCK, WORLDS, LiveWorld, World
from benchmarks.figures import figure, parser, report
from envs.errors import BundleError
from envs.measurement import Measurement
from envs.objective import judge_measurement
from envs.simulator.prior import starting_configuration
from tuner.console import progress_bar, table
from tuner.control.controller import Controller, ControlOptions
from tuner.control.decider import Decider
from tuner.control.guard import Guard
from tuner.control.limits import Limits
from tuner.control.memory import LastGood
from tuner.control.period import Journal, Period
from tuner.policy.bundle import Bundle, load_bundle

BUNDLE = Path("checkpoints/reference.bundle")

#: Periods before a fault, at most, and after it.
BEFORE, AFTER = 14, 6


@dataclass(frozen=True)
class Fault:
    """One thing that breaks.

    Attributes:
        act: does it. judged: whether limits can be kept, and be seen to be, while it lasts.
    """

    name: str
    act: Callable[[Campaign], object]
    judged: bool = True


@dataclass(frozen=True)
class Result:
    """What became of it: periods until a valid configuration was served and measured again, periods beyond a limit, requests lost silently."""

    world: str
    fault: str
    recovered_in: int
    broken: int
    silent: int

    @property
    def good(self) -> bool:
        return self.recovered_in <= 2 and self.broken <= 1 and self.silent == 0


class Campaign:
    """A controller on a world, that things are done to."""

    def __init__(self, world: World, folder: Path, period_s: float, bundle: Path = BUNDLE) -> None:
        self.world, self.folder = world, folder
        self.limits_path = folder / "limits.json"
        space = world.service.space
        self.limits = Limits({"p99_ms": 100.0, "power_w": 60.0}, space.workload.names, True, self.limits_path)
        rates = tuple(tenant.rate_ips for tenant in space.workload.tenants)
        decider = Decider(found, world.service.model_at, world.service.possible, self.limits.objective, rates) if (found := policy(bundle)) else None
        safe = starting_configuration(world.service.model_at(rates), self.limits.objective)
        self.memory = LastGood(folder, space)
        self.controller = Controller(world.runtime, decider, Guard(space, safe), self.limits, self.memory, ControlOptions(period_s))
        self.journal = Journal(folder / "journal.jsonl")

    def close(self) -> int:
        """Requests that were lost silently."""
        self.journal.close()
        return self.world.end()

    def period(self) -> Period:
        period = self.controller.step()
        self.journal.write(period.as_dict(self.world.service.space))
        return period

    def settle(self) -> None:
        """Until the same configuration has served for two periods."""
        before = self.period()
        for _ in range(BEFORE):
            now = self.period()
            if now.kept and before.kept and now.configuration == before.configuration:
                return
            before = now

    def after(self, judged: bool) -> tuple[int, int]:
        """(periods until something valid was served and measured, with the limits kept where that is possible; periods beyond a limit)."""
        recovered, broken = 0, 0
        weights = self.world.service.space.workload.weights
        for number in range(1, AFTER + 1):
            period = self.period()
            served = isinstance(period.outcome, Measurement) and period.outcome.tenants[0].throughput_ips > 0
            beyond = isinstance(period.outcome, Measurement) and judge_measurement(period.outcome, period.objective, weights)[1] > 0
            broken += judged and beyond
            if not recovered and served and not (judged and beyond):
                recovered = number
        return recovered or AFTER + 1, broken

    def full_disk(self) -> None:
        """Everything that is written meets a full disk."""
        self.journal.close()
        self.journal = Journal(Path("/dev/full"))
        self.memory._path = Path("/dev/full") / "last_good.json"


def policy(path: Path) -> Bundle | None:
    """As `tuner.deploy` does: a service does not depend on its policy."""
    try:
        return load_bundle(path)
    except BundleError:
        return None


FAULTS = (
    Fault("an instance dies", lambda on: on.world.break_engine(KILL)),
    Fault("an instance hangs", lambda on: on.world.break_engine(HANG)),
    Fault("the sensor is gone", lambda on: on.world.break_sensor(GONE), judged=False),
    Fault("the sensor is stuck", lambda on: on.world.break_sensor(STUCK), judged=False),
    Fault("the sensor gives NaN", lambda on: on.world.break_sensor(NAN), judged=False),
    Fault("the engine cache is damaged", lambda on: (on.world.damage_cache(), on.world.break_engine(KILL))),
    Fault("the disk is full", Campaign.full_disk),
    Fault("no memory for the next configuration", lambda on: (on.world.break_engine(NO_MEMORY), on.limits_path.write_text('{"p99_ms": 60, "power_w": 60}'))),
    Fault("a limit below anything possible", lambda on: on.limits_path.write_text('{"p99_ms": 0.01, "power_w": 60}'), judged=False),
    Fault("a file of limits that is none", lambda on: on.limits_path.write_text('{"p99_ms": -3')),
    Fault("arrivals triple", lambda on: on.world.arrivals_times(3.0)),
)


def with_clock_set_back(on: Campaign) -> tuple[int, int]:
    """The wall clock goes back an hour; nothing but the stamps of the journal may notice."""
    with mock.patch("time.time", return_value=time.time() - 3600.0):
        return on.after(True)


def one(name: str, fault: Fault | None, folder: Path, period_s: float, bundle: Path = BUNDLE) -> Result:
    """One fault in a world of its own."""
    world = WORLDS[name](folder, period_s)
    world.begin()
    on = Campaign(world, folder, period_s, bundle)
    try:
        if bundle is BUNDLE:
            on.settle()
        if fault is not None:
            fault.act(on)
        recovered, broken = with_clock_set_back(on) if fault is None and bundle is BUNDLE else on.after(fault is None or fault.judged)
    finally:
        silent = on.close()
    what = fault.name if fault else "the clock is set back" if bundle is BUNDLE else "the bundle is cut short"
    return Result(name, what, recovered, broken, silent)


def killed(name: str, number: int, folder: Path, period_s: float) -> Result:
    """The real command is stopped, and started again: what it serves first is what was good last."""
    network = folder / "small.onnx"
    if not network.exists():
        LiveWorld(folder, period_s).runtime.close()
    command = [
        *(sys.executable, "-m", "tuner.deploy", "--network", str(network), "--p99-ms", "200", "--runtime", name, "--period-s", str(period_s)),
        *("--folder", str(folder / "kept"), "--lock", str(folder / "lock"), "--batches", "1", "4", "--instances", "2"),
    ]
    first = subprocess.Popen([*command, "--journal", str(folder / "first.jsonl")])
    deadline = time.monotonic() + 60
    while len(lines(folder / "first.jsonl")) < 4 and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.05)
    os.kill(first.pid, number)
    code = first.wait(30)
    before = lines(folder / "first.jsonl")
    subprocess.run([*command, "--journal", str(folder / "second.jsonl"), "--periods", "3"], check=True, timeout=60)
    again = lines(folder / "second.jsonl")
    good = {line["configuration"] for line in before if line["kept"]}
    recovered = next((position for position, line in enumerate(again, 1) if "tenants" in line and line["kept"]), AFTER + 1)
    stopped_well = code == 0 if number == signal.SIGTERM else True
    started_with_good = again[0]["configuration"] in good
    return Result(
        name, f"{signal.Signals(number).name} and a restart", recovered, sum(not line["kept"] for line in again), int(not (stopped_well and started_with_good))
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a journal; one that a kill cut short is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def campaign(worlds: list[str], period_s: float, advance: Callable[[str], None] = lambda _: None) -> list[Result]:
    """Every fault in every world."""
    results = []
    for name in worlds:
        for fault in (*FAULTS, None):
            with tempfile.TemporaryDirectory() as folder:
                results.append(one(name, fault, Path(folder), period_s))
            advance(f"{name}: {results[-1].fault}")
        with tempfile.TemporaryDirectory() as folder:
            cut = Path(folder) / "cut.bundle"
            cut.write_bytes(BUNDLE.read_bytes()[: BUNDLE.stat().st_size // 2])
            results.append(one(name, None, Path(folder), period_s, cut))
        for number in (signal.SIGTERM, signal.SIGKILL):
            with tempfile.TemporaryDirectory() as folder:
                results.append(killed(name, number, Path(folder), period_s))
            advance(f"{name}: {results[-1].fault}")
    return results


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    arguments.add_argument("--period-s", type=float, default=1.0, help="length of a control period")
    given = arguments.parse_args()
    with progress_bar("breaking things", len(given.worlds) * (len(FAULTS) + 3)) as advance:
        results = campaign(given.worlds, given.period_s, advance)
    head = ["world", "fault", "serves again in period", "periods beyond a limit", "requests lost silently", "as asked"]
    table(head, [[each.world, each.fault, str(each.recovered_in), str(each.broken), str(each.silent), "yes" if each.good else "NO"] for each in results])
    figures = [
        figure(
            "faults that end in a valid serving state within two control periods",
            100 * sum(each.recovered_in <= 2 for each in results) / len(results),
            "%",
            "== 100",
        ),
        figure("most periods beyond a limit after one fault", max(each.broken for each in results), "periods", "<= 1"),
        figure("requests accepted and lost silently", sum(each.silent for each in results), "requests", "== 0"),
    ]
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
