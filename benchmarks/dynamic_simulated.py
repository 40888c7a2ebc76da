"""The scenarios of `benchmarks.dynamic` on a simulated board."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.dynamic_scenarios import Phase, Scenario
from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, Measurement, Objective, workload_of
from envs.spec.change import delayed_shares
from tuner.control.controller import ControlOptions
from tuner.control.period import Period
from tuner.control.tenants import TenantControl
from tuner.device import Device
from tuner.evaluation.reference import searched

BOARD, MODE = "orin_nx_16", "25W"
NETWORKS = ("resnet50", "mobilenet_v2", "resnet18")
BATCHES, MOST = (1, 2, 4, 8), 2

#: Arrivals of each tenant are this share of what one instance on the GPU serves alone at batch 1,
#: and its limit is so many times the latency that it has there.
LOAD, LIMIT = 0.3, 4.0

LAYERS = tuple(reference_network(name) for name in NETWORKS)


@dataclass(frozen=True)
class Played:
    """A phase that was played.

    Attributes:
        periods: under control.
        good: requests answered within their limits, while periods and changes lasted.
        hindsight: the same of the placement chosen with hindsight.
        unserved: periods in which an active tenant had no instance.
        deciding_s: the longest step of the controller in processor time.
    """

    periods: list[Period]
    good: float
    hindsight: float
    unserved: int
    deciding_s: float


class Board(SimulatedRuntime):
    """A simulated board on which other requests arrive at times."""

    def arrive(self, rates_ips: Sequence[float]) -> None:
        """Let requests arrive at other rates [T] from now on."""
        self._truth = replace(self._truth, rate_ips=np.array([rates_ips]))

    @property
    def truth(self) -> Contexts:
        """Return the truth of now."""
        return self._truth


@cache
def space_at(rates_ips: tuple[float, ...]) -> ConfigurationSpace:
    """Return the space of the board with all tenants."""
    device = device_of(BOARD, MODE)
    chosen = tuple(each for each in device.accelerators if each.name != "cuda")
    device = replace(device, accelerators=chosen)
    workload = workload_of([described(each) for each in LAYERS], list(rates_ips))
    every = frozenset(range(len(LAYERS)))
    return ConfigurationSpace(device, workload, MOST, BATCHES, optional=every)


def model_at(rates_ips: tuple[float, ...]) -> DeviceModel:
    """Return the model of the board at arrival rates."""
    return model_for(space_at(rates_ips), LAYERS)


@cache
def usual() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return arrivals [T] and limits in milliseconds [T] that are neither tight nor idle."""
    closed = model_at((np.inf,) * len(LAYERS))
    on_gpu = closed.space.device.accelerator_names.index("tensor")
    rates, limits = [], []
    for tenant in range(len(LAYERS)):
        alone = closed.of_tenants((tenant,))
        placements = np.zeros((1, *alone.space.shape, 2), dtype=np.int16)
        placements[0, 0, on_gpu] = (1, 1)
        found = alone.response(alone.nominal(), placements)
        rates.append(round(LOAD * float(found.throughput_ips[0, 0]), 1))
        limits.append(round(LIMIT * float(found.p99_ms[0, 0]), 2))
    return tuple(rates), tuple(limits)


def play(
    scenario: Scenario, bundle: Path, seed: int, periods: int, period_s: float
) -> list[Played]:
    """Play a scenario on a board whose truth is drawn from the model's uncertainty."""
    rates_ips, limits_ms = usual()
    first = scenario.phases[0]
    model = model_at(first.rates_ips(rates_ips))
    board = Board(model, model.drawn(np.random.default_rng(seed), 1), seed=seed)
    names = model.space.workload.names
    played = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "limits.json"
        first.write(path, names, limits_ms)
        given = {"active": [names[tenant] for tenant in first.active], "p99_ms": list(limits_ms)}
        control = TenantControl(
            Device(board, model_at), given, path, bundle, Path(name), ControlOptions(period_s)
        )
        before: Period | None = None
        for phase in scenario.phases:
            phase.write(path, names, limits_ms)
            board.arrive(phase.rates_ips(rates_ips))
            done, spent_s = [], []
            for _ in range(periods):
                began_s = time.process_time()
                done.append(control.step())
                spent_s.append(time.process_time() - began_s)
            best = hindsight_ips(board.truth, phase, rates_ips, limits_ms)
            good, took_s = good_of(done, before, phase, phase.limits_ms(limits_ms))
            unserved = sum(not_served(period, phase) for period in done)
            played.append(Played(done, good, best * took_s, unserved, max(spent_s)))
            before = done[-1]
    return played


def hindsight_ips(
    truth: Contexts, phase: Phase, rates_ips: Sequence[float], limits_ms: Sequence[float]
) -> float:
    """Return the good requests a second of the best placement that is found with hindsight."""
    model = model_at(phase.rates_ips(rates_ips)).of_tenants(phase.active)
    some = list(phase.active)
    own = replace(
        truth,
        table=truth.table[:, :, some],
        rate_ips=truth.rate_ips[:, some],
        best_effort=truth.best_effort[:, some],
    )
    limits = tuple(phase.limits_ms(limits_ms)[tenant] for tenant in some)
    best = searched(model, own, Objective(limits), restarts=1)
    found = model.response(own, best.configuration.array()[None])
    each = zip(found.throughput_ips[0], found.p50_ms[0], found.p99_ms[0], limits, strict=True)
    return sum(ips * share_within(p50, p99, p99, limit) for ips, p50, p99, limit in each)


def good_of(
    periods: Sequence[Period], before: Period | None, phase: Phase, limits_ms: Sequence[float]
) -> tuple[float, float]:
    """Return how many requests were answered within their limits, and in how many seconds.

    While a change lasts, the old configuration answers, but for the requests that are delayed.

    Args:
        periods: of the phase.
        before: the last period of the phase before; None for none.
        phase: which it is.
        limits_ms: [T].
    """
    good, took_s = 0.0, 0.0
    for period in periods:
        outcome = period.outcome
        if isinstance(outcome, Measurement):
            if before is not None and isinstance(before.outcome, Measurement):
                old, new = before.configuration.array(), period.configuration.array()
                prompt = 1.0 - delayed_shares(old, new)
                ips = good_ips(before.outcome, phase.active, limits_ms)
                good += outcome.apply_s * float((prompt[list(phase.active)] * ips).sum())
            good += outcome.window_s * float(good_ips(outcome, phase.active, limits_ms).sum())
            took_s += outcome.apply_s + outcome.window_s
        else:
            took_s += outcome.cost_s
        before = period
    return good, took_s


def good_ips(
    measured: Measurement, active: Sequence[int], limits_ms: Sequence[float]
) -> FloatArray:
    """Return the requests a second [T'] that were surely answered within their limits."""
    tenants = [measured.tenants[tenant] for tenant in active]
    limits = [limits_ms[tenant] for tenant in active]
    return np.array(
        [
            each.throughput_ips * share_within(each.p50_ms, each.p95_ms, each.p99_ms, limit)
            for each, limit in zip(tenants, limits, strict=True)
        ]
    )


def share_within(p50_ms: float, p95_ms: float, p99_ms: float, limit_ms: float) -> float:
    """Return the share of requests that are surely within the limit."""
    for share, latency_ms in ((0.99, p99_ms), (0.95, p95_ms), (0.5, p50_ms)):
        if latency_ms <= limit_ms:
            return share
    return 0.0


def not_served(period: Period, phase: Phase) -> bool:
    """Return True if an active tenant had no instance."""
    served = {tenant for tenant, _, _, _ in period.configuration.slots()}
    return not set(phase.active) <= served
