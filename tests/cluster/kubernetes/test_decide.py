from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.kubernetes.decide import decide
from cluster.kubernetes.plan import Create
from cluster.kubernetes.status import status_object
from tests.cluster.kubernetes.pretended import Pretended
from tests.cluster.kubernetes.small_cluster import SETTINGS, small_cluster


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


def test_a_deleted_application_leaves_nothing() -> None:
    cluster = small_cluster()
    cluster.application("door")
    cluster.application("gate")
    cluster.look(SETTINGS, steps=1)
    cluster.delete("door")
    cluster.settle(SETTINGS)
    assert list(cluster.where()) == ["gate"]
    assert list(cluster.objects["services"]) == ["default/gate"]


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
