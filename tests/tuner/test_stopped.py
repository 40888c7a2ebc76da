"""A command that is stopped while an engine is built: nothing is held against that engine."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.tensorrt.child import environment
from tuner.control.service import Stop
from tuner.stopping import StoppedEarly, stopped_by_sigterm

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def building(command: str, slow: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until it builds an engine for `slow`, which never ends."""
    log = folder / "log"
    faults = {"build": "hang", "build_on": [slow], "log": str(log)}
    with (folder / "said").open("w") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            env=environment(faults=faults) | {"XDG_CACHE_HOME": str(folder / "cache")},
            cwd=ROOT,
            stderr=said,
        )
    try:
        deadline_s = time.monotonic() + 240
        while not log.exists() or slow not in log.read_text():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert list(folder.rglob("*.building"))
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("slow", "period_s"),
    [("gpu", 2), ("dla", 2), ("dla", 0.05)],
    ids=["before it serves", "while it serves", "while nothing serves in time"],
)
def test_sigterm_during_a_build_ends_a_service_with_code_0_and_leaves_no_mark(
    small_onnx: Path, tmp_path: Path, slow: str, period_s: float
) -> None:
    journal = tmp_path / "journal"
    command = f"""
        tuner.deploy --network {small_onnx} --runtime tensorrt --precisions fp16
        --folder {tmp_path / "kept"} --lock {tmp_path / "lock"} --journal {journal}
        --p99-ms 60000 --period-s {period_s}"""
    with building(command, slow, tmp_path) as child:
        deadline_s = time.monotonic() + 240
        while slow == "dla" and not journal.read_text():  # it is written just after builds begin
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert bool(journal.read_text()) == (slow == "dla")
        child.send_signal(signal.SIGTERM)
        assert child.wait(240) == 0
    assert not list(tmp_path.rglob("*.building"))


@pytest.mark.parametrize("name", ["tune --p99-ms 60000", "record --out {}/out.parquet"])
def test_sigterm_during_a_build_ends_tuning_and_recording_without_a_mark(
    small_onnx: Path, tmp_path: Path, name: str
) -> None:
    command = f"""
        tuner.{name.format(tmp_path)} --network {small_onnx} --runtime tensorrt
        --precisions fp16"""
    with building(command, "dla", tmp_path) as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(240) == 130
    said = (tmp_path / "said").read_text()
    assert "interrupted; what was completed is kept" in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.building"))


def test_while_the_service_waits_systemd_hears_of_it_until_a_signal_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        try:
            stop = Stop()
            stop.waiting()
            assert systemd.recv(100) == b"WATCHDOG=1"
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(StoppedEarly):
                stop.waiting()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def test_sigterm_interrupts_only_in_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedEarly), stopped_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
