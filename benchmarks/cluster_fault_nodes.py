"""Let nodes and images go, and come back."""

from __future__ import annotations

import time

from benchmarks.cluster_fault_steps import FEW, Phases, serve
from tests.cluster.kubernetes.deployments import NODES
from tests.cluster.kubernetes.nodes import BOARD, set_ready
from tests.cluster.kubernetes.process import IMAGE, free_lease
from tests.cluster.kubernetes.stage import DECLARED, SPACE, Stage


def node_lost(stage: Stage) -> Phases:
    """Lose a node for good: what it served goes elsewhere."""
    serve(stage)
    lost = min(stage.nodes_of("door"))
    set_ready(stage.admin, lost, False)
    stage.wait(lambda: lost not in stage.nodes_of("door"), f"door leaves {lost}")
    return {}


def node_returns(stage: Stage) -> Phases:
    """Lose a node, and let it return when all has moved away."""
    serve(stage)
    lost = min(stage.nodes_of("door"))
    set_ready(stage.admin, lost, False)
    stage.settle()
    set_ready(stage.admin, lost, True)
    return {}


def node_returns_while_moving(stage: Stage) -> Phases:
    """Let a lost node return as soon as the first of its servers is made elsewhere."""
    serve(stage)
    before = len(stage.proxy.changes)
    lost = min(stage.nodes_of("door"))
    set_ready(stage.admin, lost, False)
    stage.wait(lambda: len(stage.proxy.changes) > before, "something moves")
    set_ready(stage.admin, lost, True)
    return {}


def node_deleted(stage: Stage) -> Phases:
    """Delete a node."""
    serve(stage)
    lost = min(stage.nodes_of("gate"))
    stage.admin.delete(f"{NODES}/{lost}")
    stage.wait(lambda: lost not in stage.nodes_of("gate"), f"gate leaves {lost}")
    return {}


def two_nodes_lost(stage: Stage) -> Phases:
    """Lose two nodes at once, with the controller killed in the same moment."""
    serve(stage)
    for each in sorted(stage.nodes_of("door")):
        set_ready(stage.admin, each, False)
    stage.kill_controllers()
    free_lease(stage.admin)
    stage.start()
    return {}


def node_cordoned(stage: Stage) -> Phases:
    """Cordon a node: what serves there stays, and an application that comes goes elsewhere."""
    serve(stage, FEW)
    node = min(stage.nodes_of("gate"))
    stage.admin.merge(f"{NODES}/{node}", {"spec": {"unschedulable": True}})
    stage.declare({"lane": DECLARED["lane"]})
    stage.settle()
    assert node in stage.nodes_of("gate"), "gate left a node that was cordoned"
    assert node not in stage.nodes_of("lane"), "lane came to a node that was cordoned"
    return {}


def label_changed(stage: Stage) -> Phases:
    """Say that a node is a smaller board than it was said to be."""
    serve(stage)
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


def node_flaps(stage: Stage) -> Phases:
    """Lose a node and get it back, again and again."""
    serve(stage)
    node = min(stage.nodes_of("door"))
    for _ in range(6):
        for ready in (False, True):
            set_ready(stage.admin, node, ready)
            time.sleep(0.3)
    return {}


def label_taken_away(stage: Stage) -> Phases:
    """Take the label of a board away: its applications leave it."""
    serve(stage)
    node = min(stage.nodes_of("gate"))
    stage.admin.merge(f"{NODES}/{node}", {"metadata": {"labels": {BOARD: None}}})
    stage.wait(lambda: node not in stage.nodes_of("gate"), f"gate leaves {node}")
    return {}
