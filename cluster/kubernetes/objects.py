"""Make the objects of a placed application: a Deployment for each replica, and a Service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.kubernetes.names import (
    APPLICATION,
    APPLICATION_UID,
    BATCH,
    DIGEST,
    GENERATION,
    HOSTNAME,
    MANAGED_BY,
    MANAGER,
    NODE,
    PLACE,
    REPLACES,
    SERVER,
    SERVES,
    digest,
    server_name,
    service_name,
)
from cluster.kubernetes.resource import API_VERSION, KIND
from cluster.kubernetes.world import Placement, SeenApplication, SeenNode

#: Accelerator of `python -m tuner.deploy` for each place of a board.
ACCELERATORS = {"gpu": "tensor", "dla0": "dla0", "dla1": "dla1"}

#: Where the board's folders are mounted, and where the lock of one server lies.
NETWORKS, CACHE, LOCK = "/networks", "/var/cache/orin-tuner", "/tmp/orin-tuner.lock"

#: Ports inside a pod: metrics, which are on the loopback address, and requests.
METRICS_PORT, REQUESTS_PORT = 9105, 8000

#: Reads the metrics of the server in its own pod, which are there as soon as it serves.
PROBE = (
    "import urllib.request as r;"
    f"r.urlopen('http://127.0.0.1:{METRICS_PORT}/metrics', timeout=4).read()"
)


@dataclass(frozen=True)
class ServerOptions:
    """Say how servers are run.

    Attributes:
        image: of the servers, as docker/Dockerfile builds it.
        networks: folder of every board with its networks, NAME.onnx.
        cache: folder of every board that keeps built engines; user 1000 must be able to write.
        client: MODULE:FUNCTION in the image that brings the requests, see deploy --client; by
            default load is generated.
        precision: of engines, fp16 or int8; int8 needs samples, NAME.npz beside NAME.onnx.
        runtime_class: of pods that need a board's GPU; none where it is empty.
        groups: numbers of the boards' groups video and render, which own the GPU's devices.
        progress_s: how long a server may take to serve before it counts as failed; the first build
            of an engine takes minutes.
    """

    image: str = "orin-tuner:latest"
    networks: str = "/var/lib/orin-tuner/networks"
    cache: str = "/var/cache/orin-tuner"
    client: str = ""
    precision: str = "fp16"
    runtime_class: str = "nvidia"
    groups: tuple[int, ...] = (44,)
    progress_s: float = 1800.0


def deployment(
    application: SeenApplication,
    node: SeenNode,
    placement: Placement,
    memory_mib: float,
    options: ServerOptions,
    replaces: str = "",
) -> dict[str, Any]:
    """Return the Deployment that serves a replica of an application on a node.

    Args:
        application: with a spec.
        node: where.
        placement: accelerator and batch there.
        memory_mib: that it takes.
        options: of servers.
        replaces: name of the server that goes when this one is ready.
    """
    assert application.spec is not None
    name = server_name(application.name, node.name)
    found = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": application.namespace,
            "labels": _labels(application) | {SERVER: name},
            "annotations": {
                APPLICATION: application.name,
                NODE: node.name,
                PLACE: placement.place,
                BATCH: str(placement.batch),
                SERVES: application.spec.as_text(),
            },
            "ownerReferences": [owner(application)],
        },
        "spec": {
            "replicas": 1,
            "paused": False,
            "progressDeadlineSeconds": max(int(options.progress_s), 1),
            "revisionHistoryLimit": 0,
            # A change starts the new pod before the old one stops.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "selector": {"matchLabels": {SERVER: name}},
            "template": {
                "metadata": {"labels": _labels(application) | {SERVER: name}},
                "spec": _pod(application, node, placement, memory_mib, options),
            },
        },
    }
    annotations: dict[str, str] = found["metadata"]["annotations"]  # type: ignore[index]
    annotations[DIGEST] = digest(json.dumps(found, sort_keys=True))
    annotations[GENERATION] = str(application.generation)
    if replaces:
        annotations[REPLACES] = replaces
    return found


def service(application: SeenApplication) -> dict[str, Any]:
    """Return the Service of an application: its address stays while its servers move."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(application.name),
            "namespace": application.namespace,
            "labels": _labels(application),
            "annotations": {APPLICATION: application.name},
            "ownerReferences": [owner(application)],
        },
        "spec": {
            "selector": {APPLICATION_UID: application.uid},
            "ports": [
                {
                    "name": "requests",
                    "port": REQUESTS_PORT,
                    "targetPort": "requests",
                    "protocol": "TCP",
                }
            ],
        },
    }


def owner(application: SeenApplication) -> dict[str, Any]:
    """Return the reference by which the server deletes what belongs to an application."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": application.name,
        "uid": application.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def arguments(
    application: SeenApplication, node: SeenNode, placement: Placement, options: ServerOptions
) -> list[str]:
    """Return the arguments of `python -m tuner.deploy`: one instance, one place, one batch."""
    spec = application.spec
    assert spec is not None
    place = ACCELERATORS[placement.place]
    # The board keeps it for all namespaces, which may have applications of the same name.
    server = f"{application.namespace}/{server_name(application.name, node.name)}"
    given = [
        *("--runtime", "tensorrt", "--network", f"{NETWORKS}/{spec.network}.onnx"),
        *("--board", node.board, *(("--mode", node.mode) if node.mode else ())),
        *("--accelerators", place, "--batches", str(placement.batch), "--max-instances", "1"),
        *("--p99-ms", f"{spec.p99_ms:g}", "--rate-ips", f"{spec.rate_ips / spec.replicas:g}"),
        *("--goal", spec.goal, "--metrics-port", str(METRICS_PORT)),
        *("--folder", f"{CACHE}/state/{server}", "--lock", LOCK),
    ]
    given += [f"--{_kind(place)}-precision", options.precision]
    if options.precision == "int8":
        given += ["--samples", f"{NETWORKS}/{spec.network}.npz"]
    if options.client:
        given += ["--client", options.client]
    return given


def _kind(place: str) -> str:
    return "tensor" if place == "tensor" else "dla"


def _labels(application: SeenApplication) -> dict[str, str]:
    return {
        MANAGED_BY: MANAGER,
        "app.kubernetes.io/name": "orin-tuner",
        APPLICATION_UID: application.uid,
    }


def _pod(
    application: SeenApplication,
    node: SeenNode,
    placement: Placement,
    memory_mib: float,
    options: ServerOptions,
) -> dict[str, Any]:
    folders = {"networks": (options.networks, NETWORKS, True)}
    folders["cache"] = (options.cache, CACHE, False)
    pod: dict[str, Any] = {
        "nodeSelector": {HOSTNAME: node.hostname},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "supplementalGroups": list(options.groups),
        },
        "containers": [_container(application, node, placement, memory_mib, options)],
        "volumes": [
            {"name": name, "hostPath": {"path": path, "type": "Directory"}}
            for name, (path, _, _) in folders.items()
        ]
        + [{"name": "tmp", "emptyDir": {}}],
    }
    pod["containers"][0]["volumeMounts"] = [
        {"name": name, "mountPath": inside, "readOnly": read_only}
        for name, (_, inside, read_only) in folders.items()
    ] + [{"name": "tmp", "mountPath": "/tmp"}]
    if options.runtime_class:
        pod["runtimeClassName"] = options.runtime_class
    return pod


def _container(
    application: SeenApplication,
    node: SeenNode,
    placement: Placement,
    memory_mib: float,
    options: ServerOptions,
) -> dict[str, Any]:
    probe: Mapping[str, Any] = {
        "exec": {"command": ["python", "-c", PROBE]},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
    }
    return {
        "name": "server",
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "tuner.deploy"],
        "args": arguments(application, node, placement, options),
        "env": [
            {"name": "XDG_CACHE_HOME", "value": CACHE},
            {"name": "CUDA_CACHE_PATH", "value": f"{CACHE}/cuda"},
        ],
        # What a server said last is what it ended for: the controller reads it there.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "ports": [{"name": "requests", "containerPort": REQUESTS_PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": f"{round(memory_mib)}Mi"}},
        # An engine may take minutes to build; a server that stops answering is started anew.
        "startupProbe": {**probe, "failureThreshold": max(int(options.progress_s / 10), 1)},
        "readinessProbe": {**probe, "failureThreshold": 3},
        "livenessProbe": {**probe, "failureThreshold": 12},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
