"""Say how an application is doing: phase, message, placements and conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cluster.kubernetes.names import server_name
from cluster.kubernetes.plan import Status
from cluster.kubernetes.world import Placement, SeenApplication, SeenServer

#: Phases of an application.
PENDING, PLACING, SERVING, MOVING, UNPLACEABLE, FAILED = PHASES = (
    "Pending", "Placing", "Serving", "Moving", "Unplaceable", "Failed",
)  # fmt: skip

#: The longest message; the rest of what a node says is cut.
LONGEST = 800


def status_of(
    application: SeenApplication,
    servers: Sequence[SeenServer],
    placements: Sequence[Placement],
    reason: str = "",
    waits_for: str = "",
    progress_s: float = math.inf,
) -> Status:
    """Return the status of an application.

    Args:
        application: which one.
        servers: its servers that are not about to go.
        placements: where it should be.
        reason: why not all of its replicas have a place; empty if they have.
        waits_for: a node where it waits for room; empty if it waits for none.
        progress_s: for how long a server may not be ready before it counts as failed.
    """
    found = _phase(application, servers, placements, reason, waits_for, progress_s)
    return replace(found, serving=any(each.serving for each in servers))


def _phase(
    application: SeenApplication,
    servers: Sequence[SeenServer],
    placements: Sequence[Placement],
    reason: str,
    waits_for: str,
    progress_s: float,
) -> Status:
    here = tuple((each.placement, each.name) for each in servers)
    if application.spec is None:
        return Status(FAILED, application.error, here, "InvalidSpec")
    named = {server_name(application.name, each.node): each for each in placements}
    own = [each for each in servers if each.name in named]
    where = tuple((placement, name) for name, placement in named.items())
    words = ", ".join(f"{each.node} ({each.place}, batch {each.batch})" for each in placements)
    failed = next((each for each in own if _is_stuck(each, progress_s)), None)
    if reason and not placements and here:
        on = ", ".join(sorted({each.node for each, _ in here}))
        text = f"{reason}; it stays on {on}, as it was asked for before, while there is room"
        return Status(UNPLACEABLE, text, here, "NoRoom")
    if reason:
        return Status(UNPLACEABLE, reason, where, "NoRoom")
    if failed is not None:
        # No time that goes on: a message that changes is written, and read, again and again.
        why = failed.waiting or f"it is not ready after {progress_s:g} s, and nobody says why"
        text = f"the server on {failed.placement.node} does not start: {why}"
        return Status(FAILED, text, where, "ServerFailed")
    old = sorted({each.placement.node for each in servers if each.name not in named})
    ready = [each for each in own if each.ready]
    if len(ready) == len(named) and not old:
        return Status(SERVING, f"serves on {words}", where, "Serving")
    said = next((f": {each.waiting}" for each in own if each.waiting), "")
    if old:
        text = f"moves from {', '.join(old)} to {words}{said}"
        return Status(MOVING, text, where, "Moving")
    if waits_for:
        text = f"waits until there is room on {waits_for}, which others are leaving"
        return Status(PENDING, text, where, "WaitsForRoom")
    return Status(PLACING, f"starts on {words}{said}", where, "Placing")


def _is_stuck(server: SeenServer, progress_s: float) -> bool:
    return not server.ready and server.unready_s > progress_s


def status_object(application: SeenApplication, status: Status, now: str) -> dict[str, Any] | None:
    """Return the status as the resource has it; None if that is what it says already.

    Args:
        application: with what was written last.
        status: what is to be said.
        now: the time, as the API writes it.
    """
    before = application.status
    found: dict[str, Any] = {
        "phase": status.phase,
        "message": status.message[:LONGEST],
        "observedGeneration": application.generation,
        "placements": [
            {"node": at.node, "place": at.place, "batch": at.batch, "deployment": name}
            for at, name in status.placements
        ],
    }
    placed = status.phase not in (UNPLACEABLE, FAILED) or status.reason == "ServerFailed"
    found["conditions"] = [
        _condition(name, holds, status, application.generation, before, now)
        for name, holds in (("Placed", placed), ("Serving", status.serving))
    ]
    return None if found == before else found


def _condition(
    name: str, holds: bool, status: Status, generation: int, before: Mapping[str, Any], now: str
) -> dict[str, Any]:
    value = "True" if holds else "False"
    old: Mapping[str, Any] = next(
        (each for each in before.get("conditions") or () if each.get("type") == name), {}
    )
    same = old.get("status") == value
    return {
        "type": name,
        "status": value,
        "reason": status.reason,
        "message": status.message[:LONGEST],
        "observedGeneration": generation,
        "lastTransitionTime": old.get("lastTransitionTime", now) if same else now,
    }
