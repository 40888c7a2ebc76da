"""Journals as a service writes them: real periods through the real journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Objective,
    Outcome,
    Tenant,
    Workload,
    judge_measurement,
)
from tests.worlds import network, respond, space
from tuner.control.events import Event, EventKind
from tuner.control.guard import Phase
from tuner.control.journal import Journal
from tuner.control.period import Period

WORLD = space()
SMALL, LARGE = (Configuration.of(WORLD.catalogue[row]) for row in (5, 17))
LIMIT_MS = 1000.0
FAILED = Failure(FailureKind.TIMED_OUT, "no request was answered")


def named(*names: str) -> ConfigurationSpace:
    """Return a space whose tenants have these names."""
    return replace(WORLD, workload=Workload(tuple(Tenant(each, network(each)) for each in names)))


def period(
    number: int,
    phase: Phase = Phase.HOLDING,
    configuration: Configuration = SMALL,
    outcome: Outcome | None = None,
    limit_ms: float = LIMIT_MS,
    events: Sequence[Event] = (),
    world: ConfigurationSpace = WORLD,
) -> Period:
    """Return a period of 3 s, judged as a controller judges it."""
    found = respond(world, configuration) if outcome is None else outcome
    objective = Objective((limit_ms,) * len(world.workload.tenants))
    weights = (1.0,) * len(world.workload.tenants)
    score, violation = judge_measurement(found, objective, weights)
    return Period(
        number,
        3.0 * number,
        phase,
        configuration,
        found,
        objective,
        violation <= 0,
        score,
        violation,
        80.0,
        tuple(events),
    )


def write(path: Path, *periods: Period, world: ConfigurationSpace = WORLD) -> Path:
    """Append the lines of these periods."""
    journal = Journal(path)
    for each in periods:
        journal.write(each.as_dict(world))
    return path


def event(text: str, kind: EventKind = EventKind.REMARK) -> Event:
    return Event(kind, text)
