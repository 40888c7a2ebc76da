"""Decisions where nodes come and go, and where applications and what serves them are changed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cluster.kubernetes.decide import Settings, decide
from cluster.kubernetes.objects import ServerOptions
from cluster.kubernetes.plan import Create, Delete, Replace
from tests.cluster.kubernetes.small_cluster import SETTINGS, small_cluster


def test_a_lost_nodes_applications_move_after_the_grace_time_new_ones_first() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.settle(SETTINGS)
    [node] = cluster.where()["door"]
    cluster.set_ready(node, False)
    cluster.kubelet()
    assert decide(cluster.world(), SETTINGS).steps == []
    cluster.now += timedelta(seconds=SETTINGS.grace_s + 1)
    [step] = cluster.look(SETTINGS).steps
    assert isinstance(step, Create)
    assert cluster.statuses() == {"default/door": "Moving"}
    assert len(cluster.where()["door"]) == 2
    cluster.kubelet()
    [step] = cluster.look(SETTINGS).steps
    assert isinstance(step, Delete)
    cluster.settle(SETTINGS)
    assert node not in cluster.where()["door"]
    assert cluster.statuses() == {"default/door": "Serving"}


def test_a_node_that_comes_back_while_it_is_replaced_ends_with_one_server() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.settle(SETTINGS)
    [node] = cluster.where()["door"]
    cluster.set_ready(node, False)
    cluster.now += timedelta(seconds=SETTINGS.grace_s + 1)
    cluster.look(SETTINGS)
    cluster.set_ready(node, True)
    cluster.settle(SETTINGS)
    assert len(cluster.where()["door"]) == 1


def test_an_application_that_is_made_anew_gets_servers_of_its_own() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.settle(SETTINGS)
    cluster.delete("door")
    cluster.application("door")
    cluster.kubelet()
    cluster.settle(SETTINGS)
    [server] = cluster.world().servers
    assert server.application_uid == cluster.world().applications[0].uid
    assert cluster.statuses() == {"default/door": "Serving"}


def test_an_edited_application_stays_where_it_still_fits() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.settle(SETTINGS)
    before = cluster.where()
    cluster.application("door", rateIps=35)
    plan = cluster.look(SETTINGS)
    assert [type(each) for each in plan.steps] == [Replace]
    cluster.kubelet()
    cluster.settle(SETTINGS)
    assert cluster.where() == before
    assert (
        "35"
        in cluster.objects["deployments"][next(iter(cluster.objects["deployments"]))]["spec"][
            "template"
        ]["spec"]["containers"][0]["args"]
    )


def test_an_edited_application_moves_where_it_must() -> None:
    cluster = small_cluster(2)
    cluster.node("large", "agx_orin_64", "30W")
    for number in range(3):
        cluster.application(f"app-{number}", rateIps=60)
    cluster.settle(SETTINGS)
    cluster.objects["nodes"]["large"]["spec"] = {}
    moved = next(name for name, nodes in cluster.where().items() if nodes != ["large"])
    cluster.application(moved, rateIps=110)
    cluster.settle(SETTINGS)
    assert cluster.where()[moved] == ["large"]
    assert {*cluster.statuses().values()} == {"Serving"}


def test_a_wrong_edit_leaves_what_serves() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.settle(SETTINGS)
    cluster.application("door", p99Ms=1)
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/door": "Unplaceable"}
    assert "it stays on" in cluster.message("door")
    assert len(cluster.where()["door"]) == 1


def test_a_cordoned_node_keeps_what_it_has_and_gets_nothing_new() -> None:
    cluster = small_cluster(2)
    cluster.application("door")
    cluster.settle(SETTINGS)
    [node] = cluster.where()["door"]
    cluster.objects["nodes"][node]["spec"] = {"unschedulable": True}
    for number in range(3):
        cluster.application(f"app-{number}")
    cluster.settle(SETTINGS)
    where = cluster.where()
    assert where.pop("door") == [node]
    assert all(node not in nodes for nodes in where.values())


def test_another_image_is_rolled_out_in_place() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.settle(SETTINGS)
    before = cluster.where()
    other = Settings(ServerOptions(image="other:2", progress_s=100.0))
    assert [type(each) for each in cluster.look(other).steps] == [Replace]
    cluster.kubelet()
    assert cluster.settle(other).steps == []
    assert cluster.where() == before


@pytest.mark.parametrize("part", ["args", "replicas", "nodeSelector"])
def test_a_server_that_somebody_else_changed_is_made_as_it_was(part: str) -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.settle(SETTINGS)
    [server] = cluster.objects["deployments"].values()
    pod = server["spec"]["template"]["spec"]
    if part == "args":
        pod["containers"][0]["args"][1] = "replayed"
    elif part == "replicas":
        server["spec"]["replicas"] = 0
    else:
        pod["nodeSelector"] = {}
    [step] = cluster.look(SETTINGS).steps
    assert isinstance(step, Replace)
    assert step.why == "somebody else has changed it"
    cluster.settle(SETTINGS)
    assert cluster.look(SETTINGS).steps == []


def test_fewer_replicas_leave_and_more_come() -> None:
    cluster = small_cluster()
    cluster.application("door", replicas=3)
    cluster.settle(SETTINGS)
    cluster.application("door", replicas=1)
    cluster.settle(SETTINGS)
    assert len(cluster.where()["door"]) == 1
    cluster.application("door", replicas=2)
    cluster.settle(SETTINGS)
    assert len(cluster.where()["door"]) == 2
