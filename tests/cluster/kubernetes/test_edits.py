"""Test that changes by hand are undone, and that what others may add is left alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from cluster.kubernetes.decide import Settings
from cluster.kubernetes.edits import holds
from cluster.kubernetes.objects import ServerOptions
from cluster.kubernetes.read import _is_ours
from tests.cluster.kubernetes.pretended import Pretended

SETTINGS = Settings(ServerOptions(progress_s=100.0))
GROUP = "orin-tuner.dev"


def serving() -> Pretended:
    cluster = Pretended()
    for number in range(4):
        cluster.node(f"node-{number}")
    cluster.application("door", replicas=2)
    cluster.settle(SETTINGS)
    return cluster


def server(cluster: Pretended) -> Any:
    return cluster.objects["deployments"][min(cluster.objects["deployments"])]


def container(cluster: Pretended) -> Any:
    return server(cluster)["spec"]["template"]["spec"]["containers"][0]


def service(cluster: Pretended) -> Any:
    return cluster.objects["services"]["default/door"]


HANDS: dict[str, Callable[[Pretended], object]] = {
    "arguments": lambda it: container(it)["args"].append("--p99-ms"),
    "environment": lambda it: container(it)["env"][0].update(value="/nowhere"),
    "memory": lambda it: container(it)["resources"]["requests"].update(memory="1Mi"),
    "a container more": lambda it: server(it)["spec"]["template"]["spec"]["containers"].append(
        {"name": "more"}
    ),
    "pods": lambda it: server(it)["spec"].update(replicas=2),
    "paused": lambda it: server(it)["spec"].update(paused=True),
    "pods' labels": lambda it: server(it)["spec"]["template"]["metadata"]["labels"].pop(
        f"{GROUP}/application-uid"
    ),
    "labels": lambda it: server(it)["metadata"].pop("labels"),
    "owner": lambda it: server(it)["metadata"].pop("ownerReferences"),
    "notes": lambda it: server(it)["metadata"].pop("annotations"),
    "what it serves": lambda it: server(it)["metadata"]["annotations"].update(
        {f"{GROUP}/serves": "{"}
    ),
    "its node in the notes": lambda it: server(it)["metadata"]["annotations"].update(
        {f"{GROUP}/node": "node-9"}
    ),
    "the other's node in the notes": lambda it: server(it)["metadata"]["annotations"].update(
        {f"{GROUP}/node": max(it.where()["door"])}
    ),
    "its node": lambda it: server(it)["spec"]["template"]["spec"]["nodeSelector"].update(
        {"kubernetes.io/hostname": "node-3"}
    ),
    "selector": lambda it: service(it)["spec"].update(selector={"app": "nobody"}),
    "selector, more": lambda it: service(it)["spec"]["selector"].update(app="nobody"),
    "port": lambda it: service(it)["spec"]["ports"][0].update(port=9),
    "labels of the service": lambda it: service(it)["metadata"].pop("labels"),
    "owner of the service": lambda it: service(it)["metadata"].pop("ownerReferences"),
}


def essence(cluster: Pretended) -> Any:
    """Return all that is there, without what counts changes."""
    found = copy.deepcopy({kind: cluster.objects[kind] for kind in ("deployments", "services")})
    for kind in found.values():
        for each in kind.values():
            each.pop("status", None)
            for name in ("uid", "resourceVersion", "creationTimestamp", "generation"):
                each["metadata"].pop(name, None)
            (each["metadata"].get("annotations") or {}).pop(f"{GROUP}/replaces", None)
    return found


@pytest.mark.parametrize("hand", HANDS)
def test_it_is_made_as_it_was(hand: str) -> None:
    cluster = serving()
    before = essence(cluster)
    HANDS[hand](cluster)
    assert essence(cluster) != before
    everything = [*cluster.objects["deployments"].values(), *cluster.objects["services"].values()]
    assert all(_is_ours(each) for each in everything)
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/door": "Serving"}
    found = essence(cluster)
    assert len(found["deployments"]) == 2
    if "notes" not in hand:  # who does not know where a server is may place it elsewhere
        assert found == before


def test_a_copy_of_a_server_goes_and_both_replicas_stay() -> None:
    cluster = serving()
    before = cluster.where()
    body = copy.deepcopy(server(cluster))
    body["metadata"] |= {"name": "a-copy", "uid": "another"}
    cluster.objects["deployments"]["default/a-copy"] = body
    other = copy.deepcopy(service(cluster))
    other["metadata"] |= {"name": "a-copy", "uid": "another too"}
    cluster.objects["services"]["default/a-copy"] = other
    cluster.settle(SETTINGS)
    assert cluster.where() == before
    assert list(cluster.objects["services"]) == ["default/door"]


def test_what_the_server_and_others_add_is_left_alone() -> None:
    wanted = {
        "paused": False,
        "groups": [],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "resources": {"requests": {"memory": "2048Mi", "cpu": "100m"}},
        "image": "mine",
    }
    found = {
        "volumes": [{"name": "token"}, {"name": "tmp", "emptyDir": {}, "more": 1}],
        "resources": {"requests": {"memory": "2Gi", "cpu": "0.1"}, "limits": {}},
        "image": "registry/mine",
        "tolerations": [{"key": "any"}],
    }
    assert holds(wanted, found)
    assert not holds(wanted, found | {"volumes": []})
    assert not holds(wanted, found | {"paused": True})
    assert not holds(wanted, found | {"resources": None})


def test_applications_of_one_name_in_two_namespaces_keep_their_state_apart() -> None:
    cluster = Pretended()
    cluster.node("node-0", "agx_orin_64", "MAXN")
    cluster.application("door")
    other = copy.deepcopy(cluster.objects["applications"]["default/door"])
    other["metadata"] |= {"namespace": "robots", "uid": "other"}
    cluster.objects["applications"]["robots/door"] = other
    cluster.settle(SETTINGS)
    folders = []
    for each in cluster.objects["deployments"].values():
        given = each["spec"]["template"]["spec"]["containers"][0]["args"]
        folders.append(given[given.index("--folder") + 1])
    assert len(folders) == len(set(folders)) == 2
