"""A short fault campaign: every fault in the model, and the worst of them with real sessions."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from benchmarks.fault_restarts import Result, killed
from benchmarks.faults import FAULTS, NO_POLICY, Fault, one

LIVE = [
    fault
    for fault in FAULTS
    if fault.name in ("an instance dies", "an instance hangs", "the engine cache is damaged")
]


#: A limit that a busy computer keeps, too: the live tests are of recovery, not of speed.
KEPT_MS = 60_000.0


def assert_good(result: Result) -> None:
    assert result.recovered_in <= 2, result
    assert result.silent == 0, result


@pytest.mark.parametrize("fault", [*FAULTS, NO_POLICY], ids=lambda fault: fault.name)
def test_a_simulated_board_serves_again_within_two_periods(fault: Fault, tmp_path: Path) -> None:
    result = one("simulated", fault, tmp_path, 1.0)
    assert_good(result)
    assert result.broken <= 1, result


@pytest.mark.parametrize("fault", LIVE, ids=lambda fault: fault.name)
def test_real_sessions_serve_again_and_no_request_is_lost_silently(
    fault: Fault, tmp_path: Path
) -> None:
    assert_good(one("onnxruntime", fault, tmp_path, 1.0, KEPT_MS))


def test_a_killed_command_starts_again_with_what_was_good(tmp_path: Path) -> None:
    assert_good(killed("onnxruntime", signal.SIGKILL, tmp_path, 0.5, KEPT_MS))
