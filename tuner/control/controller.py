"""The loop on the device: one configuration a period.

The policy proposes it, the guard lets it through, and a measurement judges it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from envs.errors import StorageError, require_positive
from envs.runtimes.protocol import Runtime, try_configuration
from envs.spec import (
    MAX_VIOLATION,
    Configuration,
    Failure,
    FailureKind,
    Measurement,
    Outcome,
    at_mean_arrivals,
    judge_measurement,
)
from tuner.control.changes import Changes
from tuner.control.conditions import Conditions
from tuner.control.decider import Decider
from tuner.control.events import Event, EventKind
from tuner.control.failed_before import FailedBefore
from tuner.control.guard import Choice, Guard, Phase
from tuner.control.last_good import LastGood
from tuner.control.limits import Limits
from tuner.control.monitors import Monitors
from tuner.control.monitors.arrivals import is_idle, without_idle
from tuner.control.offer import Offer
from tuner.control.optional_policy import OptionalPolicy
from tuner.control.period import Period
from tuner.control.recovery import Recovery
from tuner.policy.thresholds import DEFAULT_THRESHOLDS, Thresholds


@dataclass(frozen=True)
class ControlOptions:
    """Options of the controller.

    Attributes:
        period_s: length of the window of a control period.
        thresholds: the tuned numbers.
    """

    period_s: float = 3.0
    thresholds: Thresholds = DEFAULT_THRESHOLDS

    def __post_init__(self) -> None:
        require_positive("control", self, "period_s")


class Controller:
    """One device under control; `step` is one period.

    Whatever fails in a period ends, in the next ones, in a configuration that serves.

    Args:
        decider: the policy. Without one, or after it raised, the last good configuration and the
            safe default serve.
        power_mode: returns the name of the power mode; called once a period.
        remarks: returns what there is to say of the instances that serve; each is reported once.
        wanted: configurations whose engines are made ready first, once something serves; the last
            of them is tried where there is no policy.
        changes: expects what changes cost, and learns from those of this controller; None for a
            new one.
    """

    def __init__(
        self,
        runtime: Runtime,
        decider: Decider | None,
        guard: Guard,
        limits: Limits,
        last_good: LastGood,
        options: ControlOptions,
        offer: Offer,
        failed_before: FailedBefore,
        power_mode: Callable[[], str] = lambda: "",
        remarks: Callable[[], list[str]] = list,
        wanted: Sequence[Configuration] = (),
        changes: Changes | None = None,
    ) -> None:
        self._offer, self._changes = offer, changes or Changes()
        self._promised = wanted[-1] if wanted else None
        self._runtime, self._guard, self._limits = runtime, guard, limits
        self._last_good, self._options, self._remarks = last_good, options, remarks
        self._monitors = Monitors(runtime.space.workload, options.thresholds, power_mode)
        self._events: list[Event] = []  # of this period
        self._policy = OptionalPolicy(decider, self._events.append)
        self._conditions = Conditions(
            runtime.space.workload, guard, self._policy, limits, offer, self._monitors, self._events
        )
        self._reported_remarks: set[str] = set()
        self._began_s = time.monotonic()
        self._number = 0
        self._serving: Configuration | None = None
        failures = self._monitors.failures
        self._recovery = Recovery(guard, offer, failures, failed_before, wanted)
        self._idle = False  # no request came in the last window

    def step(self) -> Period:
        """Run one control period: look at conditions, decide, serve and measure, judge, learn.

        Where the configuration that should serve cannot, others are tried in the same period, down
        to the processor's cores.

        Raises:
            StartAnew, RuntimeFault: see `Recovery.period_ended`.
        """
        self._number += 1
        self._events.clear()
        began_s = time.monotonic() - self._began_s
        self._conditions.look()
        deciding_s = time.perf_counter()
        choice = self._choose()
        decision_us = 1e6 * (time.perf_counter() - deciding_s)
        before = self._serving
        outcome, score, violation = self._try(choice)
        tried = {choice.configuration}
        serving, recovery = self._serving is not None, self._recovery
        while (fallback := recovery.fallback(choice, outcome, tried, serving)) is not None:
            choice = Choice(fallback, Phase.SAFE, why="what was chosen could not be served")
            outcome, score, violation = self._try(choice)
            tried.add(fallback)
        self._report_remarks()
        space, after = self._runtime.space, choice.configuration
        expected = self._changes.cost(space, before, after, self._monitors.arrivals.rates_ips)
        self._changes.record(space, before, after, outcome)
        self._events += recovery.period_ended(choice.configuration, outcome)
        return Period(
            self._number,
            began_s,
            choice.phase,
            choice.configuration,
            outcome,
            self._limits.objective,
            violation <= 0,
            score,
            violation,
            decision_us,
            tuple(self._events),
            expected,
            choice.why,
        )

    def first_choice(self) -> Choice:
        """Return what serves first: the last good configuration if it can at once, or a small one.

        What grows from there is an experiment.
        """
        good, guard = self._guard.good, self._guard
        if good is not None and self._offer.ready(good) and not guard.refusal(good):
            return Choice(good, Phase.RETURNED, why="an earlier run kept the limits with it")
        return Choice(guard.safe, Phase.SAFE, why="the smallest configuration serves first")

    @property
    def rates_ips(self) -> tuple[float, ...]:
        """Return the arrivals that are expected, [T], infinite for a closed loop."""
        return self._monitors.arrivals.rates_ips

    def resume(self, rates_ips: Sequence[float]) -> None:
        """Go on after another controller served the same device for a while.

        Args:
            rates_ips: [T], the arrivals to expect now.
        """
        self._conditions.resume(rates_ips)

    def _try(self, choice: Choice) -> tuple[Outcome, float, float]:
        """Serve, judge and learn; return the outcome, the score and the violation."""
        outcome = self._serve(choice.configuration)
        score, violation = self._judge(choice, outcome)
        self._learn(choice, outcome, violation <= 0)
        return outcome, score, violation

    def _choose(self) -> Choice:
        guard, failures = self._guard, self._monitors.failures
        if self._serving is None and failures.failed is None:
            return self.first_choice()
        if self._monitors.power.unreadable:
            good, why = guard.good, "power cannot be read, and a limit or the goal needs it"
            if failures.failed == guard.safe and good is not None and not guard.refusal(good):
                return Choice(good, Phase.SAFE, why=why)
            return Choice(guard.safe, Phase.SAFE, why=why)
        if failures.retry is not None:  # the same again, which starts the lost instance anew
            return Choice(
                failures.retry, Phase.RETURNED, why="an instance was lost: it starts anew"
            )
        ask, serving = self._policy.ask, self._serving
        if guard.ladder.exhausted:  # the policy's space has nothing that works
            return Choice(guard.safe, Phase.SAFE, why="everything else has failed")
        choice = guard.choose(
            None if self._idle else ask(lambda policy: policy.experiment(), self._without_policy()),
            lambda: ask(lambda policy: policy.good_configurations(serving), []),
            lambda: ask(lambda policy: policy.least_violating(), None),
        )
        if choice.refused:
            text = f"the policy's proposal was refused: {choice.refused}"
            self._conditions.react(Event(EventKind.PROPOSAL_REFUSED, text))
        believed = ask(lambda policy: policy.describe(choice.configuration), "")
        return replace(choice, why="; ".join(filter(None, (choice.why, believed))))

    def _without_policy(self) -> Configuration | None:
        """Return what the model promises, once: nothing else is tried without a policy."""
        if self._policy.decider is not None or self._promised is None:
            return None
        if not self._offer.ready(self._promised):
            return None
        promised, self._promised = self._promised, None
        return promised

    def _serve(self, configuration: Configuration) -> Outcome:
        """Apply and measure; any error of a driver is a failure of this period."""
        try:
            return try_configuration(self._runtime, configuration, self._options.period_s)
        except Exception as error:
            return Failure(FailureKind.BUILD_FAILED, f"{type(error).__name__}: {error}")

    def _report_remarks(self) -> None:
        for remark in self._remarks():
            if remark not in self._reported_remarks:
                self._reported_remarks.add(remark)
                self._conditions.react(Event(EventKind.REMARK, remark))

    def _judge(self, choice: Choice, outcome: Outcome) -> tuple[float, float]:
        """Return (score, violation); limits count as broken while needed power is unreadable."""
        searching = choice.phase is Phase.SEARCHING
        self._conditions.react(
            self._monitors.failures.update(choice.configuration, outcome, searching)
        )
        self._events += self._offer.record(choice.configuration, outcome)
        score, violation = 0.0, MAX_VIOLATION
        if isinstance(outcome, Measurement):
            objective, power = self._limits.objective, self._monitors.power
            self._conditions.react(power.update(outcome, limited=objective.needs_power))
            weights = self._runtime.space.workload.weights
            rates_ips = self._monitors.arrivals.rates_ips
            seen = without_idle(outcome, rates_ips)
            judged = at_mean_arrivals(seen, rates_ips)
            score, violation = judge_measurement(judged, objective, weights)
            violation = MAX_VIOLATION if power.unreadable else violation
        return score, violation

    def _learn(self, choice: Choice, outcome: Outcome, kept: bool) -> None:
        """Pass the result of a period on, unless it says nothing of the configuration."""
        configuration, failed = choice.configuration, isinstance(outcome, Failure)
        self._serving = self._serving if failed else configuration
        self._idle = isinstance(outcome, Measurement) and is_idle(outcome)
        if self._monitors.failures.retry is not None:
            return
        if self._monitors.power.unreadable and not failed:
            return
        if self._idle and kept:
            if choice.phase is Phase.SEARCHING:  # it was not really measured: it may not stay
                self._guard.record(configuration, kept=False)
            return
        self._guard.record(configuration, kept, failed)
        if configuration == self._guard.ladder.reserve:
            return
        self._conditions.measured(configuration, outcome, kept)
        self._policy.ask(lambda policy: policy.tell(configuration, outcome), None)
        if kept:
            try:
                self._last_good.keep(configuration)
            except StorageError as error:
                self._conditions.react(Event(EventKind.NOT_STORED, str(error)))
