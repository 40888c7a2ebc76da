"""Play the deployment controller, the scheduler and the kubelets for Deployments of pinned pods."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from tests.cluster.kubernetes.api import Api, Refused, path_of
from tests.cluster.kubernetes.nodes import HOSTNAME, condition, is_ready

NODES, PODS, DEPLOYMENTS = "/api/v1/nodes", "/api/v1/pods", "/apis/apps/v1/deployments"
Object = dict[str, Any]
_UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0 nodes are available: the node of its selector takes no pods",
}


class Workloads:
    """Pods of Deployments: made, bound to the node that they name, ready after a while.

    A Deployment owns its pods itself: there are no ReplicaSets between them. An update starts the
    new pod before the old one goes, whatever the strategy says. Memory of nodes is not counted.

    Args:
        api: an administrator's.
        ready_s: how long a pod takes to be ready after it was bound.
        deadline_s: after which a Deployment without a ready pod tells that it makes no progress:
            it stands for `progressDeadlineSeconds`.

    Attributes:
        missing_images: images that no registry has; pods that were ready keep theirs.
        made: how many pods there were of each Deployment, by its name.
    """

    def __init__(self, api: Api, ready_s: float, deadline_s: float) -> None:
        self.api, self.ready_s, self.deadline_s = api, ready_s, deadline_s
        self.missing_images: set[str] = set()
        self.made: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._pulled: set[str] = set()

    def step(self) -> None:
        """Do for every Deployment what there is to do."""
        nodes = {
            each["metadata"]["labels"].get(HOSTNAME, ""): each for each in self.api.items(NODES)
        }
        deployments = self.api.items(DEPLOYMENTS)
        pods: dict[str, list[Object]] = {}
        for pod in self.api.items(PODS):
            for owner in pod["metadata"].get("ownerReferences") or []:
                pods.setdefault(owner["uid"], []).append(pod)
        for deployment in deployments:
            own = pods.get(deployment["metadata"]["uid"], [])
            try:
                self._update(deployment, own, nodes)
            except Refused as error:
                # Somebody else was faster, or the server is on its way up or down.
                if error.status not in (403, 404, 409) and error.status < 500:
                    raise

    def _update(self, deployment: Object, pods: list[Object], nodes: dict[str, Object]) -> None:
        name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
        text = json.dumps(template, sort_keys=True).encode()
        newest = f"{name[:240]}-{hashlib.sha256(text).hexdigest()[:10]}"
        wanted, failure = int(deployment["spec"]["replicas"]), ""
        current = [each for each in pods if each["metadata"]["name"] == newest]
        old = [each for each in pods if each not in current]
        if wanted and not current:
            try:
                current = [self.api.create(_pods_of(deployment), _pod(deployment, newest))]
                self.made[name] = self.made.get(name, 0) + 1
            except Refused as error:
                if error.status != 403:
                    raise
                failure = str(error)
        ready = [self._run(each, nodes) for each in current if wanted]
        kept = [each for each in old if wanted and not any(ready)]
        for each in pods:
            if each not in kept and (each in old or not wanted):
                self.api.delete(path_of(each, PODS), now=True)
        available = sum(ready) + sum(self._run(each, nodes) for each in kept)
        self._show(deployment, len(ready), len(kept), sum(ready), available)
        if failure and "ReplicaFailure" not in _conditions(deployment):
            failed = condition("ReplicaFailure", True, "FailedCreate", failure)
            self._write(deployment, DEPLOYMENTS, {"conditions": [failed]})

    def _run(self, pod: Object, nodes: dict[str, Object]) -> bool:
        """Bind a pod, show how it does on its node, and return True if it is ready."""
        meta, spec = pod["metadata"], pod["spec"]
        node = nodes.get(spec.get("nodeSelector", {}).get(HOSTNAME, ""))
        there = node is not None and is_ready(node)
        if node is None and "nodeName" in spec:
            self.api.delete(path_of(pod, PODS), now=True)
            return False
        if "nodeName" not in spec:
            if not there or (node or {})["spec"].get("unschedulable"):
                unplaced = {"phase": "Pending", "conditions": [_UNSCHEDULABLE]}
                if "PodScheduled" not in _conditions(pod):
                    self._write(pod, PODS, unplaced)
                return False
            target = {"apiVersion": "v1", "kind": "Node", "name": (node or {})["metadata"]["name"]}
            self.api.create(
                f"{path_of(pod, PODS)}/binding",
                {"metadata": {"name": meta["name"]}, "target": target},
            )
        age_s = time.monotonic() - self._since.setdefault(meta["uid"], time.monotonic())
        images = {each["image"] for each in spec["containers"]}
        missing = there and bool(images & self.missing_images) and meta["uid"] not in self._pulled
        ready = there and not missing and age_s >= self.ready_s
        if ready:
            self._pulled.add(meta["uid"])
        status = _pod_status(pod, ready, missing)
        if status != _shown(pod):
            self._write(pod, PODS, status)
        return ready

    def _show(
        self, deployment: Object, current: int, kept: int, ready: int, available: int
    ) -> None:
        """Write a Deployment's status if it is another one now."""
        meta, wanted = deployment["metadata"], int(deployment["spec"]["replicas"])
        generation, now = int(meta["generation"]), time.monotonic()
        age_s = now - self._since.setdefault(f"{meta['uid']} {generation}", now)
        enough, done = available >= wanted, ready >= wanted
        reason = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
        if done:
            progress = ("True", "NewReplicaSetAvailable")
        elif age_s >= self.deadline_s:
            progress = ("False", "ProgressDeadlineExceeded")
        else:
            progress = ("True", "ReplicaSetUpdated")
        status = {
            "observedGeneration": generation,
            "replicas": current + kept,
            "updatedReplicas": current,
            "readyReplicas": available,
            "availableReplicas": available,
            "unavailableReplicas": max(wanted - available, 0),
        }
        old, shown = deployment.get("status", {}), _conditions(deployment)
        same = all(old.get(key, 0) == value for key, value in status.items())
        if same and shown.get("Progressing") == progress:
            return
        conditions = [
            condition("Available", enough, reason),
            condition("Progressing", progress[0] == "True", progress[1]),
        ]
        self._write(deployment, DEPLOYMENTS, {**status, "conditions": conditions})

    def _write(self, item: Object, collection: str, status: Object) -> None:
        self.api.merge(f"{path_of(item, collection)}/status", {"status": status})


def _pods_of(deployment: Object) -> str:
    return f"/api/v1/namespaces/{deployment['metadata']['namespace']}/pods"


def _pod(deployment: Object, name: str) -> Object:
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True}
    owner |= {"name": meta["name"], "uid": meta["uid"]}
    own = {"name": name, "ownerReferences": [owner], **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": template["spec"]}


def _conditions(item: Object) -> dict[str, tuple[str, str]]:
    """Return status and reason of an object's conditions."""
    conditions = item.get("status", {}).get("conditions") or []
    return {each["type"]: (each["status"], each.get("reason", "")) for each in conditions}


def _shown(pod: Object) -> Object:
    """Return what a pod shows, as `_pod_status` makes it: without times."""
    status = pod.get("status", {})
    return {
        "phase": status.get("phase"),
        "conditions": [
            {"type": each["type"], "status": each["status"]}
            for each in status.get("conditions") or []
            if each["type"] == "Ready"
        ],
        "containerStatuses": status.get("containerStatuses") or [],
    }


def _pod_status(pod: Object, ready: bool, missing: bool) -> Object:
    state: Object = {"waiting": {"reason": "ContainerCreating"}}
    if ready or _conditions(pod).get("Ready"):
        state = {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}}
    if missing:
        text = "Back-off pulling image"
        state = {"waiting": {"reason": "ImagePullBackOff", "message": text}}
    return {
        "phase": "Running" if "running" in state else "Pending",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [
            {
                "name": each["name"],
                "image": each["image"],
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
                "state": state,
            }
            for each in pod["spec"]["containers"]
        ],
    }
