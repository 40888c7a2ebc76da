"""Put a controller together: limits, policy, guard and the last good configuration."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envs.belief.prior import starting_configuration
from envs.errors import BundleError
from envs.spec import Configuration, Objective
from tuner.control.changes import Changes
from tuner.control.controller import Controller, ControlOptions
from tuner.control.decider import Decider
from tuner.control.failed_before import FailedBefore
from tuner.control.guard import Guard
from tuner.control.ladder import Ladder, rungs_of
from tuner.control.last_good import LastGood
from tuner.control.limits import Limits
from tuner.control.offer import Offer
from tuner.device import Device
from tuner.policy.bundle import load_bundle

_log = logging.getLogger(__name__)

#: With more knobs, networks times places, the search for a first configuration takes its time.
MANY_KNOBS = 60


@dataclass(frozen=True)
class Assembled:
    """A controller, and its parts; the decider is None if no policy could be loaded."""

    controller: Controller
    limits: Limits
    last_good: LastGood
    guard: Guard
    decider: Decider | None


def controller_of(
    device: Device,
    given: dict[str, Any],
    limits_path: Path | None,
    bundle: Path,
    folder: Path,
    options: ControlOptions,
    power_mode: Callable[[], str] = lambda: "",
) -> Assembled:
    """Return a controller of a device whose tenants are all served.

    Args:
        device: to be controlled.
        given: goal, limits and risk, see `Limits`.
        limits_path: of the file that may change them; None for no file.
        bundle: of the policy.
        folder: keeps the last good configuration, and what failed in the process before.
        options: how to control.
        power_mode: returns the name of the power mode.

    Raises:
        ObjectiveError: the limits cannot be kept, or the file cannot be read.
    """
    limits = Limits(given, device.space.workload, device.runtime.has_power, limits_path)
    return assembled(device, limits, bundle, folder, options, power_mode)


def assembled(
    device: Device,
    limits: Limits,
    bundle: Path,
    folder: Path,
    options: ControlOptions,
    power_mode: Callable[[], str] = lambda: "",
    first: Configuration | None = None,
    changes: Changes | None = None,
) -> Assembled:
    """Return a controller of a device.

    A policy that cannot be loaded is reported as a warning, and the controller does without.

    Args:
        device: to be controlled.
        limits: of its tenants.
        bundle: of the policy.
        folder: keeps the last good configuration, and what failed in the process before.
        options: how to control.
        power_mode: returns the name of the power mode.
        first: serves first; None for the last good configuration of a run before.
        changes: knows what changes of the device cost; None where none was made yet.
    """
    changes = changes or Changes()
    space, runtime, thresholds = device.space, device.runtime, options.thresholds
    objective, last_good = limits.objective, LastGood(folder, space)
    good = first or last_good.load()
    offer = Offer(space, thresholds, device.readiness, device.agreements)
    ladder = Ladder(rungs_of(space, device.candidates), device.reserve, offer.ready)
    failed_before = FailedBefore.of(folder, space)
    if failed_before.dropped:
        offer.drop(failed_before.dropped)
        if offer.space(objective.min_agreement) is None and failed_before.may_restart:
            offer.restore()  # a new process is what may help
    offered = offer.space(objective.min_agreement) or offer.ready_space
    if space.knobs > MANY_KNOBS:
        _log.info(
            "searching the device model for where to begin, with %d networks on %d places: this may"
            " take a minute or two",
            *space.shape,
        )
    decider = None
    try:
        decider = Decider(
            load_bundle(bundle),
            device.model_at,
            device.candidates,
            objective,
            space.workload.rates_ips,
            good,
            thresholds,
            offered,
            limits.risk,
            changes,
        )
    except BundleError as error:
        _log.warning("serving without a policy: %s", error)
    guard = Guard(space, ladder, good, thresholds.in_a_row)
    guard.narrow(offered)
    controller = Controller(
        runtime,
        decider,
        guard,
        limits,
        last_good,
        options,
        offer,
        failed_before,
        power_mode,
        device.remarks,
        _wanted(device, objective, good, decider),
        changes,
    )
    return Assembled(controller, limits, last_good, guard, decider)


def _wanted(
    device: Device, objective: Objective, good: Configuration | None, decider: Decider | None
) -> list[Configuration]:
    """Return the configurations whose engines are wanted first: the last good, the promising.

    Where every engine is ready the policy has looked at the same configurations already: searching
    a large space twice would double the time until something serves.
    """
    if device.readiness is None and decider is not None:
        promising = decider.start
    else:
        ready = device.readiness
        model = device.model if ready is None else replace(device.model, space=ready.known)
        promising = starting_configuration(model, objective, device.candidates)
    return [*([good] if good else []), promising]
