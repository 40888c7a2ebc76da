"""The format of a trace: one row per configuration; the file's metadata says where they come from.

Columns: `<tenant>.<accelerator>.instances` and `.batch`; `<tenant>.<quantity>` for the quantities
of one tenant; the quantities of the whole window; `failure` and `failure_reason` for a
configuration that could not be measured, whose quantities are NaN. Where a power sensor names its
rails, `rail.<name>` holds the mean power of each [W].

In a recording of measurements that others published, p99 may be missing (NaN). It then has columns
of `STAND_INS`, and its metadata names the one that is judged in place of p99 (`latency_quantity`).
"""

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from envs.errors import TraceError
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Origin,
    Outcome,
    TenantMeasurement,
)

FORMAT = 1
METADATA_KEY = b"tuner.trace"

TENANT_QUANTITIES = tuple(field.name for field in fields(TenantMeasurement))

#: Quantities of a tenant that recordings of earlier versions lack, and nobody publishes.
LATER_QUANTITIES = ("agreement", "agreement_samples")

#: Quantities of a window that recordings of earlier versions lack.
LATER_OF_WINDOW = ("gpu_free_mib", "available_mib")
WINDOW_QUANTITIES = (
    "window_s",
    "power_w",
    "energy_j",
    "memory_mib",
    *LATER_OF_WINDOW,
    "overlap",
    "foreign_share",
    "apply_s",
    "measure_s",
)

#: The column of a tenant that latency limits are about.
P99 = "p99_ms"

#: Columns of a tenant that may stand in for a p99 that was never published, and their names. A
#: tenant with instances on several accelerators has `slowest_p50_ms`: the largest median of any.
STAND_INS = {
    "p95_ms": "p95",
    "slowest_p50_ms": "median of the slowest engine",
    "mean_ms": "mean latency",
}

#: Column of the mean power of a rail [W]: this and the rail's name.
RAIL = "rail."

Row = dict[str, Any]


def check_names(space: ConfigurationSpace) -> None:
    """Check that all names are printable text, for they reach terminals, tables and reports.

    Raises:
        TraceError: a name is not; the message has it.
    """
    device, tenants = space.device, space.workload.tenants
    for name in (
        device.name,
        device.power_mode,
        *(tenant.name for tenant in tenants),
        *(tenant.network.name for tenant in tenants),
    ):
        if not isinstance(name, str) or not name.isprintable():
            raise TraceError(
                f"the name {str(name)[:80]!r} is not printable text: rename the network's file"
            )


def placement_columns(space: ConfigurationSpace) -> list[str]:
    """Return the column names of the placements, flat in the order [T, A, 2]."""
    return [
        f"{tenant}.{accelerator}.{part}"
        for tenant in space.workload.names
        for accelerator in space.device.accelerator_names
        for part in ("instances", "batch")
    ]


def number_columns(space: ConfigurationSpace) -> list[str]:
    """Return the names of all columns of floating-point numbers."""
    return [
        f"{tenant}.{quantity}" for tenant in space.workload.names for quantity in TENANT_QUANTITIES
    ] + list(WINDOW_QUANTITIES)


def later_columns(space: ConfigurationSpace) -> list[str]:
    """Return the columns that a recording of an earlier version lacks: nothing was read there."""
    return [
        f"{tenant}.{each}" for tenant in space.workload.names for each in LATER_QUANTITIES
    ] + list(LATER_OF_WINDOW)


def extra_columns(space: ConfigurationSpace, present: Iterable[str]) -> list[str]:
    """Return which of the columns that are present hold rails, or a stand-in for p99, sorted."""
    stand_ins = {f"{tenant}.{each}" for tenant in space.workload.names for each in STAND_INS}
    stand_ins -= set(number_columns(space))
    return sorted(name for name in present if name in stand_ins or name.startswith(RAIL))


def text_columns() -> list[str]:
    """Return the names of all columns of text."""
    return ["threads", "sensor", "failure", "failure_reason"]


def row_of(
    space: ConfigurationSpace,
    configuration: Configuration,
    outcome: Outcome,
    attempts: int,
    when_unix_s: float,
) -> Row:
    """Return the row of a configuration and its outcome, after this many attempts."""
    row: Row = dict(
        zip(placement_columns(space), configuration.array().ravel().tolist(), strict=True)
    )
    row |= dict.fromkeys(number_columns(space), math.nan) | dict.fromkeys(text_columns(), "")
    row |= {"disturbed": False, "attempts": attempts, "when_unix_s": when_unix_s}
    if isinstance(outcome, Failure):
        return row | {
            "failure": outcome.kind.value,
            "failure_reason": outcome.reason,
            "measure_s": outcome.cost_s,
        }
    for name, tenant in zip(space.workload.names, outcome.tenants, strict=True):
        row |= {
            f"{name}.{quantity}": float(getattr(tenant, quantity)) for quantity in TENANT_QUANTITIES
        }
    row |= {quantity: float(getattr(outcome, quantity)) for quantity in WINDOW_QUANTITIES}
    row |= {f"{RAIL}{rail}": float(watts) for rail, watts in outcome.rails_w.items()}
    return row | {
        "threads": " ".join(map(str, outcome.threads)),
        "sensor": outcome.sensor,
        "disturbed": outcome.disturbed,
    }


def configuration_of(space: ConfigurationSpace, row: Row) -> Configuration:
    """Return the configuration in a row."""
    return Configuration.of(
        np.array([row[name] for name in placement_columns(space)]).reshape(*space.shape, 2)
    )


def outcome_of(space: ConfigurationSpace, row: Row, latency: str = P99) -> Outcome:
    """Return the outcome in a row; its origin is a replay.

    Args:
        space: of the configurations.
        row: as `row_of` made it.
        latency: the column that is judged by latency limits: `P99`, or one of `STAND_INS`.
    """
    if row["failure"]:
        return Failure(FailureKind(row["failure"]), row["failure_reason"], float(row["measure_s"]))
    tenants = tuple(
        TenantMeasurement(
            **{quantity: float(row[f"{name}.{quantity}"]) for quantity in TENANT_QUANTITIES}
            | {P99: float(row[f"{name}.{latency}"])}
        )
        for name in space.workload.names
    )
    numbers: dict[str, Any] = {quantity: float(row[quantity]) for quantity in WINDOW_QUANTITIES}
    return Measurement(
        tenants=tenants,
        origin=Origin.REPLAYED,
        disturbed=bool(row["disturbed"]),
        threads=tuple(int(text) for text in row["threads"].split()),
        sensor=row["sensor"],
        rails_w={
            name.removeprefix(RAIL): float(watts)
            for name, watts in row.items()
            if name.startswith(RAIL) and watts > 0
        },
        latency_quantity=STAND_INS.get(latency, "p99"),
        **numbers,
    )
