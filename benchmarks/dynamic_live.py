"""The scenarios of `benchmarks.dynamic` on this computer, with small networks."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from benchmarks.dynamic_client import Counts, TenantClient
from benchmarks.dynamic_scenarios import Phase, Scenario
from benchmarks.setup import invented_samples
from envs.catalog.architectures import build
from envs.errors import ObjectiveError
from envs.runtimes.protocol import try_configuration
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.queue import clock
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, Measurement
from tuner.console import progress_bar
from tuner.control.controller import ControlOptions
from tuner.control.period import Period
from tuner.control.tenants import TenantControl
from tuner.device import Device, open_device
from tuner.model_at import at_rates

#: Networks and the sizes of their images.
NETWORKS = (("squeezenet1_1", 96), ("mobilenet_v2", 96), ("resnet18", 64))

#: Arrivals of each tenant are at most this share of what answers one after the other allow. While
#: the best placement of the grid breaks a limit in a phase at 1/ROOM of its arrivals, they fall by
#: FALL, but not below the least share: a phase that no placement keeps says nothing of a tuner.
LOAD, LEAST_LOAD, ROOM, FALL = 0.15, 0.01, 0.7, 0.7

#: The limit of a tenant is so many times the median latency of answers one after the other, or so
#: many times the p99 that the default placement of all tenants has at a low load, which tells how
#: calm the computer is.
LIMIT, LIMIT_P99, LOW_LOAD = 20.0, 3.0, 0.05

#: Windows of which the median is that p99.
WINDOWS = 5

#: Windows of the placement chosen with hindsight, after each phase: how often it breaks a limit is
#: the scatter of this computer. Before the scenarios, so many windows say whether it keeps a phase.
HINDSIGHT_WINDOWS, BEFOREHAND_WINDOWS = 10, 5

#: Requests that are answered one after the other to find that latency.
ALONE = 40


@dataclass(frozen=True)
class Played:
    """A phase that was played.

    Attributes:
        periods: under control.
        good: share of the requests that were answered within their limits, times `due`.
        hindsight: the same of the best of the grid.
        hindsight_broken: share of its windows that broke a limit.
        lost: accepted requests that got no answer.
        refused: requests that were not accepted, such as those of a tenant that just comes.
    """

    periods: list[Period]
    good: float
    hindsight: float
    hindsight_broken: float
    lost: int
    refused: int


class Live:
    """A device with its clients, and what is usual for them.

    Args:
        folder: for networks, samples and the limits' file.
        device: open, with all tenants optional.
        bundle: of the policy.
        period_s: length of a period.
        phases: that will be played, at arrivals that the device keeps up with.

    Raises:
        ObjectiveError: it keeps the limits of some phase at no arrivals.
    """

    def __init__(
        self, folder: Path, device: Device, bundle: Path, period_s: float, phases: Sequence[Phase]
    ) -> None:
        assert isinstance(device.runtime, ServingRuntime), "clients ask a runtime that serves"
        self.device, self.runtime, self.folder = device, device.runtime, folder
        self.bundle, self.period_s = bundle, period_s
        self.names = device.space.workload.names
        self.clients = [TenantClient(self.runtime, each, each) for each in range(len(self.names))]
        self.runtime.apply(device.space.default())
        alone_s = [self._alone_s(tenant) for tenant in range(len(self.names))]
        self.rates_ips = tuple(LOW_LOAD / each for each in alone_s)
        pairs = zip(alone_s, self._default_p99_ms(), strict=True)
        self.limits_ms = tuple(max(LIMIT * 1e3 * s, LIMIT_P99 * p99) for s, p99 in pairs)
        load = LOAD
        while not self._keeps(phases, load, alone_s):
            load *= FALL
            if load < LEAST_LOAD:
                raise ObjectiveError(
                    "this computer keeps the limits of some phase at no arrivals: run it while"
                    " nothing else runs"
                )

    def _keeps(self, phases: Sequence[Phase], load: float, alone_s: Sequence[float]) -> bool:
        """Set the arrivals; return True if the best of the grid keeps all phases with room.

        Args:
            phases: that will be played.
            load: arrivals of a tenant as a share of what answers one after the other allow.
            alone_s: [T], the latency of these.
        """
        self.rates_ips = tuple(load / each for each in alone_s)
        hardest = sorted(phases, key=lambda each: -each.hardness)
        kept = all(
            self._hindsight(each.busier(1.0 / ROOM), BEFOREHAND_WINDOWS)[1] == 0.0
            for each in hardest
        )
        for client in self.clients:
            client.stop()
            client.drain()
        return kept

    def _alone_s(self, tenant: int) -> float:
        """Return the median latency of requests that come one after the other."""
        sample, took_s = self.clients[tenant].sample, []
        for _ in range(ALONE):
            began_s = clock()
            self.runtime.submit(tenant, sample).result()
            took_s.append(clock() - began_s)
        return float(np.median(took_s))

    def _default_p99_ms(self) -> list[float]:
        """Return the p99 of each tenant with the default placement of all at the usual rates."""
        self._send(Phase(tuple(range(len(self.names)))))
        windows = [self.runtime.measure(self.period_s).p99_ms for _ in range(WINDOWS)]
        for client in self.clients:
            client.stop()
            client.drain()
        return [float(each) for each in np.median(windows, axis=0)]

    def play(self, scenario: Scenario, periods: int) -> list[Played]:
        """Play the phases with one controller, and after each measure the grid."""
        path, first = self.folder / "limits.json", scenario.phases[0]
        first.write(path, self.names, self.limits_ms)
        given = {
            "active": [self.names[tenant] for tenant in first.active],
            "p99_ms": list(self.limits_ms),
        }
        device = replace_rates(self.device, first.rates_ips(self.rates_ips))
        kept = self.folder / scenario.name.replace(" ", "_")
        kept.mkdir(exist_ok=True)
        options = ControlOptions(self.period_s)
        control = TenantControl(device, given, path, self.bundle, kept, options)
        played = []
        for phase in scenario.phases:
            for client in self.clients:
                client.stop()
            phase.write(path, self.names, self.limits_ms)
            if not played:
                control.step()  # something serves before requests come
            start_s = self._send(phase)
            done = [control.step() for _ in range(periods)]
            own = self._counts(phase, start_s, clock())
            best, broken = self._hindsight(phase)
            due = sum(each.due for each in own)
            played.append(
                Played(
                    done,
                    sum(each.good for each in own),
                    best * due,
                    broken,
                    sum(each.lost for each in own),
                    sum(each.refused for each in own),
                )
            )
            if phase is not scenario.phases[-1]:  # the controller's placement serves again
                try_configuration(self.runtime, done[-1].configuration, self.period_s)
        for client in self.clients:
            client.stop()
        return played

    def _send(self, phase: Phase) -> float:
        """Let the clients of a phase send at its rates; return when that began."""
        start_s = clock()
        for tenant in phase.active:
            self.clients[tenant].start(phase.rates_ips(self.rates_ips)[tenant])
        return start_s

    def _counts(self, phase: Phase, start_s: float, end_s: float) -> list[Counts]:
        limits_ms = phase.limits_ms(self.limits_ms)
        return [
            self.clients[tenant].counts(start_s, end_s, limits_ms[tenant])
            for tenant in phase.active
        ]

    def _hindsight(self, phase: Phase, windows: int = HINDSIGHT_WINDOWS) -> tuple[float, float]:
        """Return two shares of the grid's best, in other windows: good requests, broken windows.

        The clients go on sending.
        """
        grid = self._grid(phase)
        shares = [self._share(phase, each)[0] for each in grid]
        best = grid[int(np.argmax(shares))]
        again = np.array([self._share(phase, best) for _ in range(windows)])
        good, broken = again.mean(axis=0)
        return float(good), float(broken)

    def _share(self, phase: Phase, configuration: Configuration) -> tuple[float, bool]:
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.drain()  # what waits for one placement would delay the next one
        self.runtime.apply(configuration)
        start_s = self._send(phase)
        outcome = try_configuration(self.runtime, configuration, self.period_s)
        counts = self._counts(phase, start_s, clock())
        limits_ms = phase.limits_ms(self.limits_ms)
        broken = not isinstance(outcome, Measurement) or any(
            outcome.tenants[tenant].p99_ms > limits_ms[tenant] for tenant in phase.active
        )
        due = sum(each.due for each in counts)
        return (sum(each.good for each in counts) / due if due else 0.0), broken

    def _grid(self, phase: Phase) -> list[Configuration]:
        """Return small placements: one instance each, by precision, at batch 1 or 4 for all."""
        shape = self.device.space.shape
        grid = []
        for columns in itertools.product(range(shape[1]), repeat=len(phase.active)):
            for batch in (1, 4):
                placements = np.zeros((*shape, 2), dtype=np.int16)
                for tenant, column in zip(phase.active, columns, strict=True):
                    placements[tenant, column] = (1, batch)
                grid.append(Configuration.of(placements))
        return grid


def replace_rates(device: Device, rates_ips: Sequence[float]) -> Device:
    """Return the device with other arrivals to expect at first, [T]."""
    return replace(device, runtime=WithRates(device.runtime, rates_ips))  # type: ignore[arg-type]


class WithRates:
    """A runtime whose space expects other arrivals; everything else is that of the runtime."""

    def __init__(self, runtime: ServingRuntime, rates_ips: Sequence[float]) -> None:
        self._runtime = runtime
        self.space = at_rates(runtime.space, tuple(rates_ips))

    def __getattr__(self, name: str) -> object:
        return getattr(self._runtime, name)


def play_all(
    scenarios: Sequence[Scenario], bundle: Path, periods: int, period_s: float
) -> Iterator[tuple[Scenario, list[Played]]]:
    """Open a device with three small networks, and play the scenarios on it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for network, size in NETWORKS:
            paths.append(folder / f"{network}.onnx")
            onnx.save(build(network, image_size=size, classes=10), paths[-1])
        samples = [invented_samples(path, folder)["samples"][0] for path in paths]
        serving = ServingOptions(timeout_s=10.0, warmup_s=0.2, outside=True)
        with (
            open_device(
                paths,
                max_instances=2,
                batches=[1, 4],
                serving=serving,
                samples=samples,
                min_agreement=0.0,
                rate_ips=[10.0] * len(paths),
                optional=True,
            ) as device,
            progress_bar("live", len(scenarios)) as advance,
        ):
            phases: list[Phase] = []
            for each in (phase for scenario in scenarios for phase in scenario.phases):
                phases += [each] if each not in phases else []
            live = Live(folder, device, bundle, period_s, phases)
            for scenario in scenarios:
                began_s = time.monotonic()
                yield scenario, live.play(scenario, periods)
                advance(f"{scenario.name}, {time.monotonic() - began_s:.0f} s")
