"""Puts a controller together: limits, policy, guard and what is remembered, in the order in which they need each other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.belief.prior import starting_configuration
from envs.errors import BundleError
from tuner.control.controller import Controller, ControlOptions
from tuner.control.decider import Decider
from tuner.control.guard import Guard
from tuner.control.last_good import LastGood
from tuner.control.limits import Limits
from tuner.device import Device
from tuner.policy.bundle import load_bundle


@dataclass(frozen=True)
class Assembled:
    """A controller, and what it stands on."""

    controller: Controller
    limits: Limits
    memory: LastGood
    guard: Guard
    decider: Decider | None


def controller_of(
    served: Device,
    given: dict[str, Any],
    limits: Path | None,
    bundle: Path,
    folder: Path,
    options: ControlOptions,
    power_mode: Callable[[], str] = lambda: "",
) -> Assembled:
    """A controller of a service.

    Args:
        given: limits, see `Limits`; limits: the file that may change them. folder: keeps the last good configuration.

    Raises:
        ObjectiveError: the limits cannot be kept, or read.
    """
    asked = Limits(given, served.space.workload.names, served.runtime.has_power, limits)
    memory = LastGood(folder, served.space)
    good = memory.load()
    rates = tuple(tenant.rate_ips for tenant in served.space.workload.tenants)
    decider = None
    try:
        decider = Decider(
            load_bundle(bundle), served.model_at, served.candidates, asked.objective, rates, good
        )
    except BundleError as error:
        print(f"serving without a policy: {error}", file=sys.stderr)
    safe = (
        decider.safe
        if decider
        else starting_configuration(served.model_at(rates), asked.objective, served.candidates)
    )
    guard = Guard(served.space, safe, good, options.cooldown)
    controller = Controller(
        served.runtime, decider, guard, asked, memory, options, power_mode, served.remarks
    )
    return Assembled(controller, asked, memory, guard, decider)
