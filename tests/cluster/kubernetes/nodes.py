"""Make nodes of boards; let them be lost and come back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from envs.catalog.boards import board
from tests.cluster.kubernetes.api import Api

HOSTNAME = "kubernetes.io/hostname"
BOARD, POWER_MODE = "orin-tuner.dev/board", "orin-tuner.dev/power-mode"
UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclass(frozen=True)
class BoardNode:
    """A node to be made.

    Attributes:
        name: of the node, and its host name.
        board: in the catalog.
        power_mode: of the board; None for none in the labels.
        labels: more of them, or others than the usual ones.
    """

    name: str
    board: str = "agx_orin_64"
    power_mode: str | None = "MAXN"
    labels: dict[str, str] = field(default_factory=dict)

    def manifest(self) -> dict[str, Any]:
        """Return the Node object with the labels and capacities that a kubelet gives it."""
        known = board(self.board)
        mode = known.power_modes.get(self.power_mode or "")
        cores = mode.cpu_cores if mode else max(m.cpu_cores for m in known.power_modes.values())
        labels = {HOSTNAME: self.name, "kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}
        labels[BOARD] = self.board
        if self.power_mode:
            labels[POWER_MODE] = self.power_mode
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {**labels, **self.labels}},
            "status": {
                "capacity": {
                    "cpu": str(cores),
                    "memory": f"{known.memory_mib:.0f}Mi",
                    "pods": "110",
                },
                "allocatable": {
                    "cpu": str(cores),
                    "memory": f"{known.memory_mib:.0f}Mi",
                    "pods": "110",
                },
                "conditions": [condition("Ready", True, "KubeletReady")],
            },
        }


def make_nodes(api: Api, nodes: Sequence[BoardNode]) -> None:
    """Make nodes that are ready."""
    for node in nodes:
        api.create("/api/v1/nodes", node.manifest())
        set_ready(api, node.name, True)


def make_runtime_class(api: Api, name: str = "nvidia") -> None:
    """Make the runtime class of pods that use a GPU; without it the server refuses such pods."""
    kind = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass"}
    api.create(
        "/apis/node.k8s.io/v1/runtimeclasses", {**kind, "metadata": {"name": name}, "handler": name}
    )


def set_ready(api: Api, name: str, ready: bool) -> None:
    """Let a node be lost, or come back, as the node lifecycle controller shows it."""
    reason = "KubeletReady" if ready else "NodeStatusUnknown"
    shown = condition("Ready", True if ready else None, reason)
    api.merge(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [shown]}})
    taints = [] if ready else [{"key": UNREACHABLE, "effect": effect} for effect in _EFFECTS]
    api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": taints or None}})


_EFFECTS = ("NoSchedule", "NoExecute")


def is_ready(node: dict[str, Any]) -> bool:
    """Return True if a node's Ready condition is true."""
    conditions = node.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def condition(kind: str, value: bool | None, reason: str, message: str = "") -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    status = {True: "True", False: "False", None: "Unknown"}[value]
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": now,
    }
