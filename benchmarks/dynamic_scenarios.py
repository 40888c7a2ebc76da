"""Six scenarios in which tenants come and go, rates triple, and limits halve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Phase:
    """Some periods with the same tenants, rates and limits.

    Attributes:
        active: indices of the tenants that are served.
        rate: factor on the arrivals of each tenant, by index; 1 for those that are not named.
        limit: factor on all latency limits.
    """

    active: tuple[int, ...]
    rate: dict[int, float] = field(default_factory=dict)
    limit: float = 1.0

    def rates_ips(self, usual_ips: Sequence[float]) -> tuple[float, ...]:
        """Return the arrivals [T], also of those that are not served."""
        return tuple(self.rate.get(tenant, 1.0) * rate for tenant, rate in enumerate(usual_ips))

    @property
    def hardness(self) -> float:
        """Return the arrivals of all tenants over the limits, as factors of the usual ones."""
        return sum(self.rate.get(tenant, 1.0) for tenant in self.active) / self.limit

    def busier(self, factor: float) -> Phase:
        """Return the phase with so many times the arrivals of each tenant."""
        rate = {tenant: factor * self.rate.get(tenant, 1.0) for tenant in self.active}
        return replace(self, rate=rate)

    def limits_ms(self, usual_ms: Sequence[float]) -> tuple[float, ...]:
        """Return the latency limits [T]."""
        return tuple(self.limit * each for each in usual_ms)

    def write(self, path: Path, names: Sequence[str], usual_ms: Sequence[float]) -> None:
        """Say in a limits file who is active, and which limits hold; rates have to be noticed."""
        active = {name: tenant in self.active for tenant, name in enumerate(names)}
        path.write_text(json.dumps({"active": active, "p99_ms": list(self.limits_ms(usual_ms))}))


@dataclass(frozen=True)
class Scenario:
    """Phases, one after the other."""

    name: str
    phases: tuple[Phase, ...]


ALL = (0, 1, 2)
SCENARIOS = (
    Scenario("a tenant comes", (Phase((0, 1)), Phase(ALL))),
    Scenario("a tenant goes", (Phase(ALL), Phase((1, 2)))),
    Scenario("tenants come and go", (Phase((0,)), Phase((0, 1)), Phase((1, 2)), Phase((0, 1)))),
    Scenario("rates triple", (Phase((0, 1)), Phase((0, 1), {0: 3.0, 1: 3.0}), Phase((0, 1)))),
    Scenario("limits halve", (Phase((0, 1)), Phase((0, 1), limit=0.5))),
    Scenario(
        "a tenant comes while rates triple and limits halve",
        (Phase((0,)), Phase((0, 2), {0: 3.0}, 0.5), Phase((0,))),
    ),
)
