"""A few of the faults of `python -m benchmarks.cluster_faults`, which plays many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import cluster_fault_cases as faults
from benchmarks import cluster_fault_controllers as controllers
from benchmarks import cluster_fault_hands as hands
from benchmarks import cluster_fault_nodes as nodes
from benchmarks import cluster_fault_servers as servers
from tests.cluster.kubernetes.programs import Binaries
from tests.cluster.kubernetes.stage import Stage


@pytest.fixture(scope="module")
def stage(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(binaries, tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "case",
    [
        controllers.killed_at_every_change_of_a_move,
        servers.server_killed,
        servers.answers_lost,
        nodes.node_returns,
        hands.server_edited_by_hand,
        hands.service_edited_by_hand,
        hands.notes_taken_away,
        controllers.two_controllers,
    ],
)
def test_a_fault_ends_in_the_declared_state(stage: Stage, case: faults.Case) -> None:
    faults.play(stage, case)
