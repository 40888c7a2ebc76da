from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.kubernetes.decide import Settings, decide
from cluster.kubernetes.objects import ServerOptions
from cluster.kubernetes.plan import Create, Delete, Replace
from cluster.kubernetes.status import status_object
from tests.cluster.kubernetes.pretended import Pretended

SETTINGS = Settings(ServerOptions(progress_s=100.0))


def small_cluster(nodes: int = 3) -> Pretended:
    cluster = Pretended()
    for number in range(nodes):
        cluster.node(f"node-{number}")
    return cluster


def test_an_application_gets_a_server_and_a_service_and_then_serves() -> None:
    cluster = small_cluster()
    cluster.application("door")
    plan = cluster.look(SETTINGS)
    assert [(type(each), each.target.split()[0]) for each in plan.steps] == [
        (Create, "deployments"),
        (Create, "services"),
    ]
    assert cluster.statuses() == {"default/door": "Placing"}
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/door": "Serving"}
    placements = cluster.objects["applications"]["default/door"]["status"]["placements"]
    assert [each["node"] for each in placements] == cluster.where()["door"]


def test_what_is_done_is_not_done_again() -> None:
    cluster = small_cluster()
    for number in range(6):
        cluster.application(f"app-{number}", replicas=1 + number % 2)
    plan = cluster.settle(SETTINGS)
    assert plan.steps == []
    assert len(cluster.made) == len(set(cluster.made))
    assert {*cluster.statuses().values()} == {"Serving"}
    assert len(cluster.where()["app-1"]) == len(set(cluster.where()["app-1"])) == 2


@pytest.mark.parametrize("stop", range(1, 13))
def test_stopped_after_any_step_it_ends_in_the_same_state(stop: int) -> None:
    clusters = []
    for interrupted in (False, True):
        cluster = small_cluster(4)
        for number in range(8):
            cluster.application(f"app-{number}", rateIps=20 + 5 * number, priority=number % 3)
        if interrupted:
            for _ in range(40):
                cluster.look(SETTINGS, steps=stop)
                cluster.kubelet()
        cluster.settle(SETTINGS)
        clusters.append(cluster)
    assert clusters[0].where() == clusters[1].where()
    assert clusters[0].statuses() == clusters[1].statuses()
    assert len(clusters[1].made) == len(set(clusters[1].made))


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


def test_a_deleted_application_leaves_nothing() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.application("gate")
    cluster.look(SETTINGS, steps=1)
    cluster.delete("door")
    cluster.settle(SETTINGS)
    assert list(cluster.where()) == ["gate"]
    assert list(cluster.objects["services"]) == ["default/gate"]


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


def test_an_important_application_takes_the_room_of_another() -> None:
    cluster = small_cluster(1)
    cluster.application("low", rateIps=100)
    cluster.settle(SETTINGS)
    cluster.application("high", rateIps=130, priority=5)
    cluster.settle(SETTINGS)
    assert cluster.where() == {"high": ["node-0"]}
    assert cluster.statuses() == {"default/high": "Serving", "default/low": "Unplaceable"}
    assert "too full" in cluster.message("low")
    cluster.node("node-1")
    cluster.settle(SETTINGS)
    assert {*cluster.statuses().values()} == {"Serving"}


def test_who_makes_room_is_served_elsewhere_first() -> None:
    cluster = small_cluster(1)
    cluster.application("low", rateIps=40)
    cluster.settle(SETTINGS)
    cluster.node("node-1", "agx_orin_64", "30W")
    # Only the large board serves it, and it has room for both.
    cluster.application("high", rateIps=40, priority=1)
    cluster.settle(SETTINGS)
    assert {*cluster.statuses().values()} == {"Serving"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"p99Ms": 1}, "no board keeps a p99 of 1 ms for resnet50"),
        ({"network": "mine"}, "no board here has a profile of network mine"),
        ({"rateIps": 100_000}, "no board serves 100000 requests/s of resnet50 alone"),
        ({"replicas": 4}, "4 replicas need as many nodes"),
    ],
)
def test_what_cannot_be_placed_says_why(spec: dict[str, object], words: str) -> None:
    cluster = small_cluster()
    cluster.application("door", **spec)
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/door": "Unplaceable"}
    assert words in cluster.message("door")
    assert cluster.made == []


def test_without_boards_nothing_is_placed_until_one_comes() -> None:
    cluster = Pretended()
    cluster.application("door")
    cluster.settle(SETTINGS)
    assert "no node is ready" in cluster.message("door")
    cluster.node("node-0")
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/door": "Serving"}


def test_a_missing_image_is_told_and_nothing_is_made_again() -> None:
    cluster = small_cluster()
    cluster.missing_images = {SETTINGS.servers.image}
    cluster.application("door")
    cluster.settle(SETTINGS)
    made = len(cluster.made)
    cluster.now += timedelta(seconds=SETTINGS.servers.progress_s + 1)
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/door": "Failed"}
    assert "ImagePullBackOff: Back-off pulling image" in cluster.message("door")
    assert len(cluster.made) == made
    cluster.missing_images = set()
    cluster.kubelet()
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/door": "Serving"}


def test_a_server_that_never_is_ready_is_told_once() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.look(SETTINGS)
    cluster.now += timedelta(seconds=SETTINGS.servers.progress_s + 1)
    assert cluster.look(SETTINGS).statuses["default/door"].phase == "Failed"
    cluster.now += timedelta(seconds=10)
    [application] = cluster.world().applications
    again = decide(cluster.world(), SETTINGS).statuses["default/door"]
    assert status_object(application, again, cluster.time) is None


def test_a_wrong_spec_is_told_and_stops_nobody_else() -> None:
    cluster = small_cluster()
    cluster.application("bad", rateIps=-1, network="../secret")
    cluster.application("good")
    cluster.settle(SETTINGS)
    assert cluster.statuses() == {"default/bad": "Failed", "default/good": "Serving"}
    assert "spec.rateIps=-1 must be above zero" in cluster.message("bad")
    assert "spec.network='../secret'" in cluster.message("bad")


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


def test_a_network_of_ones_own_is_profiled_from_its_file(small_onnx: Path, tmp_path: Path) -> None:
    shutil.copy(small_onnx, tmp_path / "mine.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    cluster = small_cluster()
    cluster.application("door", "mine")
    cluster.application("gate", "broken")
    plan = cluster.settle(replace(SETTINGS, profiles=tmp_path))
    assert cluster.statuses() == {"default/door": "Serving", "default/gate": "Unplaceable"}
    [remark] = plan.remarks
    assert "broken.onnx" in remark
