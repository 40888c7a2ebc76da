"""A few of the faults of `python -m benchmarks.cluster_faults`, which plays many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import cluster_fault_cases as faults
from tests.cluster.kubernetes.build import Binaries
from tests.cluster.kubernetes.stage import Stage


@pytest.fixture(scope="module")
def stage(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(binaries, tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "case",
    [
        faults.killed_at_every_change_of_a_move,
        faults.server_killed,
        faults.answers_lost,
        faults.node_returns,
        faults.server_edited_by_hand,
        faults.two_controllers,
    ],
)
def test_a_fault_ends_in_the_declared_state(stage: Stage, case: faults.Case) -> None:
    faults.play(stage, case)
