"""The format of a trace: one row per configuration; the file's metadata says where they come from.

Columns: `<tenant>.<accelerator>.instances` and `.batch`; `<tenant>.<quantity>` for the quantities
    of
one tenant; the quantities of the whole window; `failure` and `failure_reason` for a configuration
that could not be measured, whose quantities are NaN.
"""

import math
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
WINDOW_QUANTITIES = (
    "window_s",
    "power_w",
    "energy_j",
    "memory_mib",
    "overlap",
    "foreign_share",
    "apply_s",
    "measure_s",
)

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


def outcome_of(space: ConfigurationSpace, row: Row) -> Outcome:
    """Return the outcome in a row; its origin is a replay."""
    if row["failure"]:
        return Failure(FailureKind(row["failure"]), row["failure_reason"], float(row["measure_s"]))
    tenants = tuple(
        TenantMeasurement(
            **{
                quantity: float(row[f"{name}.{quantity}"])
                for quantity in TENANT_QUANTITIES
                if quantity != "requests"
            },
            requests=int(row[f"{name}.requests"]),
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
        **numbers,
    )
