"""Faults of a cluster, each with the phases that applications must end in.

A case begins on boards without applications, and ends where everything must be as declared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.kubernetes.controllers import SERVERS
from tests.cluster.kubernetes.deployments import NODES
from tests.cluster.kubernetes.judge import phases, wrongs
from tests.cluster.kubernetes.nodes import BOARD, set_ready
from tests.cluster.kubernetes.process import IMAGE, LEASE, free_lease, holder
from tests.cluster.kubernetes.proxy import Written
from tests.cluster.kubernetes.stage import DECLARED, SPACE, Stage

#: Phases that are not `Serving`, by application.
Phases = Mapping[str, str]
Case = Callable[[Stage], Phases]
#: Two of the applications, three servers.
FEW = {name: DECLARED[name] for name in ("door", "gate")}
#: Lives of a controller that is killed after every change, at most.
MOST_LIVES = 60


def killed_at_every_change(stage: Stage) -> Phases:
    """Kill each controller after its first change: objects, statuses and events."""
    stage.declare(FEW)
    _one_change_each(stage)
    twice = [name for name, count in stage.parts.workloads.made.items() if count > 1]
    assert not twice, f"servers were made twice: {twice}"
    return {}


def killed_at_every_change_of_a_move(stage: Stage) -> Phases:
    """Kill each controller after its first change, while a lost node's applications move."""
    _serve(stage, FEW)
    stage.kill_controllers()
    set_ready(stage.admin, min(stage.nodes_of("gate")), False)
    time.sleep(1.5)  # longer than the grace
    free_lease(stage.admin)
    _one_change_each(stage)
    return {}


def killed_at_every_change_of_an_edit(stage: Stage) -> Phases:
    """Kill each controller after its first change, while edited applications change."""
    _serve(stage, FEW)
    stage.kill_controllers()
    stage.edit("door", replicas=3, p99Ms=200)
    stage.edit("gate", rateIps=20, goal="latency")
    free_lease(stage.admin)
    _one_change_each(stage)
    return {}


def stopped_while_placing(stage: Stage) -> Phases:
    """Stop the controller as an update would, and start the next one."""
    controller = _begin(stage)
    assert controller.stop() == 0, controller.words()
    assert holder(stage.admin) == "", "the lease was not given back"
    stage.start()
    return {}


def server_restarted(stage: Stage) -> Phases:
    """Restart the API server while applications are placed."""
    _begin(stage)
    stage.server.restart()
    return {}


def server_killed(stage: Stage) -> Phases:
    """Kill the API server in the middle of placing, and start it again."""
    _begin(stage)
    stage.server.kill()
    stage.server.start()
    return {}


def server_away(stage: Stage) -> Phases:
    """Let the API server be away for ten seconds after an edit that was not looked at."""
    _serve(stage)
    stage.edit("gate", rateIps=20)
    stage.server.kill()
    time.sleep(10)
    stage.server.start()
    return {}


def server_refuses(stage: Stage) -> Phases:
    """Let the API server answer with 503, and then with 429, for some seconds each."""
    _begin(stage)
    for status in (503, 429):
        stage.proxy.refuse = status
        time.sleep(3)
    stage.proxy.refuse = None
    return {}


def answers_lost(stage: Stage) -> Phases:
    """Lose the answers to the next five changes, which are made all the same."""
    stage.proxy.lose_answers = 5
    _begin(stage)
    return {}


def connections_cut(stage: Stage) -> Phases:
    """Cut all connections, watches too, and edit in the same moment."""
    _serve(stage)
    stage.proxy.cut()
    stage.edit("yard", rateIps=25)
    return {}


def node_lost(stage: Stage) -> Phases:
    """Lose a node for good: what it served goes elsewhere."""
    _serve(stage)
    lost = min(stage.nodes_of("door"))
    set_ready(stage.admin, lost, False)
    stage.wait(lambda: lost not in stage.nodes_of("door"), f"door leaves {lost}")
    return {}


def node_returns(stage: Stage) -> Phases:
    """Lose a node, and let it return when all has moved away."""
    _serve(stage)
    lost = min(stage.nodes_of("door"))
    set_ready(stage.admin, lost, False)
    stage.settle()
    set_ready(stage.admin, lost, True)
    return {}


def node_returns_while_moving(stage: Stage) -> Phases:
    """Let a lost node return as soon as the first of its servers is made elsewhere."""
    _serve(stage)
    before = len(stage.proxy.changes)
    lost = min(stage.nodes_of("door"))
    set_ready(stage.admin, lost, False)
    stage.wait(lambda: len(stage.proxy.changes) > before, "something moves")
    set_ready(stage.admin, lost, True)
    return {}


def node_deleted(stage: Stage) -> Phases:
    """Delete a node."""
    _serve(stage)
    lost = min(stage.nodes_of("gate"))
    stage.admin.delete(f"{NODES}/{lost}")
    stage.wait(lambda: lost not in stage.nodes_of("gate"), f"gate leaves {lost}")
    return {}


def two_nodes_lost(stage: Stage) -> Phases:
    """Lose two nodes at once, with the controller killed in the same moment."""
    _serve(stage)
    for each in sorted(stage.nodes_of("door")):
        set_ready(stage.admin, each, False)
    stage.kill_controllers()
    free_lease(stage.admin)
    stage.start()
    return {}


def node_cordoned(stage: Stage) -> Phases:
    """Cordon a node: what serves there stays, and an application that comes goes elsewhere."""
    _serve(stage, FEW)
    node = min(stage.nodes_of("gate"))
    stage.admin.merge(f"{NODES}/{node}", {"spec": {"unschedulable": True}})
    stage.declare({"lane": DECLARED["lane"]})
    stage.settle()
    assert node in stage.nodes_of("gate"), "gate left a node that was cordoned"
    assert node not in stage.nodes_of("lane"), "lane came to a node that was cordoned"
    return {}


def label_changed(stage: Stage) -> Phases:
    """Say that a node is a smaller board than it was said to be."""
    _serve(stage)
    node = min(stage.nodes_of("gate"))
    stage.admin.merge(f"{NODES}/{node}", {"metadata": {"labels": {BOARD: "orin_nano_8"}}})
    stage.admin.merge(
        f"{NODES}/{node}", {"metadata": {"labels": {"orin-tuner.dev/power-mode": None}}}
    )
    return {}


def image_missing(stage: Stage) -> Phases:
    """Let no registry have the image, until it has it after all."""
    stage.parts.workloads.missing_images.add(IMAGE)
    stage.lead()
    stage.declare(FEW)
    stage.settle({"door": "Failed", "gate": "Failed"})
    for name in FEW:
        said = stage.admin.get(f"{SPACE}/{name}")["status"]["message"]
        assert "ImagePullBackOff" in said, said
    stage.parts.workloads.missing_images.clear()
    return {}


def image_missing_after_an_edit(stage: Stage) -> Phases:
    """Edit an application while no registry has the image: its old pod serves on."""
    _serve(stage)
    stage.parts.workloads.missing_images.add(IMAGE)
    stage.edit("gate", rateIps=20)
    stage.settle({"gate": "Failed"})
    [server] = stage.servers("gate")
    assert server["status"]["availableReplicas"] == 1, "the old pod went before the new one came"
    stage.parts.workloads.missing_images.clear()
    return {}


def rate_edited(stage: Stage) -> Phases:
    """Ask for a higher rate, and for a lower one."""
    _serve(stage)
    stage.edit("gate", rateIps=90)
    stage.edit("door", rateIps=10)
    return {}


def limit_edited(stage: Stage) -> Phases:
    """Ask for a limit that no board keeps, and take it back."""
    _serve(stage)
    stage.edit("gate", p99Ms=0.5)
    stage.settle({"gate": "Unplaceable"})
    stage.edit("gate", p99Ms=100)
    return {}


def replicas_edited(stage: Stage) -> Phases:
    """Ask for more replicas, for more than there are boards, and for one."""
    _serve(stage)
    stage.edit("gate", replicas=3)
    stage.settle()
    stage.edit("gate", replicas=9)
    stage.settle({"gate": "Unplaceable"})
    stage.edit("gate", replicas=1)
    return {}


def network_edited(stage: Stage) -> Phases:
    """Ask for another network, then for one that nobody knows, then for the first."""
    _serve(stage)
    stage.edit("lane", network="resnet50")
    stage.settle()
    stage.edit("lane", network="nonesuch")
    stage.settle({"lane": "Unplaceable"})
    stage.edit("lane", network="googlenet")
    return {}


def edited_while_placing(stage: Stage) -> Phases:
    """Edit three applications as soon as the first change was made."""
    _begin(stage)
    stage.edit("gate", replicas=2)
    stage.edit("door", rateIps=20, p99Ms=80)
    stage.edit("yard", network="squeezenet1_1")
    return {}


def edited_many_times(stage: Stage) -> Phases:
    """Edit an application twenty times, faster than it can be placed."""
    _begin(stage)
    for number in range(20):
        stage.edit("gate", rateIps=20 + number, replicas=1 + number % 3)
        time.sleep(0.1)
    return {}


def deleted_while_placing(stage: Stage) -> Phases:
    """Delete an application as soon as the first change was made."""
    _begin(stage)
    stage.withdraw("gate")
    stage.settle()
    assert not stage.servers("gate"), "gate is gone, and its servers are there"
    return {}


def deleted_and_declared_again(stage: Stage) -> Phases:
    """Delete an application, and declare another one of its name at once."""
    _serve(stage)
    stage.withdraw("gate")
    stage.declare({"gate": DECLARED["gate"] | {"rateIps": 15, "replicas": 2}})
    return {}


def two_controllers(stage: Stage) -> Phases:
    """Start two controllers at once, and kill the one that leads after an edit."""
    pair = [stage.start(), stage.start()]
    stage.declare()
    stage.settle()
    assert all(each.running for each in pair), "a controller ended"
    leader = next(each for each in pair if f"_{each.process.pid}_" in holder(stage.admin))
    stage.edit("gate", rateIps=20)
    leader.kill()
    return {}


def frozen_leader(stage: Stage) -> Phases:
    """Freeze the controller that leads in the middle of work, and thaw it when another leads."""
    first = stage.lead()
    stage.start()
    stage.declare()
    before = len(stage.proxy.changes)
    stage.wait(lambda: len(stage.proxy.changes) > before, "something is made")
    first.freeze()
    stage.edit("gate", rateIps=20)
    stage.wait(lambda: f"_{first.process.pid}_" not in holder(stage.admin), "another one leads")
    first.thaw()
    return {}


def lease_stolen(stage: Stage) -> Phases:
    """Give the lease to a thief that never renews it: the controller waits, and takes it back."""
    _serve(stage)
    stage.admin.merge(LEASE, {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 6}})
    stage.edit("gate", rateIps=20)
    stage.wait(lambda: holder(stage.admin) != "thief", "the thief's lease ends")
    return {}


def lease_deleted(stage: Stage) -> Phases:
    """Delete the lease."""
    _serve(stage)
    stage.admin.delete(LEASE)
    stage.edit("gate", rateIps=20)
    stage.wait(lambda: bool(holder(stage.admin)), "there is a lease again")
    return {}


def server_deleted_by_hand(stage: Stage) -> Phases:
    """Delete a Deployment by hand."""
    _serve(stage)
    name = stage.servers("gate")[0]["metadata"]["name"]
    uid = stage.servers("gate")[0]["metadata"]["uid"]
    stage.admin.delete(f"{SERVERS}/{name}")
    stage.wait(lambda: _uid(stage, name) not in ("", uid), "it is made again")
    return {}


def server_edited_by_hand(stage: Stage) -> Phases:
    """Change the arguments of a Deployment by hand."""
    _serve(stage)
    server = stage.servers("gate")[0]
    container = server["spec"]["template"]["spec"]["containers"][0]
    at = container["args"].index("--rate-ips")
    container["args"][at + 1] = "1"
    stage.admin.replace(f"{SERVERS}/{server['metadata']['name']}", server)
    return {}


def server_scaled_by_hand(stage: Stage) -> Phases:
    """Scale a Deployment to none by hand."""
    _serve(stage)
    server = stage.servers("gate")[0]["metadata"]["name"]
    stage.admin.merge(f"{SERVERS}/{server}", {"spec": {"replicas": 0}})
    return {}


def service_deleted_by_hand(stage: Stage) -> Phases:
    """Delete an application's Service by hand."""
    _serve(stage)
    stage.admin.delete("/api/v1/namespaces/default/services/gate")
    return {}


def status_wiped(stage: Stage) -> Phases:
    """Wipe the status of every application, with the controller killed in the same moment."""
    _serve(stage)
    stage.kill_controllers()
    for name in DECLARED:
        stage.admin.merge(f"{SPACE}/{name}/status", {"status": None})
    free_lease(stage.admin)
    stage.start()
    return {}


def made_room(stage: Stage) -> Phases:
    """Fill the boards, and declare something more important that needs the room."""
    stage.lead()
    asked: dict[str, Any] = {"network": "resnet50", "rateIps": 120, "p99Ms": 120}
    stage.declare({f"many-{number}": asked for number in range(30)})
    stage.settle(None)
    found = phases(stage.admin)
    assert {*found.values()} == {"Serving", "Unplaceable"}, "the boards are not full"
    stage.declare({"first": asked | {"priority": 9}})
    stage.settle(None)
    found = phases(stage.admin)
    assert found["first"] == "Serving", found
    return {name: phase for name, phase in found.items() if phase != "Serving"}


CASES: tuple[Case, ...] = (
    killed_at_every_change,
    killed_at_every_change_of_a_move,
    killed_at_every_change_of_an_edit,
    stopped_while_placing,
    server_restarted,
    server_killed,
    server_away,
    server_refuses,
    answers_lost,
    connections_cut,
    node_lost,
    node_returns,
    node_returns_while_moving,
    node_deleted,
    two_nodes_lost,
    node_cordoned,
    label_changed,
    image_missing,
    image_missing_after_an_edit,
    rate_edited,
    limit_edited,
    replicas_edited,
    network_edited,
    edited_while_placing,
    edited_many_times,
    deleted_while_placing,
    deleted_and_declared_again,
    two_controllers,
    frozen_leader,
    lease_stolen,
    lease_deleted,
    server_deleted_by_hand,
    server_edited_by_hand,
    server_scaled_by_hand,
    service_deleted_by_hand,
    status_wiped,
    made_room,
)


def play(stage: Stage, case: Case) -> float:
    """Play a fault from empty boards on, and return how long everything took to be right in s.

    Raises:
        AssertionError: with what is not as declared.
    """
    stage.reset()
    seconds = stage.settle(case(stage))
    assert not stage.parts.errors, f"the other parts of the cluster failed: {stage.parts.errors}"
    return seconds


def _serve(stage: Stage, applications: Mapping[str, Mapping[str, Any]] = DECLARED) -> None:
    """Let a controller place the applications, and wait until they serve."""
    stage.lead()
    stage.declare(applications)
    stage.settle()


def _begin(stage: Stage) -> Any:
    """Declare the applications; return the controller as soon as it has changed something."""
    controller = stage.lead()
    stage.declare()
    stage.wait(lambda: bool(stage.proxy.changes), "something is made")
    return controller


def _one_change_each(stage: Stage) -> int:
    """Start controllers, each of which is killed after it has changed one object; return how many.

    The last one finds everything as declared.
    """

    def kill(written: Written) -> None:
        if not written.is_lease:
            stage.controllers[-1].process.kill()

    stage.proxy.on_written = kill
    for life in range(1, MOST_LIVES + 1):
        controller = stage.start()
        stage.wait(
            lambda controller=controller: not controller.running or _is_calm(stage, controller),
            "the controller changes something, or has nothing to do",
        )
        if controller.running:
            stage.lives += life - 1
            return life
        free_lease(stage.admin)
    raise AssertionError(f"{MOST_LIVES} controllers were killed, and there is always more to do")


def _is_calm(stage: Stage, controller: Any) -> bool:
    """Return True if a controller leads, everything is as declared, and stays so for a second."""
    if f"_{controller.process.pid}_" not in holder(stage.admin) or wrongs(stage.admin):
        return False
    time.sleep(1.5)
    return bool(controller.running) and not wrongs(stage.admin)


def _uid(stage: Stage, server: str) -> str:
    found = stage.admin.find(f"{SERVERS}/{server}")
    return str(found["metadata"]["uid"]) if found else ""
