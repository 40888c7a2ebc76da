"""The conditions of serving: notice that they change, and do what follows."""

from __future__ import annotations

from collections.abc import Sequence

from envs.errors import ObjectiveError
from envs.spec import Configuration, Failure, Outcome, Workload
from tuner.control.events import Event, EventKind
from tuner.control.guard import Guard
from tuner.control.limits import Limits
from tuner.control.monitors import Monitors
from tuner.control.offer import Offer
from tuner.control.optional_policy import OptionalPolicy


class Conditions:
    """Hold the space, the limits, and the state of the monitors; guard and policy follow them.

    Args:
        workload: the tenants.
        guard, policy: are told what follows from a change.
        limits: may change.
        offer: may change, too.
        monitors: notice other changes.
        events: of this period; more are added.
    """

    def __init__(
        self,
        workload: Workload,
        guard: Guard,
        policy: OptionalPolicy,
        limits: Limits,
        offer: Offer,
        monitors: Monitors,
        events: list[Event],
    ) -> None:
        self._workload, self._guard, self._policy = workload, guard, policy
        self._limits, self._offer, self._monitors = limits, offer, monitors
        self._events = events
        self._told_ips = dict[int, float]()
        self._resumed_ips: Sequence[float] | None = None
        self._offered = offer.space(limits.objective.min_agreement)
        if self._offered is not None:
            guard.narrow(self._offered)

    def look(self) -> None:
        """Look at what is offered, the limits and the power mode, before a period."""
        self._events += self._offer.news()
        self._follow_offer()
        try:
            if self._limits.refresh():
                text = f"limits changed: {self._limits.describe()}"
                self.react(Event(EventKind.LIMITS_CHANGED, text))
        except ObjectiveError as error:
            self.react(Event(EventKind.LIMITS_REFUSED, str(error)))
        self._follow_told_arrivals()
        self.react(self._monitors.power_mode.update())

    def measured(self, configuration: Configuration, outcome: Outcome, kept: bool) -> None:
        """Notice that the device, its neighbours, arrivals or heat are not what was assumed."""
        ask, monitors = self._policy.ask, self._monitors
        was_good = not kept and ask(
            lambda policy: configuration in policy.good_configurations(), False
        )
        sigmas = ask(lambda policy: policy.sigmas_beyond(configuration, outcome), 0.0)
        drifted = monitors.drift.update(
            configuration, outcome, kept=kept, was_good=was_good, sigmas=sigmas if was_good else 0.0
        )
        if isinstance(outcome, Failure):
            return
        gone = monitors.neighbour.update(outcome, kept)
        if drifted is not None:
            monitors.neighbour.device_changed(monitors.drift.most_broken, outcome)
            self.react(drifted)
        elif gone is not None:
            self.react(gone)
        else:
            if self._policy.decider is not None:
                self.react(monitors.arrivals.update(outcome, kept))
            self.react(monitors.heat.update(outcome))

    def react(self, event: Event | None) -> None:
        """Report an event, and do what follows from it.

        - Limits changed: choose anew from what was measured. The last good configuration stays
          good only if it keeps the new limits.
        - Arrivals changed: forget what was measured, and decide for the new rates, with least rates
          that fit them.
        - Neighbour gone: forget, and measure first what served before it came.
        - Power mode, temperature or device changed: forget.
        - Power unreadable: the controller serves the safe default until it is readable.
        - Measurement failed: the controller retries after an accident; the guard returns to what
          is good or safe after others.
        - All others: nothing.
        """
        if event is None:
            return
        self._events.append(event)
        ask, guard, still_good = self._policy.ask, self._guard, True
        if event.kind is EventKind.LIMITS_CHANGED:
            self._follow_limits()
            self._monitors.failures.retry = None
            still_good = ask(lambda policy: guard.good in policy.good_configurations(), True)
        elif event.kind is EventKind.ARRIVALS_CHANGED:
            rates_ips = self._monitors.arrivals.rates_ips
            self._limits.arrivals_changed(rates_ips)
            ask(lambda policy: policy.set_rates(rates_ips, self._limits.objective), None)
        elif event.kind is EventKind.NEIGHBOUR_GONE:
            before = self._monitors.neighbour.take_served_before()
            ask(lambda policy: policy.forget(before), None)
        elif event.kind in (
            EventKind.POWER_MODE_CHANGED,
            EventKind.TEMPERATURE_CHANGED,
            EventKind.DEVICE_CHANGED,
        ):
            if event.kind is EventKind.POWER_MODE_CHANGED:
                self._offer.power_mode_changed()
            ask(lambda policy: policy.forget(), None)
        else:
            return
        self._monitors.drift.clear()
        guard.conditions_changed(still_good)

    def resume(self, rates_ips: Sequence[float]) -> None:
        """Expect other arrivals [T] from the next period on, where they are clearly others."""
        self._monitors.drift.clear()
        self._resumed_ips = self._monitors.arrivals.resumed(rates_ips)

    def _follow_told_arrivals(self) -> None:
        """Expect the arrivals that the limits' file tells, once for each version of them."""
        if self._resumed_ips is not None:
            self.react(self._monitors.arrivals.told(self._resumed_ips))
            self._resumed_ips = None
        before, told_ips = self._told_ips, self._limits.told_ips
        if told_ips == before:
            return
        self._told_ips = told_ips
        arrivals, tenants = self._monitors.arrivals, self._limits.tenants
        new = {tenant: rate for tenant, rate in told_ips.items() if rate != before.get(tenant)}
        pairs = zip(tenants, arrivals.rates_ips, strict=True)
        self.react(arrivals.told([new.get(tenant, assumed) for tenant, assumed in pairs]))

    def _follow_offer(self) -> None:
        """Let the guard and the policy choose from what is offered now; all, if nothing is left."""
        offered = self._offer.space(self._limits.objective.min_agreement)
        if offered is not None and offered != self._offered:
            self._offered = offered
            self._guard.narrow(offered)
            self._policy.ask(lambda policy: policy.offer(offered), None)

    def _follow_limits(self) -> None:
        """Let only accelerators serve that keep the limit on agreement; all, if none does."""
        objective = self._limits.objective
        offered = self._offer.space(objective.min_agreement)
        if offered is None:
            text = f"nothing that can serve keeps min_agreement={objective.min_agreement:g}"
            self._events.append(Event(EventKind.LIMITS_REFUSED, text))
        else:
            self._offered = offered
            self._guard.narrow(offered)
        risk = self._limits.risk
        self._policy.ask(lambda policy: policy.set_objective(objective, offered, risk), None)
