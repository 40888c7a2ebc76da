"""Criticality: which tenants keep their limits, and which take what is left."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from envs.errors import OptionError


class Criticality(StrEnum):
    """Name how much a tenant matters beside others on the same device.

    - `critical`: it keeps its limits.
    - `best_effort`: it takes what the critical tenants leave, and gives way to them.
    """

    CRITICAL = "critical"
    BEST_EFFORT = "best_effort"


def parse_criticality(given: Any) -> Criticality:
    """Return the criticality of that name; `critical` for None. OptionError for an unknown one."""
    try:
        return Criticality(given or Criticality.CRITICAL)
    except ValueError:
        raise OptionError(
            f"criticality={given!s:.80} is unknown: choose from {', '.join(Criticality)}"
        ) from None
