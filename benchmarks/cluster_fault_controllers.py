"""Let controllers be killed, stopped, frozen, doubled, and lose their lease."""

from __future__ import annotations

import time

from benchmarks.cluster_fault_steps import FEW, Phases, begin, one_change_each, serve
from tests.cluster.kubernetes.nodes import set_ready
from tests.cluster.kubernetes.process import LEASE, free_lease, holder
from tests.cluster.kubernetes.stage import DECLARED, SPACE, Stage


def killed_at_every_change(stage: Stage) -> Phases:
    """Kill each controller after its first change: objects, statuses and events."""
    stage.declare(FEW)
    one_change_each(stage)
    twice = [name for name, count in stage.parts.workloads.made.items() if count > 1]
    assert not twice, f"servers were made twice: {twice}"
    return {}


def killed_at_every_change_of_a_move(stage: Stage) -> Phases:
    """Kill each controller after its first change, while a lost node's applications move."""
    serve(stage, FEW)
    stage.kill_controllers()
    set_ready(stage.admin, min(stage.nodes_of("gate")), False)
    time.sleep(1.5)  # longer than the grace
    free_lease(stage.admin)
    one_change_each(stage)
    return {}


def killed_at_every_change_of_an_edit(stage: Stage) -> Phases:
    """Kill each controller after its first change, while edited applications change."""
    serve(stage, FEW)
    stage.kill_controllers()
    stage.edit("door", replicas=3, p99Ms=200)
    stage.edit("gate", rateIps=20, goal="latency")
    free_lease(stage.admin)
    one_change_each(stage)
    return {}


def stopped_while_placing(stage: Stage) -> Phases:
    """Stop the controller as an update would, and start the next one."""
    controller = begin(stage)
    assert controller.stop() == 0, controller.words()
    assert holder(stage.admin) == "", "the lease was not given back"
    stage.start()
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
    serve(stage)
    stage.admin.merge(LEASE, {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 6}})
    stage.edit("gate", rateIps=20)
    stage.wait(lambda: holder(stage.admin) != "thief", "the thief's lease ends")
    return {}


def lease_deleted(stage: Stage) -> Phases:
    """Delete the lease."""
    serve(stage)
    stage.admin.delete(LEASE)
    stage.edit("gate", rateIps=20)
    stage.wait(lambda: bool(holder(stage.admin)), "there is a lease again")
    return {}


def status_wiped(stage: Stage) -> Phases:
    """Wipe the status of every application, with the controller killed in the same moment."""
    serve(stage)
    stage.kill_controllers()
    for name in DECLARED:
        stage.admin.merge(f"{SPACE}/{name}/status", {"status": None})
    free_lease(stage.admin)
    stage.start()
    return {}
