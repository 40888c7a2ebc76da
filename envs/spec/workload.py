"""Workloads: the tenants that a device serves together."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from envs.errors import OptionError
from envs.files import check_fields
from envs.spec.network import Network


@dataclass(frozen=True)
class Tenant:
    """One served network with its arrivals.

    Attributes:
        name: unique among the tenants of a workload.
        network: what is served.
        rate_ips: mean arrival rate in inferences per second (Poisson); infinite for a closed loop that saturates the tenant.
        weight: what one of its inferences counts in the throughput that is maximised.
    """

    name: str
    network: Network
    rate_ips: float = math.inf
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.rate_ips > 0:
            raise OptionError(
                f"tenant {self.name}: rate_ips={self.rate_ips} must be above zero (or inf for a closed loop)"
            )
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise OptionError(
                f"tenant {self.name}: weight={self.weight} must be above zero and finite"
            )

    @property
    def closed_loop(self) -> bool:
        return math.isinf(self.rate_ips)


@dataclass(frozen=True)
class Workload:
    """The tenants served together: [T], in a fixed order that every array follows."""

    tenants: tuple[Tenant, ...]

    def __post_init__(self) -> None:
        if not self.tenants:
            raise OptionError("a workload needs at least one tenant: name a network")
        names = [tenant.name for tenant in self.tenants]
        if len(set(names)) != len(names):
            raise OptionError(f"two tenants share a name: {', '.join(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tenant.name for tenant in self.tenants)

    @property
    def weights(self) -> tuple[float, ...]:
        return tuple(tenant.weight for tenant in self.tenants)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Workload:
        """What `to_dict` gave; ValueError, TypeError, KeyError or a TunerError where it is something else."""
        tenants = tuple(
            Tenant(**tenant | {"network": Network.from_dict(tenant["network"])})
            for tenant in data["tenants"]
        )
        for tenant in tenants:
            check_fields(tenant)
        return cls(tenants)


def workload_of(
    networks: list[Network],
    rates_ips: list[float] | None = None,
    weights: list[float] | None = None,
) -> Workload:
    """A tenant for each network, named after it; a network that is served twice gets a number behind its name."""
    for key, values in (("rates_ips", rates_ips), ("weights", weights)):
        if values and len(values) != len(networks):
            raise OptionError(
                f"workload.{key} has {len(values)} values for {len(networks)} networks: give one for each"
            )
    tenants = []
    for position, network in enumerate(networks):
        before = sum(other.name == network.name for other in networks[:position])
        tenants.append(
            Tenant(
                f"{network.name}_{before + 1}" if before else network.name,
                network,
                rates_ips[position] if rates_ips else math.inf,
                weights[position] if weights else 1.0,
            )
        )
    return Workload(tuple(tenants))


def fair_weights(networks: list[Network]) -> list[float]:
    """What an inference of each tenant counts where nothing is said: the work it is, so that the smallest network does not starve the rest."""
    least = min(max(network.macs, 1) for network in networks)
    return [max(network.macs, 1) / least for network in networks]
