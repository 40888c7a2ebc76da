from pathlib import Path

import numpy as np
import pytest

from benchmarks.cluster_log import (
    REQUESTS,
    batches_of,
    fitted,
    is_judged,
    policy_figures,
    read_log,
    replay_figures,
    replayed,
)

HEADER = "run,arrival_s,device,images,queue_exit_s,completion_s,latency_limit_s\n"

#: A batch takes 100 ms and 10 ms for each image; the second request has parts in two batches.
ROWS = (
    "r,0.0,Nano 0,2,1.0,1.12,5\n"
    "r,0.5,Nano 0,4,2.0,2.26,5\n"
    "r,0.6,Nano 0,1,2.0,4.20,5\n"
    "r,0.6,Nano 0,10,4.0,4.20,5\n"
    "r,0.7,Nano 0,1,5.0,5.11,5\n"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "log.csv"
    file.write_text(HEADER + ROWS.replace("2.26", "2.15"))
    return file


def test_parts_of_a_request_are_put_together(path: Path) -> None:
    log = read_log(path)
    assert log.request.tolist() == [0, 1, 2, 2, 3]
    found = batches_of(log, "r Nano 0")
    assert found.images.tolist() == [2, 5, 10, 1]
    # The third batch holds only a part of a request, which says nothing of the batch.
    assert found.took_s[[0, 1, 3]] == pytest.approx([0.12, 0.15, 0.11])
    assert np.isnan(found.took_s[2])


def test_seconds_are_found_and_requests_end_with_their_last_batch(path: Path) -> None:
    log = read_log(path)
    seconds = fitted(log, whole=True)
    assert seconds["Nano"] == pytest.approx([0.1, 0.01])
    assert replayed(log, seconds) == pytest.approx(log.completion_s)


def test_the_published_log_is_replayed_where_nothing_was_fitted() -> None:
    log = read_log(REQUESTS)
    assert 0.4 < is_judged(log.arrival_s).mean() < 0.6
    figures = {each.name: each for each in [*replay_figures(log, None), *policy_figures()]}
    assert all(each.holds is not False for each in figures.values())
    assert len([each for each in figures.values() if each.goal]) == 3
