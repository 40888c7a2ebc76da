"""Make the steps of a plan, one request each, while the lease is held."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from cluster.kubernetes.client import ApiError, Client
from cluster.kubernetes.names import digest
from cluster.kubernetes.plan import Create, Plan, Replace, Status, Step
from cluster.kubernetes.resource import API_VERSION, KIND, PLURAL
from cluster.kubernetes.status import FAILED, UNPLACEABLE, status_object
from cluster.kubernetes.world import SeenApplication, World

_log = logging.getLogger(__name__)

#: Answers after which the next decision looks again: gone, somebody was faster, or it is the same.
LATER = (404, 409)

#: Answers to what the server will not take the next time either, until something else changes.
REFUSED = (400, 403, 422)

#: What an Event says that it comes from.
COMPONENT = "orin-tuner-controller"


def act(client: Client, plan: Plan, world: World, check: Callable[[], None]) -> int:
    """Make the steps of a plan, then write what has changed of the statuses.

    Args:
        client: to the API server.
        plan: of `decide`.
        world: that the plan was made from.
        check: called before each request; raises if this controller may not act any more.

    Returns:
        How many requests changed something.

    Raises:
        ApiError: the server refused for a reason that does not pass.
        Unreachable: the server did not answer.
    """
    done = 0
    refused: dict[str, str] = {}
    for step in plan.steps:
        check()
        error = _error_of(step.target, partial(_make, client, step))
        done += error is None
        if error is not None and isinstance(step, (Create, Replace)):
            owner = step.body["metadata"]["ownerReferences"][0]["uid"]
            refused.setdefault(owner, _refusal(step, error))
    for application in world.applications:
        status = plan.statuses.get(application.key)
        if status is not None:
            if refused.get(application.uid):
                text = refused[application.uid]
                status = replace(status, phase=FAILED, message=text, reason="Refused")
            done += _report(client, application, status, check)
    return done


def _refusal(step: Create | Replace, error: ApiError) -> str:
    """Return what to tell of a step that was not made; nothing if it may be made the next time."""
    if error.status in REFUSED:
        return f"the API server takes no {step.target}: {error}"
    if error.status == 409 and isinstance(step, Create):
        return (
            f"{step.target} exists and is not the controller's: give the application another name"
            " (or delete it, if it serves nobody)"
        )
    return ""


def _make(client: Client, step: Step) -> None:
    if isinstance(step, Create):
        client.ask("create", step.kind, step.body["metadata"]["namespace"], "", step.body)
    elif isinstance(step, Replace):
        metadata = step.body["metadata"] | {"resourceVersion": step.version}
        body = step.body | {"metadata": metadata}
        client.ask("update", step.kind, metadata["namespace"], metadata["name"], body)
    else:
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": step.uid},
        }
        client.ask("delete", step.kind, step.namespace, step.name, options)
    _log.info("%s %s: %s", type(step).__name__.lower(), step.target, step.why)


def _error_of(what: str, task: Callable[[], object]) -> ApiError | None:
    """Do a task; return why it was not done, if that stops nobody else."""
    try:
        task()
    except ApiError as error:
        if error.status in LATER:
            _log.info("%s is looked at again: %s", what, error)
        elif error.status in REFUSED:
            _log.error("%s: %s", what, error)
        else:
            raise
        return error
    return None


def _report(
    client: Client, application: SeenApplication, status: Status, check: Callable[[], None]
) -> bool:
    """Write a status with its event, if it says something else than before."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = status_object(application, status, now)
    if found is None:
        return False
    before = application.status
    key = application.key
    if _is_news(before, found):
        # Before the status: whoever is stopped in between makes the same event again, by name.
        check()
        _error_of(f"event of {key}", partial(_event, client, application, status, now))
    check()
    body = {"metadata": {"resourceVersion": application.version}, "status": _patch(before, found)}
    what = (f"{PLURAL}/status", application.namespace, application.name, body)
    return _error_of(f"status of {key}", partial(client.ask, "patch", *what)) is None


def _is_news(before: dict[str, Any], found: dict[str, Any]) -> bool:
    """Return True if a status is worth an Event: another phase, reason, placement or failure."""

    def told(status: dict[str, Any]) -> tuple[Any, ...]:
        conditions = status.get("conditions") or [{}]
        failure = status.get("message") if status.get("phase") == FAILED else None
        return status.get("phase"), conditions[0].get("reason"), status.get("placements"), failure

    return told(before) != told(found)


def _patch(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return a merge patch that also takes away what is not said any more."""
    return {name: None for name in before if name not in found} | found


def _event(client: Client, application: SeenApplication, status: Status, now: str) -> None:
    name = digest(f"{application.uid}/{application.version}/{status.phase}/{status.message}")
    bad = status.phase in (FAILED, UNPLACEABLE)
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{application.name[:200]}.{name}",
            "namespace": application.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": application.namespace,
            "name": application.name,
            "uid": application.uid,
        },
        "type": "Warning" if bad else "Normal",
        "reason": status.reason or status.phase,
        "message": status.message[:1000],
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    client.ask("create", "events", application.namespace, "", body)
