"""Checks of the fields of a space, before anything is enumerated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.errors import OptionError

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace

#: The largest batch a DLA takes (NVIDIA, TensorRT developer guide, "Working with DLA"); no
#: accelerator is offered a larger one.
MAX_BATCH = 4096

#: A knob has at most this many options: arrays of instances are 16 bits wide.
MAX_OPTIONS = 32_000


def check_space(space: ConfigurationSpace) -> None:
    """Raise OptionError, which names the key, unless the fields of a space can be used."""
    tenants, accelerators = space.shape
    if space.max_instances < 1:
        raise OptionError(f"max_instances={space.max_instances} must be at least 1")
    if space.max_total_instances is not None and space.max_total_instances < tenants:
        raise OptionError(
            f"max_total_instances={space.max_total_instances} is below the number of tenants,"
            f" {tenants}"
        )
    if (
        not space.batches
        or min(space.batches) < 1
        or max(space.batches) > MAX_BATCH
        or list(space.batches) != sorted(set(space.batches))
    ):
        raise OptionError(
            f"batches={list(space.batches)} must be ascending whole numbers from 1 to {MAX_BATCH}"
        )
    if space.max_instances * len(space.batches) > MAX_OPTIONS:
        raise OptionError(
            f"max_instances={space.max_instances} with {len(space.batches)} batch sizes is above"
            f" {MAX_OPTIONS:,} choices: lower it"
        )
    pairs = {(t, a) for t in range(tenants) for a in range(accelerators)}
    for key in ("unavailable", "unjudged"):
        if not getattr(space, key) <= pairs:
            raise OptionError(
                f"{key}={sorted(getattr(space, key))} must be pairs (tenant, accelerator) below"
                f" {space.shape}"
            )
    for key in ("unavailable_batches", "blocks"):
        given = getattr(space, key)
        if not all(each[:2] in pairs and each[2] >= 1 for each in given):
            raise OptionError(
                f"{key}={sorted(given)} must be (tenant, accelerator) below {space.shape} and a"
                " number from 1 on"
            )
    if not space.optional <= set(range(tenants)):
        raise OptionError(f"optional={sorted(space.optional)} must be tenants below {tenants}")
