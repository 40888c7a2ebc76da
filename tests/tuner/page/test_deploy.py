"""The page beside a real service: simulated windows, a real loop, journal, limits and process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from envs.errors import StorageError
from tests.commands import call
from tests.tuner.page.serving import ask, post
from tests.tuner.page.showing import shows
from tuner.page.beside import limits_file

PERIOD_S = 1.5


class Deployed:
    """A service with a page."""

    def __init__(self, folder: Path, network: Path, *more: str) -> None:
        self.journal = folder / "run.jsonl"
        given = (
            *("--network", str(network), "--runtime", "simulated", "--p99-ms", "30"),
            *("--folder", str(folder / "kept"), "--lock", str(folder / "lock"), "--page", "0"),
            *("--journal", str(self.journal), "--period-s", str(PERIOD_S), *more),
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tuner.deploy", *given], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said = next(each for each in self.process.stderr if "the page is at" in each)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/; token to change limits: (\S+)", self.said)
        assert found is not None, self.said
        self.port, self.token = int(found[1]), found[2]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.journal.read_text().splitlines()]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait()


@pytest.fixture
def deployed(
    small_onnx: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployed]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    found = Deployed(tmp_path, small_onnx)
    yield found
    assert found.end() == 0


def test_a_change_is_shown_within_two_periods_and_the_form_changes_a_limit(
    browser: Any, deployed: Deployed
) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{deployed.port}/")

    def shows_in_two_periods(selector: str, words: str, period: int) -> None:
        """The service stands still after two periods more, however slow the browser is."""
        while deployed.lines()[-1]["period"] < period + 2:
            page.wait_for_timeout(100)
        deployed.process.send_signal(signal.SIGSTOP)
        try:
            shows(page, selector, words)
        finally:
            deployed.process.send_signal(signal.SIGCONT)

    shows(page, "#state", "period")
    first = deployed.lines()[0]["configuration"].removeprefix("small: ")
    changed: dict[str, Any] = {}
    while not changed:
        page.wait_for_timeout(100)
        lines = deployed.lines()
        changed = next((e for e in lines if first not in e["configuration"]), {})
    place = changed["configuration"].removeprefix("small: ")
    shows_in_two_periods("#measured", place, changed["period"])
    assert len(page.inner_text("#why")) > 60

    page.fill("#value", "0.5")
    page.fill("#token", "not the token")
    page.click("#limit-form button")
    shows(page, "#reply", "this is not the token")
    page.fill("#token", deployed.token)
    page.click("#limit-form button")
    shows(page, "#answer", "p99 0.5 ms: ")
    taken: list[dict[str, Any]] = []
    while not taken:
        page.wait_for_timeout(100)
        taken = [each for each in deployed.lines() if each["limits"]["p99_ms"] == [0.5]]
    shows_in_two_periods("#limits", "0.5 ms", taken[0]["period"])
    shows(page, "#answer", "the service has taken it")
    shows(page, "#events", "limits changed")
    assert all(each["why"] for each in deployed.lines())
    assert all(each.startswith(f"http://127.0.0.1:{deployed.port}/") for each in asked)
    page.close()


def test_what_the_service_says_of_a_limit_is_told_and_foreign_sites_change_nothing(
    deployed: Deployed,
) -> None:
    while "limits of now" not in ask(deployed.port).text:
        time.sleep(0.1)
    form = f"limit=min_agreement&value=1&token={deployed.token}"
    assert post(deployed.port, "/limits", form).status == 200
    while "the service has taken it" not in (text := ask(deployed.port).text):
        time.sleep(0.1)
    assert "least agreement 1: the service has taken it" in text
    evil = {"Origin": "http://evil.example"}
    assert post(deployed.port, "/limits", form, **evil).status == 403
    assert ask(deployed.port, headers={"Host": "evil.example"}).status == 421


def test_the_page_ends_with_the_service_and_the_service_goes_on_without_the_page(
    small_onnx: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    service = Deployed(tmp_path, small_onnx, "--limits", str(tmp_path / "mine.json"))
    own = _children(service.process.pid)
    while not service.journal.exists() or not service.lines():
        time.sleep(0.1)
    os.kill(own[0], signal.SIGKILL)
    count = len(service.lines())
    while len(service.lines()) < count + 2:
        time.sleep(0.1)
    assert service.end() == 0
    again = Deployed(tmp_path, small_onnx)
    own = _children(again.process.pid)
    assert again.end() == 0
    assert not any(Path(f"/proc/{each}").exists() for each in own)


def test_a_flood_is_refused_and_the_service_does_not_notice(deployed: Deployed) -> None:
    while "limits of now" not in ask(deployed.port).text:
        time.sleep(0.1)
    began = len(deployed.lines())
    statuses: list[int] = []

    def flood() -> None:
        while len(deployed.lines()) < began + 3 or 429 not in statuses:
            with contextlib.suppress(OSError):  # a connection too many is closed
                statuses.append(ask(deployed.port, "/").status)

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert set(statuses) <= {200, 429, 503}
    assert 429 in statuses
    during = deployed.lines()[began:]
    assert all(each["kept"] for each in during)
    while ask(deployed.port).status == 429:
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--page", "70000"), "--page 70000 must lie in 0..65535"),
        (("--page-address", "0.0.0.0"), "belong to a page: add --page"),
        (("--page", "0", "--page-address", "0.0.0.0"), "add --page-token-file"),
        (("--page", "0", "--page-address", "evil.example"), "is no address"),
        (("--page", "0", "--page-token-file", "/nowhere"), "cannot be read"),
    ],
)
def test_wrong_options_end_in_a_sentence(
    small_onnx: Path, tmp_path: Path, given: tuple[str, ...], sentence: str
) -> None:
    places = ("--folder", tmp_path / "kept", "--lock", tmp_path / "lock")
    served = ("--network", small_onnx, "--runtime", "simulated", "--p99-ms", "30")
    for command in (("deploy", *served, *places), ("watch", "--journal", tmp_path / "run.jsonl")):
        result = call(command[0], *command[1:], *given)
        assert result.returncode == 2
        assert sentence in result.stderr


def test_the_file_of_a_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for content, mode, sentence in (
        ("short", 0o600, "needs one token of 16"),
        ("two words of a long token", 0o600, "needs one token"),
        ("a-token-of-sixteen-characters", 0o644, "can be read by others"),
    ):
        path.write_text(content)
        path.chmod(mode)
        given = ("--page", "0", "--page-token-file", path)
        result = call("watch", "--journal", tmp_path / "run.jsonl", *given)
        assert result.returncode == 2
        assert sentence in result.stderr


def test_a_port_that_is_taken_ends_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = call("watch", "--journal", tmp_path / "run.jsonl", "--page", port)
    assert result.returncode == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in result.stderr


def test_without_a_place_for_the_pages_limits_the_service_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match="give --limits FILE"), limits_file(None):
        pass
    with limits_file(tmp_path / "mine.json") as path:
        assert path == tmp_path / "mine.json"


def _children(process: int) -> list[int]:
    """Wait until a process has started another one, and return its number."""
    while not (text := Path(f"/proc/{process}/task/{process}/children").read_text()):
        time.sleep(0.05)
    return [int(each) for each in text.split()]
