"""Some of the tenants of a workload: their part of spaces, configurations and results, and back.

`tenants` are always ascending indices [T'] into the whole workload of T tenants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.errors import OptionError
from envs.spec.configuration import Configuration
from envs.spec.measurement import Failure, Measurement, Outcome, Place, TenantMeasurement
from envs.spec.objective import Objective
from envs.spec.workload import Workload

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace

#: Fields of a space that name tenants, each as the first of some numbers; most spaces have none.
APART = ("unavailable", "unjudged", "unavailable_batches", "blocks")

#: What a tenant gives in a window in which it has no instance.
UNSERVED = TenantMeasurement(0.0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)


def space_of_tenants(space: ConfigurationSpace, tenants: Sequence[int]) -> ConfigurationSpace:
    """Return the space of some tenants alone, each of which has to be served.

    Raises:
        OptionError: there is no such tenant, or none at all.
    """
    known = range(space.shape[0])
    if list(tenants) != sorted(set(tenants)) or not set(tenants) <= set(known):
        raise OptionError(f"tenants={list(tenants)} must ascend and lie in {known}")
    position = {tenant: place for place, tenant in enumerate(tenants)}
    apart: dict[str, Any] = {
        key: frozenset(
            (position[each[0]], *each[1:]) for each in getattr(space, key) if each[0] in position
        )
        for key in APART
    }
    every = space.workload.tenants
    workload = Workload(tuple(every[tenant] for tenant in tenants))
    return replace(space, workload=workload, optional=frozenset(), **apart)


def configuration_of_tenants(configuration: Configuration, tenants: Sequence[int]) -> Configuration:
    """Return the part of some tenants, [T', A]."""
    return Configuration(tuple(configuration.placements[tenant] for tenant in tenants))


def whole_configuration(
    configuration: Configuration, tenants: Sequence[int], total: int
) -> Configuration:
    """Return the configuration [T, A] in which all other tenants are without an instance."""
    part = configuration.array()
    placements = np.zeros((total, *part.shape[1:]), dtype=part.dtype)
    placements[list(tenants)] = part
    return Configuration.of(placements)


def outcome_of_tenants(outcome: Outcome, tenants: Sequence[int]) -> Outcome:
    """Return the part of some tenants; a failure at a place of another tenant has no place."""
    if isinstance(outcome, Failure):
        place = outcome.place
        if place is not None:
            here = place.tenant in tenants
            place = place._replace(tenant=list(tenants).index(place.tenant)) if here else None
        return replace(outcome, place=place)
    return replace(outcome, tenants=tuple(outcome.tenants[tenant] for tenant in tenants))


def whole_outcome(outcome: Outcome, tenants: Sequence[int], total: int) -> Outcome:
    """Return an outcome of all T tenants, of which the others were not served."""
    if isinstance(outcome, Failure):
        return replace(outcome, place=whole_place(outcome.place, tenants))
    every = [UNSERVED] * total
    for tenant, each in zip(tenants, outcome.tenants, strict=True):
        every[tenant] = each
    return replace(outcome, tenants=tuple(every))


def with_unserved(measurement: Measurement, configuration: Configuration) -> Measurement:
    """Return the measurement [T] in which each tenant without an instance gave nothing."""
    served = {tenant for tenant, _, _, _ in configuration.slots()}
    if len(served) == len(measurement.tenants):
        return measurement
    tenants = (
        each if tenant in served else UNSERVED for tenant, each in enumerate(measurement.tenants)
    )
    return replace(measurement, tenants=tuple(tenants))


def whole_place(place: Place | None, tenants: Sequence[int]) -> Place | None:
    """Return a place by the indices of the whole workload."""
    return None if place is None else place._replace(tenant=tenants[place.tenant])


def objective_of_tenants(objective: Objective, tenants: Sequence[int]) -> Objective:
    """Return the limits of some tenants."""
    least = objective.min_rate_ips
    return replace(
        objective,
        p99_ms=tuple(objective.p99_ms[tenant] for tenant in tenants),
        min_rate_ips=tuple(least[tenant] for tenant in tenants) if least else (),
    )


def whole_objective(objective: Objective, tenants: Sequence[int], total: int) -> Objective:
    """Return an objective of all T tenants, of which the others have no limit."""
    p99_ms, least = [math.inf] * total, [0.0] * total
    for position, tenant in enumerate(tenants):
        p99_ms[tenant] = objective.p99_ms[position]
        if objective.min_rate_ips:
            least[tenant] = objective.min_rate_ips[position]
    limits = tuple(least) if objective.min_rate_ips else ()
    return replace(objective, p99_ms=tuple(p99_ms), min_rate_ips=limits)
