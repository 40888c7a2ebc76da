"""Control a device whose tenants come and go: a controller for each set of active tenants."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.errors import ObjectiveError
from envs.runtimes.serving.readiness import Readiness
from envs.simulator.device_model import DeviceModel
from envs.spec import Configuration, ConfigurationFailed, Measurement, Objective
from envs.spec.some_tenants import (
    configuration_of_tenants,
    whole_configuration,
    whole_objective,
    whole_outcome,
)
from tuner.control.build import Assembled, assembled
from tuner.control.changes import Changes
from tuner.control.controller import ControlOptions
from tuner.control.events import Event, EventKind
from tuner.control.limits import Limits
from tuner.control.period import Period
from tuner.device import Device
from tuner.model_at import at_rates, rates_of
from tuner.placement.active import ActiveTenants
from tuner.placement.active_parts import ActiveAgreements, ActiveReadiness
from tuner.placement.newcomers import Believed, chance_of, placed_beside

#: Chance to keep all limits beside what serves with which a newcomer is placed there; below it,
#: what the policy believes safest may serve first instead.
SURE_ENOUGH = 0.8

#: Sets of active tenants whose measurements are kept.
MOST_SETS = 16


class TenantControl:
    """A device of T tenants, of which the active ones are served; `step` is one period.

    When tenants come or go, the policy decides for the new set. What serves goes on serving: the
    others are placed beside it first, and then searched for as usual. What was measured of a set
    before is remembered.

    Args:
        device: with tenants that are optional in its space.
        given: goal, limits and risk, and as `active` the names that are served at first.
        limits_path: of the file that may change them, and says who is active; None for no file.
        bundle: of the policy.
        folder: keeps the last good configuration, and what failed in the process before.
        options: how to control.
        power_mode: returns the name of the power mode.

    Attributes:
        active: ascending indices of the tenants that are served.
        now: the controller of these, and its parts.
        device: the part of the device that serves these.

    Raises:
        ObjectiveError: the limits cannot be kept, or the file cannot be read.
    """

    def __init__(
        self,
        device: Device,
        given: dict[str, Any],
        limits_path: Path | None,
        bundle: Path,
        folder: Path,
        options: ControlOptions,
        power_mode: Callable[[], str] = lambda: "",
    ) -> None:
        self._device, self._given, self._path = device, given, limits_path
        self._bundle, self._folder, self._options = bundle, folder, options
        self._power_mode = power_mode
        space, has_power = device.space, device.runtime.has_power
        self._total, self._names = space.shape[0], space.workload.names
        self._limits = Limits(
            given, space.workload, has_power, limits_path, optional=space.optional
        )
        self._rates_ips = list(rates_of(space))
        self._known: dict[tuple[int, ...], tuple[Assembled, Device]] = {}
        self._serving: Configuration | None = None  # of all tenants
        self._changes = Changes()
        self._number, self._began_s = 0, time.monotonic()
        self.active = self._limits.active
        self.now, self.device = self._of(self.active)

    def step(self) -> Period:
        """Serve one period: look who is active, and let the controller of these decide.

        Raises:
            StartAnew, RuntimeFault: see `Controller.step`.
        """
        self._number += 1
        began_s = time.monotonic() - self._began_s
        looking_s = time.perf_counter()
        event = self._look()  # to decide for other tenants is a decision, too
        looked_us = 1e6 * (time.perf_counter() - looking_s)
        period = self._whole(self.now.controller.step(), began_s)
        space, before = self._device.space, self._serving
        expected = self._changes.cost(space, before, period.configuration, self._rates_ips)
        decision_us = period.decision_us + looked_us
        period = replace(period, expected=expected, decision_us=decision_us)
        if isinstance(period.outcome, Measurement):
            self._serving = period.configuration
        for tenant, rate in zip(self.active, self.now.controller.rates_ips, strict=True):
            self._rates_ips[tenant] = rate
        return replace(period, events=(event, *period.events)) if event else period

    def _look(self) -> Event | None:
        """Turn to the tenants that the limits' file names; return an event if they are others."""
        try:
            self._limits.refresh()
        except ObjectiveError:
            return None  # the controller reads the same file, and reports it
        before, active = self.active, self._limits.active
        if active == before:
            return None
        for tenant, rate in self._limits.told_ips.items():
            if tenant not in before:
                self._rates_ips[tenant] = rate
        self.active = active
        if active in self._known:
            self._known[active] = self._known.pop(active)  # the last one used
            self.now, self.device = self._known[active]
            self.now.last_good.move(self._folder)
            self.now.controller.resume([self._rates_ips[tenant] for tenant in active])
        else:
            self.now, self.device = self._of(active)
        come, gone = sorted({*active} - {*before}), sorted({*before} - {*active})
        parts = [f"{self._names[tenant]} comes" for tenant in come]
        parts += [f"{self._names[tenant]} goes" for tenant in gone]
        return Event(EventKind.TENANTS_CHANGED, f"tenants changed: {', '.join(parts)}")

    def _of(self, active: tuple[int, ...]) -> tuple[Assembled, Device]:
        """Return a new controller of some tenants."""
        space, path = self._device.space, self._path
        workload = at_rates(space, tuple(self._rates_ips)).workload
        device = active_device(self._device, active, self._rates_ips)
        limits = Limits(
            self._given, workload, device.runtime.has_power, path, active, space.optional
        )
        objective = limits.objective
        first = self._first(device, objective, active)
        kept = None if first is None else first.configuration
        if kept is not None:  # newcomers are served before the policy thinks about all of them
            with contextlib.suppress(ConfigurationFailed):  # the controller meets it again
                device.runtime.apply(kept)
        made = assembled(
            device,
            limits,
            self._bundle,
            self._folder,
            self._options,
            self._power_mode,
            kept,
            self._changes,
        )
        if first is not None and first.chance < SURE_ENOUGH and made.decider is not None:
            safest = made.decider.safest()
            if chance_of(device.model, objective, safest) > first.chance:
                made.decider.forget(safest)
                made.guard.good = safest
        self._known[active] = made, device
        while len(self._known) > MOST_SETS:
            self._known.pop(next(iter(self._known)))
        return made, device

    def _first(
        self, device: Device, objective: Objective, active: tuple[int, ...]
    ) -> Believed | None:
        """Return what serves now, with newcomers beside it; None to begin as after a start."""
        if self._serving is None:
            return None
        part = configuration_of_tenants(self._serving, active)
        served = {tenant for tenant, _, _, _ in part.slots()}
        newcomers = [position for position in range(len(active)) if position not in served]
        if not newcomers:
            return Believed(part, 1.0)
        model = device.model
        if device.readiness is not None:
            model = replace(model, space=device.readiness.offered)
        return placed_beside(model, objective, part, newcomers)

    def _whole(self, period: Period, began_s: float) -> Period:
        """Return the period as one of all tenants."""
        active, total = self.active, self._total
        return replace(
            period,
            number=self._number,
            began_s=began_s,
            configuration=whole_configuration(period.configuration, active, total),
            outcome=whole_outcome(period.outcome, active, total),
            objective=whole_objective(period.objective, active, total),
        )


def active_device(device: Device, active: Sequence[int], rates_ips: Sequence[float]) -> Device:
    """Return the part of a device that serves some of its tenants.

    Args:
        device: of T tenants.
        active: ascending indices [T'].
        rates_ips: [T], the arrivals to expect.
    """
    tenants, whole = tuple(active), tuple(rates_ips)
    runtime = ActiveTenants(device.runtime, tenants, whole)

    def model_at(own_ips: tuple[float, ...]) -> DeviceModel:
        every = list(whole)
        for tenant, rate in zip(tenants, own_ips, strict=True):
            every[tenant] = rate
        return device.model_at(tuple(every)).of_tenants(tenants)

    reserve = device.reserve
    return replace(
        device,
        runtime=runtime,
        model_at=model_at,
        agreements=ActiveAgreements(device.agreements, tenants),
        readiness=ActiveReadiness(device.readiness, tenants, len(whole))
        if isinstance(device.readiness, Readiness)
        else None,
        reserve=None if reserve is None else configuration_of_tenants(reserve, tenants),
    )
