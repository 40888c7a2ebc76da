"""The user's own program in its thread: what it said last, and what cannot be a client."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from envs.errors import OptionError
from envs.runtimes.serving.inputs import InputCheck
from tests.worlds import space
from tuner.control.client import ClientThread, client_at

WORKLOAD = space().workload

PROGRAM = """
import json


def raises(submit):
    open_camera()


def open_camera():
    raise ValueError("camera 0\\ncannot be opened")


def library(submit):
    json.loads("{")


def submits(submit):
    submit("digits")


def returns(submit):
    return None


def exits(submit):
    raise SystemExit(3)


def silent(submit):
    raise KeyError


def goes_on(submit):
    while True:
        submit("digits")


async def later(submit):
    return None


number = 3
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "program_of_a_user.py"
    path.write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "program_of_a_user", raising=False)
    return path


@pytest.mark.parametrize(
    ("function", "said", "line"),
    [
        ("raises", "ended: ValueError: camera 0 cannot be opened", 10),
        ("library", "ended: JSONDecodeError: Expecting property name enclosed in double", 14),
        ("submits", "ended: RuntimeFault: submit: no tenant is called 'digits'; there are", 18),
        ("returns", "ended: it returned", None),
        ("exits", "ended: SystemExit: 3", 26),
        ("silent", "ended: KeyError", 30),
    ],
)
def test_its_last_words_name_the_error_and_the_line_of_the_users_code(
    function: str, said: str, line: int | None, program: Path
) -> None:
    name = f"program_of_a_user:{function}"
    client = ClientThread(client_at(name), name)
    assert not client.ended
    client.start(InputCheck(WORKLOAD.tenants, WORKLOAD.names).position)
    deadline_s = time.monotonic() + 60
    while not client.ended and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert client.ended
    words = client.last_words()
    assert words.startswith(f"{name} {said}")
    assert words.endswith(f" ({program}:{line})") == (line is not None)
    assert "\n" not in words


def test_one_that_serves_has_not_ended(program: Path) -> None:
    asked = []

    def submit(*given: object) -> None:
        asked.append(given)
        if len(asked) > 5:
            time.sleep(60)  # a daemon: it does not keep the tests alive

    client = ClientThread(client_at("program_of_a_user:goes_on"), "goes_on")
    client.start(submit)
    deadline_s = time.monotonic() + 60
    while len(asked) <= 5 and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert not client.ended


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("program_of_a_user:main", "has no attribute 'main'"),
        ("program_of_a_user", "cannot be found"),
        ("no_program:main", "No module named 'no_program'"),
        ("program_of_a_user:later", "must be a plain function .* not a coroutine"),
        ("program_of_a_user:number", "must be a plain function .* not int"),
    ],
)
def test_what_cannot_be_a_client_is_one_sentence(name: str, sentence: str, program: Path) -> None:
    with pytest.raises(OptionError, match=sentence):
        client_at(name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import sys\nsys.exit(3)\n", "cannot be imported (SystemExit: 3, "),
        ("\n1 / 0\n", "program_of_a_user.py:2): correct the module"),
        ("def main(:\n", "cannot be imported (SyntaxError: "),
    ],
)
def test_a_module_that_raises_is_one_sentence(text: str, sentence: str, program: Path) -> None:
    program.write_text(text)
    with pytest.raises(OptionError) as raised:
        client_at("program_of_a_user:main")
    assert sentence in str(raised.value)
