"""The loop on the device: one configuration a period, chosen by the policy, let through by the guard, judged by measurement."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from envs.configuration import Configuration
from envs.errors import ObjectiveError, StorageError, require_positive
from envs.measurement import Failure, FailureKind, Measurement, Origin, Outcome
from envs.objective import MAX_VIOLATION, judge_measurement
from envs.runtimes.protocol import Runtime, try_configuration
from tuner.control.decider import Decider
from tuner.control.guard import Choice, Guard, Phase
from tuner.control.limits import Limits
from tuner.control.memory import LastGood
from tuner.control.period import Period

#: An instance that is lost, or hangs, is no fault of its configuration: it is started again once before the configuration is left.
ACCIDENTS = (FailureKind.INSTANCE_LOST, FailureKind.TIMED_OUT)

#: Periods in a row with the very same reading, down to the last bit, after which a power sensor counts as stuck.
STUCK = 3


@dataclass(frozen=True)
class ControlOptions:
    """When to decide again.

    Attributes:
        period_s: length of the window of a control period. cooldown: periods without experiments after a limit was broken.
        rate_moved: share by which arrivals must differ from what was assumed. heated_c: degrees by which the board must.
        doubted: periods in a row in which what serves breaks a limit that it kept before, after which nothing that was measured counts any more.
    """

    period_s: float = 3.0
    cooldown: int = 3
    rate_moved: float = 0.25
    heated_c: float = 15.0
    doubted: int = 2

    def __post_init__(self) -> None:
        require_positive("control", self, "period_s", "cooldown", "rate_moved", "heated_c", "doubted")


class Controller:
    """One device under control. `step` is one period; whatever fails in it ends in a configuration that serves.

    Args:
        decider: the policy; None, or one that raises, leaves the last good configuration and the safe default.
        power_mode: the name of the power mode, asked once a period. remarks: what there is to say of the instances that serve; each is told once.
    """

    def __init__(
        self,
        runtime: Runtime,
        decider: Decider | None,
        guard: Guard,
        limits: Limits,
        memory: LastGood,
        options: ControlOptions,
        power_mode: Callable[[], str] = lambda: "",
        remarks: Callable[[], list[str]] = list,
    ) -> None:
        self._runtime, self._decider, self._guard, self._limits, self._memory = runtime, decider, guard, limits, memory
        self._options, self._power_mode, self._remarks = options, power_mode, remarks
        self._told: set[str] = set()
        self._space = runtime.space
        self._began_s = time.monotonic()
        self._number, self._breaks = 0, 0
        self._mode = power_mode()
        self._temperature_c = math.nan
        self._repaired: Configuration | None = None
        self._serving: Configuration | None = None
        self._blind, self._idle = False, False
        self._readings: deque[float] = deque(maxlen=STUCK)

    def step(self) -> Period:
        """One control period: look at conditions, decide, serve and measure, judge."""
        self._number += 1
        began_s = time.monotonic() - self._began_s
        events = self._conditions()
        deciding_s = time.perf_counter()
        choice = self._choose(events)
        decision_us = 1e6 * (time.perf_counter() - deciding_s)
        outcome = try_configuration(self._runtime, choice.configuration, self._options.period_s)
        new = [remark for remark in self._remarks() if remark not in self._told]
        self._told.update(new)
        events += new
        score, violation = self._judge(outcome, events)
        kept = violation <= 0
        self._note(choice, outcome, kept, events)
        return Period(
            self._number, began_s, choice.phase, choice.configuration, outcome, self._limits.objective, kept, score, violation, decision_us, tuple(events)
        )

    def _conditions(self) -> list[str]:
        """What changed from outside since the last period, and what follows from it."""
        events = []
        try:
            if self._limits.refresh():
                events.append(f"limits changed: {self._limits.objective.describe(self._space.workload.names)}")
                self._advise(events, lambda decider: decider.ask_for(self._limits.objective))
                self._guard.moved(self._decider is None or self._guard.good in self._decider.resting())
        except ObjectiveError as error:
            events.append(str(error))
        mode = self._power_mode()
        if mode != self._mode:
            events.append(f"power mode changed from {self._mode or 'unknown'} to {mode or 'unknown'}")
            self._mode = mode
            self._forget(events)
        return events

    def _choose(self, events: list[str]) -> Choice:
        if self._repaired is not None:  # an instance was lost: the same again, which starts it anew
            return Choice(self._repaired, Phase.RETURNED)
        if self._blind:
            return Choice(self._guard.safe, Phase.SAFE)
        proposed: list[tuple[Configuration | None, list[Configuration], Configuration | None]] = []
        serving = self._serving
        self._advise(events, lambda decider: proposed.append((None if self._idle else decider.experiment(), decider.resting(serving), decider.least())))
        choice = self._guard.choose(*(proposed[0] if proposed else (None, [], None)))
        if choice.refused:
            events.append(f"the policy's proposal was refused: {choice.refused}")
        return choice

    def _judge(self, outcome: Outcome, events: list[str]) -> tuple[float, float]:
        """(score, violation) of a period; a power that is limited and cannot be read, or is stuck, is a broken limit."""
        if isinstance(outcome, Failure):
            events.append(f"{outcome.kind.value}: {outcome.reason}")
            return 0.0, MAX_VIOLATION
        objective = self._limits.objective
        if math.isfinite(objective.power_w):
            self._readings.append(outcome.power_w)
            same = len(self._readings) == STUCK and len(set(self._readings)) == 1 and outcome.origin is not Origin.REPLAYED
            blind = not outcome.power_w > 0 or same
            if blind != self._blind:
                why = f"the power sensor ({outcome.sensor}) {'is stuck' if same else 'gives nothing'}: serving the safe default until it does"
                events.append(why if blind else f"the power sensor ({outcome.sensor}) is back")
            self._blind = blind
        score, violation = judge_measurement(without_idle(outcome), objective, self._space.workload.weights)
        return score, MAX_VIOLATION if self._blind else violation

    def _note(self, choice: Choice, outcome: Outcome, kept: bool, events: list[str]) -> None:
        """Let everybody know how the period went."""
        configuration = self._serving = choice.configuration
        self._idle = isinstance(outcome, Measurement) and not any(tenant.requests for tenant in outcome.tenants)
        if self._idle:
            if choice.phase is Phase.SEARCHING:  # nobody asked for anything, so that it was not measured: it may not stay
                self._guard.judged(configuration, kept=False)
            return
        accident = isinstance(outcome, Failure) and outcome.kind in ACCIDENTS and self._repaired is None
        self._repaired = configuration if accident else None
        if accident or self._blind:
            return
        known = self._decider is not None and configuration in self._decider.resting()
        self._breaks = self._breaks + 1 if known and not kept else 0
        self._guard.judged(configuration, kept)
        if isinstance(outcome, Failure) or all(tenant.requests for tenant in outcome.tenants):  # nobody learns from a period without requests
            self._advise(events, lambda decider: decider.tell(configuration, outcome))
        if isinstance(outcome, Measurement):
            self._watch(outcome, events)
        if kept:
            try:
                self._memory.keep(configuration)
            except StorageError as error:
                events.append(str(error))

    def _watch(self, outcome: Measurement, events: list[str]) -> None:
        """Whether arrivals, heat, or the device itself are no longer what was assumed; then decide anew."""
        if self._breaks >= self._options.doubted:
            events.append("what kept the limits before does so no more: measuring anew")
            self._forget(events)
            return
        tenants = self._space.workload.tenants
        if self._decider is not None:
            assumed = self._decider.rates_ips
            seen = tuple(math.inf if tenant.closed_loop else each.requests / outcome.window_s for tenant, each in zip(tenants, outcome.tenants, strict=True))
            if any(moved(now, before, outcome.window_s, self._options.rate_moved) for now, before in zip(seen, assumed, strict=True)):
                words = ", ".join(f"{now:.4g} instead of {before:.4g} 1/s" for now, before in zip(seen, assumed, strict=True) if math.isfinite(now))
                events.append(f"arrivals changed: {words}")
                self._advise(events, lambda decider: decider.expect(tuple(max(rate, 1e-3) for rate in seen)))
                self._guard.moved(True)
        now_c = outcome.temperature_c
        if math.isnan(self._temperature_c):
            self._temperature_c = now_c
        elif abs(now_c - self._temperature_c) > self._options.heated_c:
            events.append(f"temperature changed from {self._temperature_c:.0f} to {now_c:.0f} C")
            self._temperature_c = now_c
            self._forget(events)

    def _forget(self, events: list[str]) -> None:
        self._breaks = 0
        self._advise(events, lambda decider: decider.forget())
        self._guard.moved(True)

    def _advise(self, events: list[str], ask: Callable[[Decider], object]) -> None:
        """Ask or tell the policy; one that fails is not asked again, and the device serves on without it."""
        if self._decider is None:
            return
        try:
            ask(self._decider)
        except Exception as error:
            events.append(f"the policy failed ({type(error).__name__}: {error}): serving on without it")
            self._decider = None


def without_idle(outcome: Measurement) -> Measurement:
    """The same, where a tenant that nobody asked is not late."""
    if all(tenant.requests for tenant in outcome.tenants):
        return outcome
    return replace(outcome, tenants=tuple(tenant if tenant.requests else replace(tenant, p99_ms=0.0) for tenant in outcome.tenants))


def moved(now_ips: float, assumed_ips: float, window_s: float, share: float) -> bool:
    """Whether an arrival rate differs from what was assumed by more than a share, and by more than Poisson arrivals scatter (4 sigma)."""
    if math.isinf(assumed_ips):
        return False
    return abs(now_ips - assumed_ips) > max(share * assumed_ips, 4.0 * math.sqrt(assumed_ips / window_s))
