"""Recordings of many boards: one a board, made once, and one policy from all of them."""

from pathlib import Path

import numpy as np
import pytest

from cluster.fleet.options import FleetOptions
from cluster.fleet.recordings import Board, FleetRecordings, Networks, record_boards
from envs.errors import OptionError
from envs.traces.reader import read_trace

BOARDS = ["agx_orin_64", "orin_nx_16", "agx_orin_64"]


@pytest.fixture(scope="module")
def network(small_onnx: Path) -> str:
    return str(small_onnx)


def test_boards_of_a_kind_differ_and_are_recorded_once(network: str, tmp_path: Path) -> None:
    fleet = FleetOptions(workers=0, boards=BOARDS, recorded=5)
    boards = [Board(kind, number) for number, kind in enumerate(BOARDS)]
    files = record_boards(boards, Networks.of([network]), fleet, tmp_path, seed=1)
    traces = [read_trace(each) for each in files]
    assert [each.metadata["origin"] for each in traces] == ["simulated"] * 3
    rates = [each.batch.logs[0].max() for each in traces]
    assert len({float(each) for each in rates}) == 3
    files[1].unlink()
    kept = files[0].read_bytes()
    again = record_boards(boards, Networks.of([network]), fleet, tmp_path, seed=1)
    assert again == files
    assert files[0].read_bytes() == kept
    np.testing.assert_array_equal(read_trace(files[1]).batch.logs, traces[1].batch.logs)


def test_a_fleet_trains_in_twins_of_all_its_boards(network: str, tmp_path: Path) -> None:
    fleet = FleetOptions(workers=0, boards=BOARDS[:2], recorded=5)
    source = FleetRecordings(fleet, [network], tmp_path, problems=3, seed=0, jobs=1)
    world = source.world(tmp_path)
    assert len(world.problems) == 3
    assert "2 boards, recorded (simulated)" in source.sentence
    same = FleetRecordings(fleet, [network], tmp_path, problems=3, seed=0, jobs=1)
    assert same.identity == source.identity
    np.testing.assert_array_equal(same.world(tmp_path).problems.outcomes, world.problems.outcomes)


@pytest.mark.parametrize(
    ("networks", "problems", "sentence"),
    [
        ([], 4, r"fleet\.boards needs network="),
        (["missing.onnx"], 4, r"missing\.onnx cannot be read: No such file"),
        (["missing.onnx"], 1, "problems=1 must be at least one a board"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_recorded(
    networks: list[str], problems: int, sentence: str, tmp_path: Path
) -> None:
    fleet = FleetOptions(workers=0, boards=BOARDS[:2])
    with pytest.raises(OptionError, match=sentence):
        FleetRecordings(fleet, networks, tmp_path, problems, seed=0, jobs=1)
    assert not list(tmp_path.iterdir())
