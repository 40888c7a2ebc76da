"""The places of a configuration or a space, and failures that name theirs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import replace

from envs.spec import Configuration, ConfigurationSpace, Failure, Kind, Place


def places_of(configuration: Configuration) -> list[Place]:
    """Return the places that a configuration uses."""
    return [Place(tenant, column, batch) for tenant, column, _, batch in configuration.slots()]


def all_places(space: ConfigurationSpace) -> list[Place]:
    """Return every place of a space: the smallest batches first, DLAs last."""
    devices = space.device.accelerators
    columns = sorted(range(len(devices)), key=lambda each: devices[each].start_rank)
    pairs = itertools.product(columns, range(space.shape[0]))
    of_pairs = [
        [Place(tenant, column, batch) for batch in space.batches_of(tenant, column)]
        for column, tenant in pairs
        if (tenant, column) not in space.unavailable
    ]
    by_batch = itertools.zip_longest(*of_pairs)
    return [place for row in by_batch for place in row if place is not None]


def first_places(space: ConfigurationSpace) -> list[Place]:
    """Return one place of each pair (tenant, accelerator) of a space: its smallest batch."""
    seen: dict[tuple[int, int], Place] = {}
    for place in all_places(space):
        seen.setdefault(place[:2], place)
    return list(seen.values())


def without_places(
    space: ConfigurationSpace,
    gone: Collection[Place],
    blocks_of: Callable[[int, int], int],
) -> ConfigurationSpace:
    """Return a space without places, that knows what engines take on DLAs, as far as is known.

    Args:
        space: of everything.
        gone: places that are no choice.
        blocks_of: returns how many loadables an engine of a pair takes; 1 where it does not know.
    """
    narrowed = space.without_batches(gone)
    on_dla = [n for n, each in enumerate(space.device.accelerators) if each.kind is Kind.DLA]
    pairs = set(itertools.product(range(space.shape[0]), on_dla)) - narrowed.closed
    blocks = {(tenant, column, blocks_of(tenant, column)) for tenant, column in pairs}
    return replace(
        narrowed,
        unjudged=narrowed.unjudged - narrowed.unavailable,
        blocks=frozenset(each for each in blocks if each[2] > 1),
    )


def describe_place(space: ConfigurationSpace, place: Place) -> str:
    """Return a place as text: `resnet50 on dla0 at batch 4`."""
    name = space.device.accelerator_names[place.accelerator]
    return f"{space.workload.names[place.tenant]} on {name} at batch {place.batch}"


def placed(space: ConfigurationSpace, failure: Failure, place: Place | None = None) -> Failure:
    """Return a failure that names its place in its reason.

    Args:
        space: has the names.
        failure: it may have a place already.
        place: where it failed, if it has none; None where nobody knows.
    """
    place = failure.place or place
    if place is None:
        return failure
    names = space.workload.names[place.tenant], space.device.accelerator_names[place.accelerator]
    named = all(name in failure.reason for name in names)
    reason = failure.reason if named else f"{describe_place(space, place)}: {failure.reason}"
    return replace(failure, reason=reason, place=place)
