"""Tables and bars stay readable in a terminal of 80 columns."""

from __future__ import annotations

import re

import pytest

from tuner.console import progress_bar, table

HEAD = ["#", "network", "configuration (instances x batch)", "throughput [inferences/s]", "limits"]
ROWS = [
    ["1", "a_network_with_a_long_name", "tensor 1x8 + dla0 3x8 + dla1 2x8", "12088.9", "kept"],
    ["2", "a_network_with_a_long_name", "tensor 1x1", "-", "failed"],
]


@pytest.mark.parametrize("columns", [70, 80, 100, 200])
def test_a_table_folds_long_cells_alone(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    table(HEAD, ROWS)
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns
    for word in ("12088.9", "kept", "failed", "throughput", "[inferences/s]"):
        assert sum(word in line for line in lines) == 1, word
    number, dash = (next(line for line in lines if word in line) for word in ("12088.9", " failed"))
    assert number.index("12088.9") + len("12088.9") == dash.index("-  ") + 1, "to the right"


def test_a_bar_cuts_its_text_and_not_its_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with progress_bar("recording", 80) as advance:
        advance("[bold] " + "a long text " * 10, 80)
    line = capsys.readouterr().out.strip()
    assert "80/80 0:00:00 left 0:00:00 [bold] a long text" in line
    assert len(line) <= 80
    assert "\n" not in line
