"""Hold what a cluster has, as frozen data: nodes, applications, servers and services."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cluster.kubernetes.resource import Spec


class Placement(NamedTuple):
    """Where one replica is served.

    Attributes:
        node: name of the node.
        place: accelerator, such as `gpu` or `dla0`.
        batch: requests of a batch.
    """

    node: str
    place: str
    batch: int


@dataclass(frozen=True)
class SeenNode:
    """A node of the cluster.

    Attributes:
        name: of the object.
        hostname: its label `kubernetes.io/hostname`, which servers are pinned by.
        board: of the catalogue, from its label; empty where it has none.
        mode: power mode, from its label; empty for the board's largest.
        unready_s: for how long it has not been ready; 0 while it is.
        schedulable: False if it is cordoned, or about to be deleted: it takes nobody new.
        memory_mib: what pods may use; infinite where the node does not say.
    """

    name: str
    hostname: str
    board: str = ""
    mode: str = ""
    unready_s: float = 0.0
    schedulable: bool = True
    memory_mib: float = float("inf")


@dataclass(frozen=True)
class SeenApplication:
    """An `InferenceApplication`.

    Attributes:
        namespace: of the object.
        name: of the object.
        uid: of the object; another object of the same name has another.
        generation: counts changes of its spec.
        version: resource version.
        created: when, as the server writes it.
        deleting: True if it is about to go.
        spec: what it asks for; None where that cannot be read.
        error: why not.
        status: as it was written last.
    """

    namespace: str
    name: str
    uid: str
    generation: int = 1
    version: str = ""
    created: str = ""
    deleting: bool = False
    spec: Spec | None = None
    error: str = ""
    status: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def key(self) -> str:
        """Return `namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class SeenServer:
    """A Deployment that the controller made: one replica of an application on one node.

    Attributes:
        namespace: of the object.
        name: of the object, which application and node determine.
        uid: of the object.
        version: resource version.
        application: name of the application.
        application_uid: uid of the application.
        placement: where it serves.
        serves: what it was made for; None where that cannot be read.
        replaces: name of the server that goes when this one is ready.
        ready: True if its newest pod is ready, and no other is left.
        serving: True if any of its pods is ready, such as the one before a change.
        waiting: why its pod does not start, as the node says; empty where it does not say.
        unready_s: for how long it has not become ready; 0 if it is.
        deleting: True if it is about to go.
        found: the object itself.
    """

    namespace: str
    name: str
    uid: str
    version: str
    application: str
    application_uid: str
    placement: Placement
    serves: Spec | None
    replaces: str = ""
    ready: bool = False
    serving: bool = False
    waiting: str = ""
    unready_s: float = 0.0
    deleting: bool = False
    found: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class SeenService:
    """A Service that the controller made for an application.

    Attributes:
        namespace: of the object.
        name: of the object.
        uid: of the object.
        application_uid: uid of the application.
        version: resource version.
        deleting: True if it is about to go.
        found: the object itself.
    """

    namespace: str
    name: str
    uid: str
    application_uid: str
    version: str = ""
    deleting: bool = False
    found: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class World:
    """Everything that a decision is made from.

    Attributes:
        nodes: of the cluster.
        applications: of the namespaces that are looked at.
        servers: the same.
        services: the same.
    """

    nodes: tuple[SeenNode, ...] = ()
    applications: tuple[SeenApplication, ...] = ()
    servers: tuple[SeenServer, ...] = ()
    services: tuple[SeenService, ...] = ()
