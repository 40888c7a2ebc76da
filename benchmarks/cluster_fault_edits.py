"""Change, delete and declare applications at bad moments."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.cluster_fault_steps import Phases, begin, serve
from tests.cluster.kubernetes.judge import phases
from tests.cluster.kubernetes.process import IMAGE
from tests.cluster.kubernetes.stage import DECLARED, Stage


def image_missing_after_an_edit(stage: Stage) -> Phases:
    """Edit an application while no registry has the image: its old pod serves on."""
    serve(stage)
    stage.parts.workloads.missing_images.add(IMAGE)
    stage.edit("gate", rateIps=20)
    stage.settle({"gate": "Failed"})
    [server] = stage.servers("gate")
    assert server["status"]["availableReplicas"] == 1, "the old pod went before the new one came"
    stage.parts.workloads.missing_images.clear()
    return {}


def rate_edited(stage: Stage) -> Phases:
    """Ask for a higher rate, and for a lower one."""
    serve(stage)
    stage.edit("gate", rateIps=90)
    stage.edit("door", rateIps=10)
    return {}


def limit_edited(stage: Stage) -> Phases:
    """Ask for a limit that no board keeps, and take it back."""
    serve(stage)
    stage.edit("gate", p99Ms=0.5)
    stage.settle({"gate": "Unplaceable"})
    stage.edit("gate", p99Ms=100)
    return {}


def replicas_edited(stage: Stage) -> Phases:
    """Ask for more replicas, for more than there are boards, and for one."""
    serve(stage)
    stage.edit("gate", replicas=3)
    stage.settle()
    stage.edit("gate", replicas=9)
    stage.settle({"gate": "Unplaceable"})
    stage.edit("gate", replicas=1)
    return {}


def network_edited(stage: Stage) -> Phases:
    """Ask for another network, then for one that nobody knows, then for the first."""
    serve(stage)
    stage.edit("lane", network="resnet50")
    stage.settle()
    stage.edit("lane", network="nonesuch")
    stage.settle({"lane": "Unplaceable"})
    stage.edit("lane", network="googlenet")
    return {}


def edited_while_placing(stage: Stage) -> Phases:
    """Edit three applications as soon as the first change was made."""
    begin(stage)
    stage.edit("gate", replicas=2)
    stage.edit("door", rateIps=20, p99Ms=80)
    stage.edit("yard", network="squeezenet1_1")
    return {}


def edited_many_times(stage: Stage) -> Phases:
    """Edit an application twenty times, faster than it can be placed."""
    begin(stage)
    for number in range(20):
        stage.edit("gate", rateIps=20 + number, replicas=1 + number % 3)
        time.sleep(0.1)
    return {}


def deleted_while_placing(stage: Stage) -> Phases:
    """Delete an application as soon as the first change was made."""
    begin(stage)
    stage.withdraw("gate")
    stage.settle()
    assert not stage.servers("gate"), "gate is gone, and its servers are there"
    return {}


def deleted_and_declared_again(stage: Stage) -> Phases:
    """Delete an application, and declare another one of its name at once."""
    serve(stage)
    stage.withdraw("gate")
    stage.declare({"gate": DECLARED["gate"] | {"rateIps": 15, "replicas": 2}})
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
