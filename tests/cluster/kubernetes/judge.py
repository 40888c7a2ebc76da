"""Tell what is not as it was declared: by the objects of the API server alone.

Identity and contents are read here anew; only what fits on a node is asked of `cluster.placement`.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from cluster.kubernetes import names
from cluster.kubernetes.kinds import kind_of, known_networks
from cluster.kubernetes.read import node_of
from cluster.kubernetes.resource import Spec, spec_of
from cluster.placement.nodes import Node, Rules
from cluster.placement.state import ClusterState, Spot
from envs.errors import OptionError
from tests.cluster.kubernetes.api import Api
from tests.cluster.kubernetes.deployments import DEPLOYMENTS, NODES, Object
from tests.cluster.kubernetes.nodes import HOSTNAME, is_ready

#: Collections of all namespaces.
APPLICATIONS = "/apis/orin-tuner.dev/v1alpha1/inferenceapplications"
SERVICES = "/api/v1/services"
RULES = Rules(reserve=0.15)


def wrongs(admin: Api) -> list[str]:
    """Return a sentence for everything that is not as declared, or is there twice."""
    applications = admin.items(APPLICATIONS)
    nodes = {each["metadata"]["name"]: each for each in admin.items(NODES)}
    managed = f"?labelSelector={names.MANAGED_BY}%3D{names.MANAGER}"
    servers, services = admin.items(DEPLOYMENTS + managed), admin.items(SERVICES + managed)
    found = _orphans(applications, servers, "server") + _orphans(applications, services, "service")
    for each in applications:
        own = [one for one in servers if _owner(one) == each["metadata"]["uid"]]
        name = each["metadata"]["name"]
        found += [f"{name}: {text}" for text in _application(each, own, nodes)]
        count = sum(_owner(one) == each["metadata"]["uid"] for one in services)
        if own and count != 1:
            found.append(f"{name} has {count} services")
    return found + _overfull(applications, servers, nodes)


def phases(admin: Api) -> dict[str, str]:
    """Return the phase of every application."""
    return {
        each["metadata"]["name"]: each.get("status", {}).get("phase", "")
        for each in admin.items(APPLICATIONS)
    }


def _owner(item: Object) -> str:
    """Return the uid of an object's owner; empty unless it has exactly one."""
    owners = item["metadata"].get("ownerReferences") or []
    return owners[0]["uid"] if len(owners) == 1 else ""


def _orphans(applications: list[Object], items: list[Object], word: str) -> list[str]:
    known = {each["metadata"]["uid"] for each in applications}
    return [
        f"{word} {each['metadata']['name']} belongs to no application"
        for each in items
        if _owner(each) not in known
        or _owner(each) != each["metadata"]["labels"].get(names.APPLICATION_UID)
    ]


def _application(application: Object, servers: list[Object], nodes: dict[str, Object]) -> list[str]:
    """Return what is wrong with an application and its servers."""
    status, meta = application.get("status") or {}, application["metadata"]
    if status.get("observedGeneration") != meta["generation"]:
        return ["its newest spec was not looked at"]
    phase = status.get("phase")
    if phase not in ("Serving", "Unplaceable", "Failed"):
        return [f"it is {phase or 'without a phase'}: {status.get('message', '')}"]
    found = []
    on = Counter(each["spec"]["template"]["spec"]["nodeSelector"][HOSTNAME] for each in servers)
    found += [f"{count} servers are on {node}" for node, count in on.items() if count > 1]
    if phase != "Serving":
        return found if status.get("message") else [*found, f"{phase} without a reason"]
    spec = spec_of(application["spec"])
    told = {each["deployment"]: each for each in status.get("placements") or []}
    if len(servers) != spec.replicas or {each["metadata"]["name"] for each in servers} != {*told}:
        found.append(f"{len(servers)} servers for {spec.replicas} replicas, and it tells {[*told]}")
        return found
    for each in servers:
        found += _server(each, spec, told[each["metadata"]["name"]], nodes)
    return found


def _server(server: Object, spec: Spec, told: Object, nodes: dict[str, Object]) -> list[str]:
    """Return what is wrong with the server of an application that is said to be served."""
    name, pod = server["metadata"]["name"], server["spec"]["template"]["spec"]
    status, node = server.get("status", {}), pod["nodeSelector"][HOSTNAME]
    found = []
    if node != told["node"] or node not in nodes or not is_ready(nodes[node]):
        found.append(f"{name} is on {node}, which is not there or not the one that is told")
    if server["spec"]["replicas"] != 1 or status.get("readyReplicas") != 1:
        found.append(f"{name} is not ready")
    if status.get("observedGeneration") != server["metadata"]["generation"]:
        found.append(f"{name} changes")
    given = pod["containers"][0]["args"]
    options = dict(pairwise(given))
    wanted = {
        "--network": f"/networks/{spec.network}.onnx",
        "--rate-ips": f"{spec.rate_ips / spec.replicas:g}",
        "--p99-ms": f"{spec.p99_ms:g}",
        "--batches": str(told["batch"]),
        "--goal": spec.goal,
    }
    found += [
        f"{name} runs with {key} {options.get(key)}, not {value}"
        for key, value in wanted.items()
        if options.get(key) != value
    ]
    return found


def _overfull(
    applications: list[Object], servers: list[Object], nodes: dict[str, Object]
) -> list[str]:
    """Return which rules of placement the servers break, and who could be placed after all."""
    state, numbers = _state(applications, servers, nodes)
    found = []
    for each in servers:
        notes = each["metadata"].get("annotations") or {}
        try:
            spec = spec_of(json.loads(notes[names.SERVES]))
        except (KeyError, ValueError, OptionError):
            found.append(f"{each['metadata']['name']} does not tell what it serves")
            continue
        number = numbers.get(notes[names.NODE])
        if number is None:
            continue
        engines = state.where(number)[0].kind.engines.get(spec.network, ())
        ways = [(one.place, one.batch) for one in engines]
        way = (notes[names.PLACE], int(notes[names.BATCH]))
        if way not in ways:
            found.append(f"{each['metadata']['name']} is where it cannot be served: {way}")
            continue
        state.add(
            spec.application(each["metadata"]["uid"]),
            [Spot(number, ways.index(way))],
        )
    found += [*state.broken()]
    for each in applications:
        status = each.get("status") or {}
        if status.get("phase") == "Unplaceable" and not status.get("placements"):
            asked = spec_of(each["spec"]).application(each["metadata"]["name"])
            room = [name for name, at in numbers.items() if state.fits_at(asked, at).any()]
            if len(room) >= asked.replicas:
                found.append(f"{asked.name} is Unplaceable, and there is room on {room}")
    return found


def _state(
    applications: list[Object], servers: list[Object], nodes: dict[str, Object]
) -> tuple[ClusterState, dict[str, int]]:
    """Return the empty nodes that can take servers, and the number of each."""
    networks: set[str] = {str(each["spec"].get("network")) for each in applications}
    for each in servers:
        text = (each["metadata"].get("annotations") or {}).get(names.SERVES, "{}")
        networks.add(json.loads(text).get("network", ""))
    known, _ = known_networks(networks)
    ready: list[Any] = []
    for each in nodes.values():
        seen = node_of(each, datetime.now(timezone.utc))
        if not seen.unready_s and seen.schedulable and seen.board:
            # A label that names no board is as none.
            with contextlib.suppress(OptionError):
                ready.append(Node(seen.name, kind_of(seen, known, "fp16")))
    return ClusterState(ready, RULES), {node.name: at for at, node in enumerate(ready)}
