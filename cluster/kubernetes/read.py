"""Read what there is: objects of the API, as frozen data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from cluster.kubernetes import names
from cluster.kubernetes.client import Client
from cluster.kubernetes.resource import GROUP, KIND, PLURAL, Spec, spec_of
from cluster.kubernetes.world import (
    Placement,
    SeenApplication,
    SeenNode,
    SeenServer,
    SeenService,
    World,
)
from envs.errors import OptionError

#: Factors of quantities of memory, in MiB.
UNITS_MIB = {
    "Ki": 2**-10, "Mi": 1.0, "Gi": 2.0**10, "Ti": 2.0**20,
    "k": 1e3 / 2**20, "M": 1e6 / 2**20, "G": 1e9 / 2**20, "T": 1e12 / 2**20, "": 2**-20,
}  # fmt: skip

#: How much of a server's last line is told.
LONGEST_LINE = 300


def read_world(client: Client, namespace: str = "") -> World:
    """Return everything there is, of one namespace or of all.

    Raises:
        ApiError: the server refused.
        Unreachable: the server did not answer.
    """
    now = datetime.now(timezone.utc)
    # Applications come last: a server whose application is not among them is nobody's any more.
    servers = [each for each in client.list("deployments", namespace) if _is_ours(each)]
    services = [each for each in client.list("services", namespace) if _is_ours(each)]
    pods = client.list("pods", namespace, names.SELECTOR)
    nodes = client.list("nodes")
    applications = client.list(PLURAL, namespace)
    by_server: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for pod in pods:
        label = (pod["metadata"].get("labels") or {}).get(names.SERVER, "")
        by_server.setdefault((pod["metadata"].get("namespace", ""), label), []).append(pod)
    return World(
        tuple(node_of(each, now) for each in nodes),
        tuple(application_of(each) for each in applications),
        tuple(
            server_of(
                each,
                by_server.get((each["metadata"]["namespace"], each["metadata"]["name"]), ()),
                now,
            )
            for each in servers
        ),
        tuple(service_of(each) for each in services),
    )


def _is_ours(found: Mapping[str, Any]) -> bool:
    """Return True for what the controller made; its label or its owner may have been taken away."""
    labels = found["metadata"].get("labels") or {}
    return labels.get(names.MANAGED_BY) == names.MANAGER or bool(_owner_uid(found))


def _owner_uid(found: Mapping[str, Any]) -> str:
    """Return the uid of the application that owns an object; empty if none does."""
    for each in found["metadata"].get("ownerReferences") or ():
        group = str(each.get("apiVersion", "")).partition("/")[0]
        if (group, each.get("kind")) == (GROUP, KIND):
            return str(each.get("uid", ""))
    return ""


def _application_uid(found: Mapping[str, Any]) -> str:
    labels = found["metadata"].get("labels") or {}
    return _owner_uid(found) or str(labels.get(names.APPLICATION_UID, ""))


def node_of(found: Mapping[str, Any], now: datetime) -> SeenNode:
    """Return a node."""
    metadata, status = found["metadata"], found.get("status") or {}
    labels = metadata.get("labels") or {}
    name = metadata["name"]
    ready = _condition(status, "Ready")
    unready_s = 0.0
    if ready.get("status") != "True":
        since = ready.get("lastTransitionTime") or metadata.get("creationTimestamp")
        unready_s = max(_age_s(since, now), 1e-3)
    taints = (found.get("spec") or {}).get("taints") or ()
    leaving = bool(metadata.get("deletionTimestamp"))
    cordoned = bool((found.get("spec") or {}).get("unschedulable"))
    refuses = any(
        each.get("effect") in ("NoSchedule", "NoExecute")
        and not str(each.get("key", "")).startswith("node.kubernetes.io/")
        for each in taints
    )
    memory = (status.get("allocatable") or status.get("capacity") or {}).get("memory")
    return SeenNode(
        name,
        labels.get(names.HOSTNAME, name),
        labels.get(names.BOARD, ""),
        labels.get(names.MODE, ""),
        unready_s,
        not (leaving or cordoned or refuses),
        float("inf") if memory is None else memory_mib(str(memory)),
    )


def application_of(found: Mapping[str, Any]) -> SeenApplication:
    """Return an application; what is wrong with its spec is a sentence in it."""
    metadata = found["metadata"]
    spec, error = None, ""
    try:
        spec = spec_of(found.get("spec"))
    except OptionError as wrong:
        error = str(wrong)
    return SeenApplication(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        int(metadata.get("generation", 1)),
        metadata.get("resourceVersion", ""),
        metadata.get("creationTimestamp") or "",
        bool(metadata.get("deletionTimestamp")),
        spec,
        error,
        dict(found.get("status") or {}),
    )


def server_of(
    found: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], now: datetime
) -> SeenServer:
    """Return a server, with what its pods say."""
    metadata, status = found["metadata"], found.get("status") or {}
    notes = metadata.get("annotations") or {}
    ready = _is_ready(found)
    waiting = "" if ready else next((text for each in pods if (text := why_waiting(each))), "")
    for kind, bad in (("ReplicaFailure", "True"), ("Progressing", "False")):
        found_there = _condition(status, kind)
        if not ready and not waiting and found_there.get("status") == bad:
            waiting = found_there.get("message") or found_there.get("reason") or ""
    batch = notes.get(names.BATCH, "")
    return SeenServer(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        metadata.get("resourceVersion", ""),
        notes.get(names.APPLICATION, ""),
        _application_uid(found),
        Placement(
            notes.get(names.NODE, ""),
            notes.get(names.PLACE, ""),
            int(batch) if batch.isdecimal() else 0,
        ),
        _serves(notes.get(names.SERVES, "")),
        notes.get(names.REPLACES, ""),
        ready,
        int(status.get("readyReplicas", 0) or 0) > 0,
        waiting,
        0.0 if ready else _unready_s(found, pods, now),
        bool(metadata.get("deletionTimestamp")),
        dict(found),
    )


def service_of(found: Mapping[str, Any]) -> SeenService:
    """Return a service."""
    metadata = found["metadata"]
    return SeenService(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        _application_uid(found),
        metadata.get("resourceVersion", ""),
        bool(metadata.get("deletionTimestamp")),
        dict(found),
    )


def why_waiting(pod: Mapping[str, Any]) -> str:
    """Return why a pod does not run, as the node or the scheduler says; empty if nobody does."""
    status = pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()),
                 *(status.get("containerStatuses") or ())):  # fmt: skip
        state = each.get("state") or {}
        waiting = state.get("waiting") or state.get("terminated") or {}
        reason = waiting.get("reason")
        if reason and reason not in ("ContainerCreating", "PodInitializing", "Completed"):
            said = waiting.get("message") or f"image {each.get('image', '')}".strip()
            return f"{reason}: {said}{_ended(each)}"
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', '')}: {scheduled.get('message', '')}".strip(": ")
    if status.get("phase") == "Failed":
        said = status.get("message") or "its containers ended"
        return f"{status.get('reason') or 'Failed'}: {said}"
    return ""


def _ended(container: Mapping[str, Any]) -> str:
    """Return how a container ended last, with the last line that it wrote."""
    last = (container.get("lastState") or {}).get("terminated") or {}
    if "exitCode" not in last:
        return ""
    lines = str(last.get("message") or "").strip().splitlines()
    said = f": {lines[-1][:LONGEST_LINE]}" if lines else ""
    return f"; it ended with exit code {last['exitCode']}{said}"


def memory_mib(quantity: str) -> float:
    """Return a quantity of memory, such as `7802Mi` or `8e9`, in MiB; infinite if unreadable."""
    number = quantity.rstrip("KMGTikm")
    unit = quantity[len(number) :]
    try:
        return float(number) * (UNITS_MIB[unit] if unit != "m" else 1e-3 * 2**-20)
    except (KeyError, ValueError):
        return float("inf")


def _serves(text: str) -> Spec | None:
    try:
        return spec_of(json.loads(text))
    except (ValueError, OptionError):
        return None


def _is_ready(found: Mapping[str, Any]) -> bool:
    """Return True if the newest pod of a Deployment is ready, and no older one is left."""
    status = found.get("status") or {}
    seen = int(status.get("observedGeneration", 0)) >= int(found["metadata"].get("generation", 1))
    updated = int(status.get("updatedReplicas", 0) or 0)
    ready = int(status.get("readyReplicas", 0) or 0)
    return seen and updated >= 1 and ready >= 1 and ready >= int(status.get("replicas", 0) or 0)


def _unready_s(found: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], now: datetime) -> float:
    """Return for how long a server has not been ready: since it, or its newest pod, was made."""
    made = [found["metadata"].get("creationTimestamp")]
    available = _condition(found.get("status") or {}, "Available")
    if available.get("status") == "False":
        made.append(available.get("lastTransitionTime"))
    made += [each["metadata"].get("creationTimestamp") for each in pods]
    return min(_age_s(each, now) for each in made if each) if any(made) else 0.0


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = status.get("conditions") or ()
    return next((each for each in found if each.get("type") == kind), {})


def _age_s(text: str | None, now: datetime) -> float:
    """Return how long ago a time of the API was; 0 if there is none."""
    if not text:
        return 0.0
    try:
        return max((now - datetime.fromisoformat(text.replace("Z", "+00:00"))).total_seconds(), 0.0)
    except ValueError:
        return 0.0
