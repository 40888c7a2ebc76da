"""The loop on the device: one configuration a period, chosen by the policy, let through by the guard, judged by measurement."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from envs.errors import ObjectiveError, RuntimeFault, StorageError, require_positive
from envs.runtimes.protocol import Runtime, try_configuration
from envs.spec.measurement import Failure, FailureKind, Measurement, Origin, Outcome
from envs.spec.objective import MAX_VIOLATION, judge_measurement
from envs.spec.space import Configuration
from tuner.control.arrivals import Arrivals, idle, without_idle
from tuner.control.decider import Decider
from tuner.control.guard import Choice, Guard, Phase
from tuner.control.last_good import LastGood
from tuner.control.limits import Limits
from tuner.control.period import Period

Answer = TypeVar("Answer")

#: An instance that is lost, or hangs, is no fault of a configuration that served before: it is started again once before that is left.
ACCIDENTS = (FailureKind.INSTANCE_LOST, FailureKind.TIMED_OUT)

#: Periods in a row with the very same reading, down to the last bit, after which a power sensor counts as stuck.
STUCK = 3

#: As how many a broken limit counts that is farther off than windows scatter, beside one that is not.
SURPRISE = 3

#: As how many limits broken beside a neighbour one without it counts: it may be gone with the next window.
BESIDE = 2

#: Periods in a row without a neighbour on the processor after which it counts as gone, or with one after which it counts as part of the device.
CALM = 3

#: Periods in a row in which nothing could be measured, after which a new process is the better try (a CUDA context, once broken, stays so).
HOPELESS = 10


@dataclass(frozen=True)
class ControlOptions:
    """When to decide again.

    Attributes:
        period_s: length of the window of a control period. cooldown: periods without experiments after a limit was broken.
        rate_moved: share by which arrivals must differ from what was assumed. heated_c: degrees by which the board must.
        doubted: periods in which what kept the limits before breaks them by more than windows scatter, without one in which it keeps them, after which
            nothing measured counts; three that are within the scatter count as one, and beside a neighbour it takes twice as many.
    """

    period_s: float = 3.0
    cooldown: int = 3
    rate_moved: float = 0.25
    heated_c: float = 15.0
    doubted: int = 2

    def __post_init__(self) -> None:
        require_positive(
            "control", self, "period_s", "cooldown", "rate_moved", "heated_c", "doubted"
        )


class Controller:
    """One device under control. `step` is one period; what fails in it ends, in the next ones, in a configuration that serves.

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
        self._runtime, self._decider, self._guard, self._limits, self._memory = (
            runtime,
            decider,
            guard,
            limits,
            memory,
        )
        self._options, self._power_mode, self._remarks = options, power_mode, remarks
        self._told: set[str] = set()
        self._space = runtime.space
        self._began_s = time.monotonic()
        self._number = 0
        self._breaks: defaultdict[Configuration, float] = defaultdict(float)
        self._alone: Configuration | None = (
            None  # what served before something else came to use the processor, too
        )
        self._calm, self._crowded = (
            0,
            0,
        )  # periods in a row without something else that uses the processor, and with it while limits are kept
        self._mode = power_mode()
        self._temperature_c = math.nan
        self._arrivals = Arrivals(runtime.space.workload, options.rate_moved)
        self._serving: Configuration | None = None
        self._repaired: Configuration | None = None
        self._failed: Configuration | None = None
        self._failures = 0
        self._blind, self._idle = False, False
        self._readings: deque[float] = deque(maxlen=STUCK)

    def step(self) -> Period:
        """One control period: look at conditions, decide, serve and measure, judge.

        Raises:
            RuntimeFault: nothing could be measured for `HOPELESS` periods in a row: start the process anew.
        """
        self._number += 1
        began_s = time.monotonic() - self._began_s
        events = self._conditions()
        deciding_s = time.perf_counter()
        choice = self._choose(events)
        decision_us = 1e6 * (time.perf_counter() - deciding_s)
        outcome = self._serve(choice.configuration)
        new = [remark for remark in self._remarks() if remark not in self._told]
        self._told.update(new)
        events += new
        score, violation = self._judge(outcome, events)
        kept = violation <= 0
        objective = self._limits.objective
        self._note(choice, outcome, kept, events)
        if self._failures >= HOPELESS:
            raise RuntimeFault(
                f"nothing could be measured for {HOPELESS} periods in a row ({events[-1]}): start anew"
            )
        return Period(
            self._number,
            began_s,
            choice.phase,
            choice.configuration,
            outcome,
            objective,
            kept,
            score,
            violation,
            decision_us,
            tuple(events),
        )

    def _serve(self, configuration: Configuration) -> Outcome:
        """Apply and measure; whatever a driver raises is a failure of this period."""
        try:
            return try_configuration(self._runtime, configuration, self._options.period_s)
        except Exception as error:
            return Failure(FailureKind.BUILD_FAILED, f"{type(error).__name__}: {error}")

    def _conditions(self) -> list[str]:
        """What changed from outside since the last period, and what follows from it."""
        events: list[str] = []
        try:
            if self._limits.refresh():
                events.append(
                    f"limits changed: {self._limits.objective.describe(self._space.workload.names)}"
                )
                self._repaired = None
                self._ask(events, lambda decider: decider.ask_for(self._limits.objective), None)
                self._moved(
                    still_good=self._ask(
                        events, lambda decider: self._guard.good in decider.resting(), True
                    )
                )
        except ObjectiveError as error:
            events.append(str(error))
        mode = self._power_mode()
        if mode != self._mode:
            events.append(
                f"power mode changed from {self._mode or 'unknown'} to {mode or 'unknown'}"
            )
            self._mode = mode
            self._forget(events)
        return events

    def _choose(self, events: list[str]) -> Choice:
        if self._blind:
            safe = self._guard.safe
            return Choice(
                self._guard.good if self._failed == safe and self._guard.good else safe, Phase.SAFE
            )
        if self._repaired is not None:  # an instance was lost: the same again, which starts it anew
            return Choice(self._repaired, Phase.RETURNED)
        serving = self._serving
        experiment = (
            None if self._idle else self._ask(events, lambda decider: decider.experiment(), None)
        )
        choice = self._guard.choose(
            experiment,
            lambda: self._ask(events, lambda decider: decider.resting(serving), []),
            lambda: self._ask(events, lambda decider: decider.least(), None),
        )
        if choice.refused:
            events.append(f"the policy's proposal was refused: {choice.refused}")
        return choice

    def _judge(self, outcome: Outcome, events: list[str]) -> tuple[float, float]:
        """(score, violation) of a period; a power that is limited and cannot be read, or is stuck, is a broken limit."""
        if isinstance(outcome, Failure):
            events.append(f"{outcome.kind.value}: {outcome.reason}")
            return 0.0, MAX_VIOLATION
        self._look_at_power(outcome, events)
        score, violation = judge_measurement(
            without_idle(outcome), self._limits.objective, self._space.workload.weights
        )
        return score, MAX_VIOLATION if self._blind else violation

    def _look_at_power(self, outcome: Measurement, events: list[str]) -> None:
        """Whether power, where it is limited, can be believed."""
        if math.isinf(self._limits.objective.power_w):
            self._blind = False
            self._readings.clear()
            return
        if not idle(outcome):  # a board at rest may well tell the same again
            self._readings.append(outcome.power_w)
        same = (
            len(self._readings) == STUCK
            and len(set(self._readings)) == 1
            and outcome.origin is not Origin.REPLAYED
        )
        blind = not outcome.power_w > 0 or same
        if blind != self._blind:
            why = (
                "is stuck"
                if same
                else f"gives nothing{f' ({outcome.sensor_fault})' if outcome.sensor_fault else ''}"
            )
            events.append(
                f"the power sensor ({outcome.sensor}) {why}: serving the safe default until it does"
                if blind
                else "the power sensor is back"
            )
        self._blind = blind

    def _note(self, choice: Choice, outcome: Outcome, kept: bool, events: list[str]) -> None:
        """Let everybody know how the period went."""
        configuration, repaired = choice.configuration, self._repaired is not None
        self._repaired = None
        failed = isinstance(outcome, Failure)
        self._failures = self._failures + 1 if failed else 0
        self._failed = configuration if failed else None
        self._serving = self._serving if failed else configuration
        self._idle = isinstance(outcome, Measurement) and idle(outcome)
        if (
            isinstance(outcome, Failure)
            and outcome.kind in ACCIDENTS
            and not repaired
            and choice.phase is not Phase.SEARCHING
        ):
            self._repaired = configuration
            return
        if self._blind and not failed:
            return
        if self._idle and kept:
            if (
                choice.phase is Phase.SEARCHING
            ):  # nobody asked for anything, so that it was not measured: it may not stay
                self._guard.judged(configuration, kept=False)
            return
        self._guard.judged(configuration, kept, failed)
        self._count(configuration, outcome, kept, events)
        if isinstance(outcome, Measurement):
            self._watch(outcome, events)
        self._ask(events, lambda decider: decider.tell(configuration, outcome), None)
        if kept:
            try:
                self._memory.keep(configuration)
            except StorageError as error:
                events.append(str(error))

    def _count(
        self, configuration: Configuration, outcome: Outcome, kept: bool, events: list[str]
    ) -> None:
        """What kept the limits before and does so no more says that the device has changed."""
        disturbed = isinstance(outcome, Measurement) and outcome.disturbed
        if kept:
            self._breaks.pop(configuration, None)
            self._crowded = self._crowded + 1 if disturbed else 0
        elif self._ask(events, lambda decider: configuration in decider.resting(), False):
            surprised = self._ask(
                events, lambda decider: decider.surprised(configuration, outcome), False
            )
            self._breaks[configuration] += (SURPRISE if surprised else 1) / (
                BESIDE if disturbed else 1
            )

    def _watch(self, outcome: Measurement, events: list[str]) -> None:
        """Whether arrivals, heat, neighbours, or the device itself are no longer what was assumed; then decide anew."""
        if sum(self._breaks.values()) >= SURPRISE * self._options.doubted:
            events.append("what kept the limits before does so no more: measuring anew")
            if outcome.disturbed and self._crowded < CALM and self._alone is None:
                self._alone = max(self._breaks, key=self._breaks.__getitem__)
            self._calm = 0
            self._forget(events)
            return
        if self._alone is not None:
            self._calm = 0 if outcome.disturbed else self._calm + 1
            if self._calm >= CALM:
                events.append("nothing else keeps the processor busy any more: measuring anew")
                before, self._alone, self._calm = self._alone, None, 0
                self._forget(events, before)
                return
        if self._decider is not None and (
            said := self._arrivals.moved(self._decider.rates_ips, outcome)
        ):
            events.append(said)
            rates = self._arrivals.rates_ips(outcome)
            self._ask(events, lambda decider: decider.expect(rates), None)
            self._moved(still_good=True)
        now_c = outcome.temperature_c
        if math.isnan(self._temperature_c):
            self._temperature_c = now_c
        elif abs(now_c - self._temperature_c) > self._options.heated_c:
            events.append(f"temperature changed from {self._temperature_c:.0f} to {now_c:.0f} C")
            self._temperature_c = now_c
            self._forget(events)

    def _forget(self, events: list[str], first: Configuration | None = None) -> None:
        self._ask(events, lambda decider: decider.forget(first), None)
        self._moved(still_good=True)

    def _moved(self, still_good: bool) -> None:
        self._breaks.clear()
        self._guard.moved(
            still_good, self._decider.safe if self._decider is not None else self._guard.safe
        )

    def _ask(
        self, events: list[str], ask: Callable[[Decider], Answer], otherwise: Answer
    ) -> Answer:
        """Ask or tell the policy; one that fails is not asked again, and the device serves on without it."""
        if self._decider is None:
            return otherwise
        try:
            return ask(self._decider)
        except Exception as error:
            events.append(
                f"the policy failed ({type(error).__name__}: {error}): serving on without it"
            )
            self._decider = None
            return otherwise
