"""A decision as data: the next steps, and the status of every application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

from cluster.kubernetes.world import Placement


@dataclass(frozen=True)
class Create:
    """Create an object unless one of its name exists.

    Attributes:
        kind: plural of the resource, `deployments` or `services`.
        body: the object.
        why: in words.
    """

    kind: str
    body: dict[str, Any] = field(hash=False)
    why: str = ""

    @property
    def target(self) -> str:
        """Return `kind namespace/name`."""
        return f"{self.kind} {self.body['metadata']['namespace']}/{self.body['metadata']['name']}"


@dataclass(frozen=True)
class Replace:
    """Replace an object, if it is still the one that was seen.

    Attributes:
        kind: plural of the resource, `deployments` or `services`.
        body: the object.
        version: resource version that was seen.
        why: in words.
    """

    kind: str
    body: dict[str, Any] = field(hash=False)
    version: str = ""
    why: str = ""

    @property
    def target(self) -> str:
        """Return `kind namespace/name`."""
        return f"{self.kind} {self.body['metadata']['namespace']}/{self.body['metadata']['name']}"


@dataclass(frozen=True)
class Delete:
    """Delete an object, if it is still the one that was seen.

    Attributes:
        kind: plural of the resource.
        namespace: of the object.
        name: of the object.
        uid: of the object.
        why: in words.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    why: str = ""

    @property
    def target(self) -> str:
        """Return `kind namespace/name`."""
        return f"{self.kind} {self.namespace}/{self.name}"


Step = Union[Create, Replace, Delete]


@dataclass(frozen=True)
class Status:
    """Hold what is said of an application.

    Attributes:
        phase: one of `status.PHASES`.
        message: one sentence.
        placements: where it is, or is about to be, each with the name of its server.
        reason: one word, for conditions and events.
        serving: True if a server of it answers.
    """

    phase: str
    message: str
    placements: tuple[tuple[Placement, str], ...] = ()
    reason: str = ""
    serving: bool = False


@dataclass
class Plan:
    """Hold what to do next.

    Attributes:
        steps: in their order.
        statuses: by application, `namespace/name`.
        remarks: sentences for the log.
        within_s: after so long the same world asks for something else, because a time is over.
    """

    steps: list[Step] = field(default_factory=list)
    statuses: dict[str, Status] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    within_s: float = float("inf")
