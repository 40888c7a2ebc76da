"""Workloads: the tenants that a device serves together."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any

from envs.errors import OptionError
from envs.files import check_fields
from envs.spec.criticality import Criticality, parse_criticality
from envs.spec.network import Network


@dataclass(frozen=True)
class Tenant:
    """One served network with its arrivals.

    Attributes:
        name: unique among the tenants of a workload.
        network: the served network.
        rate_ips: mean arrival rate in inferences per second (Poisson); infinite for a closed loop
            that saturates the tenant.
        weight: factor on its inferences in the throughput that is maximised.
        criticality: whether it keeps its limits, or takes what the critical tenants leave; its
            name is taken as well.
    """

    name: str
    network: Network
    rate_ips: float = math.inf
    weight: float = 1.0
    criticality: Criticality = Criticality.CRITICAL

    def __post_init__(self) -> None:
        object.__setattr__(self, "criticality", parse_criticality(self.criticality))
        if not self.rate_ips > 0:
            raise OptionError(
                f"tenant {self.name}: rate_ips={self.rate_ips} must be above zero"
                " (or inf for a closed loop)"
            )
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise OptionError(
                f"tenant {self.name}: weight={self.weight} must be above zero and finite"
            )

    @property
    def closed_loop(self) -> bool:
        """Return True if the next request comes as soon as one is answered."""
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
        """Return the names of the tenants, [T]."""
        return tuple(tenant.name for tenant in self.tenants)

    @property
    def weights(self) -> tuple[float, ...]:
        """Return the weights of the tenants, [T]."""
        return tuple(tenant.weight for tenant in self.tenants)

    @property
    def best_effort(self) -> tuple[bool, ...]:
        """Return [T] True for each tenant that gives way to the critical ones."""
        return tuple(tenant.criticality is Criticality.BEST_EFFORT for tenant in self.tenants)

    @property
    def rates_ips(self) -> tuple[float, ...]:
        """Return the arrivals of the tenants, [T], infinite for a closed loop."""
        return tuple(tenant.rate_ips for tenant in self.tenants)

    def to_dict(self) -> dict[str, Any]:
        """Return the workload as plain data that JSON can hold; `from_dict` reads it.

        A critical tenant has no entry for its criticality, as in files from before there was any.
        """
        data = asdict(self)
        for tenant in data["tenants"]:
            if tenant["criticality"] is Criticality.CRITICAL:
                del tenant["criticality"]
            else:
                tenant["criticality"] = str(tenant["criticality"])
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Workload:
        """Return the workload that `to_dict` wrote.

        Raises:
            ValueError, TypeError, KeyError, TunerError: the data is something else.
        """
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
    criticality: list[str] | None = None,
) -> Workload:
    """Return a workload with a tenant for each network, named after it.

    A network that is served twice gets a number behind its name.

    Args:
        networks: [T].
        rates_ips: [T] arrival rates; all closed loops where not given.
        weights: [T]; all 1 where not given.
        criticality: [T] names, see `Criticality`; all critical where not given.

    Raises:
        OptionError: the numbers of values and networks differ.
    """
    given = (("rate_ips", rates_ips), ("weight", weights), ("criticality", criticality))
    for key, values in given:
        if values and len(values) != len(networks):
            raise OptionError(
                f"{key} has {len(values)} values for {len(networks)} networks: give one for each"
            )
    tenants = []
    for position, (name, network) in enumerate(zip(_each_once(networks), networks, strict=True)):
        tenants.append(
            Tenant(
                name,
                network,
                rates_ips[position] if rates_ips else math.inf,
                weights[position] if weights else 1.0,
                parse_criticality(criticality[position] if criticality else None),
            )
        )
    return Workload(tuple(tenants))


def _each_once(networks: list[Network]) -> list[str]:
    """Return a name [T] for each network, none of them twice."""
    taken, found = {each.name for each in networks}, list[str]()
    for network in networks:
        numbered = (f"{network.name}_{number}" for number in itertools.count(2))
        free = (each for each in numbered if each not in taken and each not in found)
        found.append(next(free) if network.name in found else network.name)
    return found


def fair_weights(networks: list[Network]) -> list[float]:
    """Return default weights [T]: the work of an inference, relative to the smallest network.

    With equal weights the smallest network would starve the others.
    """
    smallest = min(max(network.macs, 1) for network in networks)
    return [max(network.macs, 1) / smallest for network in networks]
