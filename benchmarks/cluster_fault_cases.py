"""List the faults of a cluster, and play them.

A fault begins on boards without applications, and ends where everything must be as declared. It
returns the phases that applications must be in, where they do not serve.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import cluster_fault_controllers as controllers
from benchmarks import cluster_fault_edits as edits
from benchmarks import cluster_fault_hands as hands
from benchmarks import cluster_fault_nodes as nodes
from benchmarks import cluster_fault_servers as servers
from benchmarks.cluster_fault_steps import Phases
from tests.cluster.kubernetes.stage import Stage

Case = Callable[[Stage], Phases]

CASES: tuple[Case, ...] = (
    controllers.killed_at_every_change,
    controllers.killed_at_every_change_of_a_move,
    controllers.killed_at_every_change_of_an_edit,
    controllers.stopped_while_placing,
    controllers.two_controllers,
    controllers.frozen_leader,
    controllers.lease_stolen,
    controllers.lease_deleted,
    controllers.status_wiped,
    servers.server_restarted,
    servers.server_killed,
    servers.server_away,
    servers.server_refuses,
    servers.answers_lost,
    servers.connections_cut,
    nodes.node_lost,
    nodes.node_returns,
    nodes.node_returns_while_moving,
    nodes.node_deleted,
    nodes.two_nodes_lost,
    nodes.node_cordoned,
    nodes.node_flaps,
    nodes.label_changed,
    nodes.label_taken_away,
    nodes.image_missing,
    edits.image_missing_after_an_edit,
    edits.rate_edited,
    edits.limit_edited,
    edits.replicas_edited,
    edits.network_edited,
    edits.edited_while_placing,
    edits.edited_many_times,
    edits.deleted_while_placing,
    edits.deleted_and_declared_again,
    edits.made_room,
    hands.server_deleted_by_hand,
    hands.server_edited_by_hand,
    hands.server_scaled_by_hand,
    hands.service_deleted_by_hand,
    hands.service_edited_by_hand,
    hands.labels_taken_away,
    hands.notes_taken_away,
    hands.server_copied_by_hand,
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
