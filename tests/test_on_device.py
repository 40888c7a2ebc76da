"""The page on a Jetson: its commands run on stand-ins, and the code says what it quotes."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.device_messages import SCENARIOS
from tests.device_scenarios.here import SMALL, Here, says
from tests.standins.tensorrt import stand_ins
from tests.test_docs import FLAGS, ROOT, blocks, commands

PAGE = ROOT / "docs" / "on-device.md"
TEXT = PAGE.read_text(encoding="utf-8")

#: What is added to a command of the page, so that it takes a second here.
QUICK = {
    "tune": (*SMALL, "--measurements", "3", "--window-s", "0.2", "--p99-ms", "60000"),
    "record": (*SMALL, "--window-s", "0.2", "--attempts", "1"),
    "deploy": (*SMALL, "--folder", "kept", "--lock", "lock", "--p99-ms", "60000"),
}


def quoted() -> set[str]:
    """Return the messages of the page: code in double backticks, and the blocks of text."""
    prose = re.sub(r"^ *```.*?^ *```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"(?<!`)``(?!`)(.+?)(?<!`)``(?!`)", prose, flags=re.DOTALL)
    lines = [line for block in blocks(PAGE, "text") for line in block.splitlines()]
    return {" ".join(each.split()) for each in (*spans, *lines)}


@pytest.fixture
def here(small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    (tmp_path / "networks").mkdir()
    for name in ("my.onnx", "networks/mobilenet_v2.onnx"):
        shutil.copy(small_onnx, tmp_path / name)
    pictures = np.random.default_rng(0).standard_normal((24, 3, 48, 48), np.float32)
    np.savez(tmp_path / "inputs.npz", input=pictures)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Here(tmp_path, monkeypatch)


def test_every_message_that_the_page_quotes_is_in_a_scenario() -> None:
    assert quoted() == {message for messages in SCENARIOS.values() for message in messages}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_code_says_what_the_page_quotes(
    scenario: Callable[[Here], None], here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        scenario(here)
    here.said += [record.getMessage() for record in caplog.records]
    for message in SCENARIOS[scenario]:
        assert says(here, message), (message, here.said)


def test_code_that_reads_like_a_message_is_quoted_as_one() -> None:
    """A sentence in single backticks would escape the test above."""
    prose = re.sub(r"^ *```.*?^ *```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"(?<!`)``(?!`).+?(?<!`)``(?!`)", "", prose, flags=re.DOTALL)
    for span in re.findall(r"`([^`]+)`", prose):
        words = [word for word in span.split() if re.fullmatch(r"[a-z]+[:,]?", word)]
        known = re.match(r"(sudo|python|pip|find|grep|head|curl|docker|systemctl|choom)\b", span)
        assert len(words) < 4 or known, span


def test_the_page_begins_with_tuning_and_recording() -> None:
    verbs = [each.split()[2] for each in commands(PAGE) if each.startswith("python -m tuner.")]
    on_the_board = [each for each in verbs if each != "tuner.networks"]
    assert on_the_board[:3] == ["tuner.tune", "tuner.record", "tuner.deploy"]


def shown() -> list[str]:
    return [
        command
        for command in dict.fromkeys(commands(PAGE))
        if re.match(r"python -m tuner\.(tune|record|deploy) ", command)
    ]


def test_the_page_has_the_commands_that_run_below() -> None:
    assert sum("--runtime tensorrt" in command for command in shown()) >= 4
    assert sum("--dry-run" in command for command in shown()) >= 2


@pytest.mark.parametrize("command", shown())
def test_the_commands_of_the_page_run_on_stand_ins(command: str, here: Here) -> None:
    verb, *given = shlex.split(command)[2:]
    verb = verb.removeprefix("tuner.")
    assert verb in FLAGS
    periods = ("--period-s", "0.3", "--periods", "2") if "--periods" in given else ()
    with stand_ins():
        result = here.run(verb, *given, *QUICK[verb], *periods)
    assert result.returncode == 0, here.said
    if "--dry-run" in given:
        assert "first measurement: " in result.stdout
        assert not (here.folder / "kept").exists()
    for file in re.findall(r"--(?:out|journal) (\S+)", command):
        assert (here.folder / file).stat().st_size > 0
