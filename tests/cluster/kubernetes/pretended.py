"""A cluster of plain objects: no API server, a kubelet that makes everything ready when told."""

from __future__ import annotations

import copy
import itertools
from datetime import datetime, timedelta, timezone
from typing import Any

from cluster.kubernetes.decide import Settings, decide
from cluster.kubernetes.names import SERVER
from cluster.kubernetes.plan import Create, Delete, Plan, Replace, Step
from cluster.kubernetes.read import application_of, node_of, server_of, service_of
from cluster.kubernetes.status import status_object
from cluster.kubernetes.world import World

#: Fields that items of a list lack.
KINDS = ("apiVersion", "kind")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Pretended:
    """Objects by kind and `namespace/name`, as the API server would keep them."""

    def __init__(self) -> None:
        self.now = START
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            kind: {} for kind in ("nodes", "applications", "deployments", "services", "pods")
        }
        self.missing_images: set[str] = set()
        self.made: list[str] = []
        self._count = itertools.count(1)

    @property
    def time(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def node(self, name: str, board: str = "orin_nano_8", mode: str = "15W") -> None:
        self.objects["nodes"][name] = {
            "metadata": {
                "name": name,
                "labels": {
                    "orin-tuner.dev/board": board,
                    "orin-tuner.dev/power-mode": mode,
                    "kubernetes.io/hostname": name,
                },
            },
            "status": {
                "allocatable": {"memory": "999Gi"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }

    def set_ready(self, name: str, ready: bool) -> None:
        self.objects["nodes"][name]["status"]["conditions"] = [
            {
                "type": "Ready",
                "status": "True" if ready else "Unknown",
                "lastTransitionTime": self.time,
            }
        ]

    def application(self, name: str, network: str = "resnet50", **spec: Any) -> str:
        spec = {"network": network, "rateIps": 30, "p99Ms": 100} | spec
        key = f"default/{name}"
        there = self.objects["applications"].get(key)
        if there is not None:
            there["spec"] = spec
            there["metadata"]["generation"] += 1
            return key
        self.objects["applications"][key] = {
            "metadata": self._metadata("default", name) | {"generation": 1},
            "spec": spec,
            "status": {},
        }
        return key

    def delete(self, name: str) -> None:
        del self.objects["applications"][f"default/{name}"]

    def _metadata(self, namespace: str, name: str) -> dict[str, Any]:
        number = next(self._count)
        return {
            "namespace": namespace,
            "name": name,
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "creationTimestamp": self.time,
        }

    def world(self) -> World:
        by_server: dict[str, list[dict[str, Any]]] = {}
        for pod in self.objects["pods"].values():
            by_server.setdefault(pod["metadata"]["labels"][SERVER], []).append(pod)
        return World(
            tuple(node_of(each, self.now) for each in self.objects["nodes"].values()),
            tuple(application_of(each) for each in self.objects["applications"].values()),
            tuple(
                server_of(each, by_server.get(each["metadata"]["name"], ()), self.now)
                for each in self.objects["deployments"].values()
            ),
            tuple(service_of(each) for each in self.objects["services"].values()),
        )

    def make(self, step: Step) -> None:
        """Do a step as the API server would: an object of a name that exists is refused."""
        if isinstance(step, Create):
            body = _as_listed(step.body)
            metadata = body["metadata"]
            key = f"{metadata['namespace']}/{metadata['name']}"
            assert key not in self.objects[step.kind], f"{key} is there already"
            body["metadata"] |= self._metadata(metadata["namespace"], metadata["name"])
            body["metadata"]["generation"] = 1
            self.objects[step.kind][key] = body
            self.made.append(key)
        elif isinstance(step, Replace):
            metadata = step.body["metadata"]
            old = self.objects[step.kind][f"{metadata['namespace']}/{metadata['name']}"]
            assert old["metadata"]["resourceVersion"] == step.version
            new = _as_listed(step.body)
            new["metadata"] |= {
                "uid": old["metadata"]["uid"],
                "resourceVersion": str(next(self._count)),
                "creationTimestamp": old["metadata"]["creationTimestamp"],
                "generation": old["metadata"]["generation"] + 1,
            }
            new["status"] = old.get("status", {})
            self.objects[step.kind][f"{metadata['namespace']}/{metadata['name']}"] = new
        else:
            assert isinstance(step, Delete)
            there = self.objects[step.kind].pop(f"{step.namespace}/{step.name}")
            assert there["metadata"]["uid"] == step.uid

    def write(self, plan: Plan) -> None:
        """Write the statuses of a plan."""
        for application in self.world().applications:
            if application.key in plan.statuses:
                found = status_object(application, plan.statuses[application.key], self.time)
                if found is not None:
                    self.objects["applications"][application.key]["status"] = found

    def kubelet(self) -> None:
        """Start what can be started: on nodes that are ready, with images that there are."""
        self.objects["pods"].clear()
        for key, each in self.objects["deployments"].items():
            pod = each["spec"]["template"]["spec"]
            node = self.objects["nodes"].get(pod["nodeSelector"]["kubernetes.io/hostname"])
            up = node is not None and node["status"]["conditions"][0]["status"] == "True"
            missing = pod["containers"][0]["image"] in self.missing_images
            ready = int(up and not missing)
            each["status"] = {
                "observedGeneration": each["metadata"]["generation"],
                "replicas": 1,
                "updatedReplicas": 1,
                "readyReplicas": ready,
            }
            if missing:
                waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
                self.objects["pods"][key] = {
                    "metadata": {
                        "labels": each["spec"]["template"]["metadata"]["labels"],
                        "creationTimestamp": each["metadata"]["creationTimestamp"],
                    },
                    "status": {"containerStatuses": [{"state": {"waiting": waiting}}]},
                }

    def look(self, settings: Settings, steps: int | None = None) -> Plan:
        """Decide once and make the first steps, by default all of them."""
        plan = decide(self.world(), settings)
        for each in plan.steps[:steps]:
            self.make(each)
        if steps is None or steps > len(plan.steps):
            self.write(plan)
        return plan

    def settle(self, settings: Settings, rounds: int = 30) -> Plan:
        """Go on until there is nothing to do."""
        for _ in range(rounds):
            plan = self.look(settings)
            before = self.statuses()
            self.kubelet()
            self.now += timedelta(seconds=1)
            if not plan.steps and before == self.statuses():
                plan = decide(self.world(), settings)
                self.write(plan)
                if not plan.steps:
                    return plan
        raise AssertionError(f"it does not settle: {[each.target for each in plan.steps]}")

    def statuses(self) -> dict[str, str]:
        return {
            key: each["status"].get("phase", "")
            for key, each in self.objects["applications"].items()
        }

    def message(self, name: str) -> str:
        return str(self.objects["applications"][f"default/{name}"]["status"]["message"])

    def where(self) -> dict[str, list[str]]:
        """Return the nodes of the servers of each application."""
        found: dict[str, list[str]] = {}
        for each in self.world().servers:
            found.setdefault(each.application, []).append(each.placement.node)
        return {name: sorted(nodes) for name, nodes in sorted(found.items())}


def _as_listed(body: dict[str, Any]) -> dict[str, Any]:
    """Return an object as an item of a list has it: without its kind."""
    return {name: copy.deepcopy(each) for name, each in body.items() if name not in KINDS}
