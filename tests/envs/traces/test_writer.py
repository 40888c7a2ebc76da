from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from envs.errors import StorageError, TraceError
from envs.spec import Configuration, Hardware
from envs.traces.reader import read_trace
from envs.traces.writer import TraceWriter, write_parquet
from tests.worlds import respond, space

WORLD = space()
CONFIGURATIONS = [Configuration.of(row) for row in WORLD.catalogue]
FACTS = {"plan": {"kind": "grid"}}


def write_some(path: Path, count: int) -> None:
    with TraceWriter(path, WORLD, FACTS) as writer:
        for configuration in CONFIGURATIONS[:count]:
            if configuration not in writer:
                writer.append(configuration, respond(WORLD, configuration), 1, 1.0)


#: A recorder that continues an earlier recording, up to a number of rows; the test kills it.
RECORDER = """
import sys, time
from pathlib import Path
from envs.traces.writer import TraceWriter
from tests.envs.traces.test_writer import CONFIGURATIONS, FACTS, WORLD
from tests.worlds import respond
with TraceWriter(Path(sys.argv[1]), WORLD, FACTS) as writer:
    print("ready", flush=True)
    for configuration in CONFIGURATIONS:
        if configuration not in writer:
            if len(writer.rows) >= int(sys.argv[2]):
                time.sleep(600)
            writer.append(configuration, respond(WORLD, configuration), 1, 1.0)
            print(len(writer.rows), flush=True)
    writer.publish(complete=True)
"""


def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "killed.parquet"
    recorded, kills = 0, 0
    for attempt in range(12):
        # The first ones cannot come to their end before a slow computer kills them.
        most = len(CONFIGURATIONS) * (attempt + 1) // 4 if attempt < 3 else 10**9
        command = [sys.executable, "-c", RECORDER, str(path), str(most)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.002 * attempt)
            process.send_signal(signal.SIGKILL)
            acknowledged = max([recorded, *map(int, process.stdout)])
        kills += process.returncode == -signal.SIGKILL
        if path.exists():
            break
        with TraceWriter(path, WORLD, FACTS) as writer:
            assert len(writer.rows) >= acknowledged, "every acknowledged row is there"
            recorded = len(writer.rows)
    assert kills >= 3, "the test has to have killed something"
    if not path.exists():
        write_some(path, len(CONFIGURATIONS))
        with TraceWriter(path, WORLD, FACTS) as writer:
            writer.publish(complete=True)
    trace = read_trace(path)
    assert [Configuration.of(row) for row in trace.placements] == CONFIGURATIONS, (
        "each row once, none missing"
    )
    assert trace.batch.throughput_ips[:, 0].tolist() == [
        respond(WORLD, each).throughput_ips[0] for each in CONFIGURATIONS
    ]


@pytest.mark.parametrize("cut", [1, 17, 300])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "torn.parquet"
    write_some(path, 4)
    journal = tmp_path / "torn.parquet.journal"
    journal.write_bytes(journal.read_bytes()[:-cut])
    write_some(path, 4)
    with TraceWriter(path, WORLD, FACTS) as writer:
        assert len(writer.rows) == 4


def test_a_row_is_added_once(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.parquet", WORLD, FACTS) as writer:
        writer.append(CONFIGURATIONS[0], respond(WORLD, CONFIGURATIONS[0]), 1, 1.0)
        with pytest.raises(TraceError, match="already"):
            writer.append(CONFIGURATIONS[0], respond(WORLD, CONFIGURATIONS[0]), 1, 1.0)


def test_a_full_disk_keeps_what_was_completed(tmp_path: Path) -> None:
    """From one row to the next the journal becomes /dev/full."""
    path = tmp_path / "full.parquet"
    with TraceWriter(path, WORLD, FACTS) as writer:
        writer.append(CONFIGURATIONS[0], respond(WORLD, CONFIGURATIONS[0]), 1, 1.0)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, writer._file)
        os.close(full)
        with pytest.raises(
            StorageError, match=r"No space left on device.*run the same command again"
        ):
            writer.append(CONFIGURATIONS[1], respond(WORLD, CONFIGURATIONS[1]), 1, 1.0)
        assert len(writer.rows) == 1
    with TraceWriter(path, WORLD, FACTS) as writer:
        assert len(writer.rows) == 1
    with pytest.raises(TraceError, match="options or versions differ"):
        TraceWriter(path, WORLD, FACTS | {"record": {"window_s": 9}})


def test_a_parquet_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    write_some(path, 2)
    with TraceWriter(path, WORLD, FACTS) as writer:
        writer.publish(complete=False)
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_parquet(path, WORLD, {}, [])
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_two_recorders_cannot_share_a_file(tmp_path: Path) -> None:
    with (
        TraceWriter(tmp_path / "t.parquet", WORLD, FACTS),
        pytest.raises(StorageError, match="held by another recording"),
    ):
        TraceWriter(tmp_path / "t.parquet", WORLD, FACTS)


def test_a_journal_of_another_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_some(path, 1)
    with pytest.raises(TraceError, match="belongs to another recording"):
        TraceWriter(path, space(tenants=2), FACTS)
    with pytest.raises(TraceError, match="belongs to another recording"):
        TraceWriter(path, WORLD, {"plan": {"kind": "random"}})


def test_a_recording_goes_on_when_another_part_of_the_memory_is_free(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_some(path, 2)
    hardware = Hardware("Orin", "8.7", 8, True, 30_000.0, 612.0)
    device = replace(WORLD.device, memory_mib=9_000.0, hardware=hardware)
    with TraceWriter(path, replace(WORLD, device=device), FACTS) as writer:
        assert len(writer.rows) == 2
    with pytest.raises(TraceError, match="belongs to another recording"):
        TraceWriter(path, replace(WORLD, device=replace(device, power_mode="15W")), FACTS)


def test_a_complete_trace_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_some(path, 1)
    with TraceWriter(path, WORLD, FACTS) as writer:
        writer.publish(complete=True)
    with pytest.raises(StorageError, match="exists already"):
        TraceWriter(path, WORLD, FACTS)
