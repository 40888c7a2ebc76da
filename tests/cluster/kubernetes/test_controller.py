"""The controller as a process, with its own rights, against a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.kubernetes.api import Api, Refused
from tests.cluster.kubernetes.controllers import (
    APPLICATIONS,
    SERVERS,
    SERVICES,
    application,
    controller,
    end,
    install,
    phases,
    servers,
)
from tests.cluster.kubernetes.nodes import BoardNode, make_nodes, set_ready
from tests.cluster.kubernetes.parts import ClusterParts, wait_for
from tests.cluster.kubernetes.server import ApiServer

NODES = [
    BoardNode("large", "agx_orin_64", "30W"),
    BoardNode("middle", "orin_nx_16", "25W"),
    BoardNode("small", "orin_nano_8", "15W"),
]


@pytest.fixture(scope="module")
def parts(server: ApiServer, admin: Api) -> Iterator[ClusterParts]:
    """Return the played parts of a cluster with the manifests and three boards."""
    install(admin)
    make_nodes(admin, NODES)
    with ClusterParts(admin) as playing, controller(server) as process:
        yield playing
        assert end(process) == 0
        assert playing.errors == []


def serves(admin: Api, name: str) -> None:
    wait_for(lambda: phases(admin).get(name) == "Serving", f"{name} serves")


def is_gone(admin: Api, name: str) -> bool:
    left = [each["metadata"]["name"] for each in admin.items(SERVICES)]
    return name not in servers(admin) and name not in left


def test_an_application_is_placed_and_told_about(admin: Api, parts: ClusterParts) -> None:
    admin.create(APPLICATIONS, application("door", replicas=2))
    serves(admin, "door")
    found = admin.get(f"{APPLICATIONS}/door")
    status = found["status"]
    assert sorted(each["node"] for each in status["placements"]) == servers(admin)["door"]
    assert status["observedGeneration"] == found["metadata"]["generation"]
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Placed": "True",
        "Serving": "True",
    }
    assert "finalizers" not in found["metadata"]
    assert "annotations" not in found["metadata"]
    assert admin.find(f"{SERVICES}/door") is not None

    def told() -> set[str]:
        events = admin.items("/api/v1/namespaces/default/events")
        return {each["reason"] for each in events if each["involvedObject"]["name"] == "door"}

    wait_for(lambda: {"Placing", "Serving"} <= told(), "both events are there")  # sent by a queue


def test_an_edit_is_served_in_place_and_a_delete_leaves_nothing(
    admin: Api, parts: ClusterParts
) -> None:
    admin.create(APPLICATIONS, application("gate"))
    serves(admin, "gate")
    before = servers(admin)["gate"]
    admin.merge(f"{APPLICATIONS}/gate", {"spec": {"rateIps": 25}})

    def follows() -> bool:
        found = admin.get(f"{APPLICATIONS}/gate")
        seen = found["status"]["observedGeneration"] == found["metadata"]["generation"]
        return bool(seen and found["status"]["phase"] == "Serving")

    wait_for(follows, "the new rate is served")
    assert servers(admin)["gate"] == before
    admin.delete(f"{APPLICATIONS}/gate")
    wait_for(lambda: is_gone(admin, "gate"), "nothing is left of gate")


def test_what_cannot_be_placed_says_why_and_a_wrong_spec_is_refused(
    admin: Api, parts: ClusterParts
) -> None:
    admin.create(APPLICATIONS, application("fast", p99Ms=1))
    wait_for(lambda: phases(admin).get("fast") == "Unplaceable", "fast is refused")
    message = admin.get(f"{APPLICATIONS}/fast")["status"]["message"]
    assert "no board keeps a p99 of 1 ms" in message
    admin.delete(f"{APPLICATIONS}/fast")
    for wrong in ({"rateIps": -1}, {"network": "../x"}, {"goal": "all"}, {"replicas": 0}):
        with pytest.raises(Refused, match="422"):
            admin.create(APPLICATIONS, application("wrong", **wrong))


def test_a_lost_node_is_left(admin: Api, parts: ClusterParts) -> None:
    admin.create(APPLICATIONS, application("lamp"))
    serves(admin, "lamp")
    [node] = servers(admin)["lamp"]
    set_ready(admin, node, False)
    wait_for(lambda: node not in servers(admin)["lamp"], "lamp has moved")
    serves(admin, "lamp")
    assert len(servers(admin)["lamp"]) == 1
    set_ready(admin, node, True)
    admin.delete(f"{APPLICATIONS}/lamp")
    wait_for(lambda: is_gone(admin, "lamp"), "nothing is left of lamp")


def test_the_servers_of_an_application_belong_to_it(admin: Api, parts: ClusterParts) -> None:
    admin.create(APPLICATIONS, application("owner"))
    serves(admin, "owner")
    uid = admin.get(f"{APPLICATIONS}/owner")["metadata"]["uid"]
    found = [
        each
        for each in admin.items(SERVERS)
        if each["metadata"]["annotations"]["orin-tuner.dev/application"] == "owner"
    ]
    assert [each["metadata"]["ownerReferences"][0]["uid"] for each in found] == [uid]
    pod = found[0]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": servers(admin)["owner"][0]}
    admin.delete(f"{APPLICATIONS}/owner")


def test_a_name_that_is_taken_is_told(admin: Api, parts: ClusterParts) -> None:
    ports = [{"port": 80}]
    admin.create(SERVICES, {"metadata": {"name": "taken"}, "spec": {"ports": ports}})
    admin.create(APPLICATIONS, application("taken"))
    wait_for(lambda: phases(admin).get("taken") == "Failed", "the name is taken")
    message = admin.get(f"{APPLICATIONS}/taken")["status"]["message"]
    assert message.startswith("services default/taken exists and is not the controller's")
    admin.delete(f"{SERVICES}/taken")
    serves(admin, "taken")
    admin.delete(f"{APPLICATIONS}/taken")
