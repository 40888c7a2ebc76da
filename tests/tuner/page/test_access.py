"""Who may see the page and change limits: by name, by origin, by token, by number."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from tests.tuner.page.serving import TOKEN, ask, post, served
from tests.tuner.watching.journals import period, write
from tuner.page import app, connections
from tuner.page.access import Access, Allowance

LIMIT = "limit=p99_ms-0&value=30"


@pytest.fixture
def limits(tmp_path: Path) -> Path:
    return tmp_path / "limits.json"


@pytest.fixture
def port(tmp_path: Path, limits: Path) -> Iterator[int]:
    with served(write(tmp_path / "run.jsonl", period(1)), limits) as (found, _):
        while "HOLDING" not in ask(found).text:
            time.sleep(0.05)
        yield found


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
def test_a_name_that_is_not_the_pages_is_answered_with_nothing(port: int, host: str) -> None:
    for path in ("/", "/events", "/page.js"):
        answer = ask(port, path, headers={"Host": host})
        assert answer.status == 421
        assert "net0" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:9106", "LOCALHOST:9106"])
def test_names_of_this_computer_are_answered(port: int, host: str) -> None:
    assert ask(port, headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_foreign_origin_changes_nothing_even_with_the_token(
    port: int, limits: Path, headers: dict[str, str]
) -> None:
    answer = post(port, "/limits", f"{LIMIT}&token={TOKEN}", **headers)
    assert (answer.status, limits.exists()) == (403, False)
    assert ask(port, "/events", headers=headers).status == 403, "nor can it look"


def test_a_form_without_an_origin_is_refused(port: int, limits: Path) -> None:
    answer = ask(port, "/limits", "POST", f"{LIMIT}&token={TOKEN}")
    assert (answer.status, limits.exists()) == (403, False)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "%00%ff", "é" * 20])
def test_a_wrong_token_is_refused_in_one_sentence(port: int, limits: Path, token: str) -> None:
    answer = post(port, "/limits", f"{LIMIT}&token={token}".encode().decode("latin-1"))
    assert (answer.status, limits.exists()) == (403, False)
    assert answer.text.startswith("this is not the token")


def test_the_token_changes_a_limit(port: int, limits: Path) -> None:
    answer = post(port, "/limits", f"limit=p99_ms-0&value=30&token={TOKEN}")
    assert answer.status == 200
    assert json.loads(limits.read_text()) == {"p99_ms": 30.0}
    assert post(port, "/limits", f"{LIMIT}&token={TOKEN}").status == 400, "one at a time"


@pytest.mark.parametrize(
    "value", ["", "fast", "-3", "nan", "inf", "1e999", "1_0", "5ms", "%3Cscript%3E"]
)
def test_a_limit_that_cannot_be_is_refused(port: int, limits: Path, value: str) -> None:
    answer = post(port, "/limits", f"limit=p99_ms-0&value={value}&token={TOKEN}")
    assert (answer.status, limits.exists()) == (400, False)
    assert len(answer.text.splitlines()) == 1


def test_every_answer_forbids_what_the_page_does_not_need(port: int) -> None:
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/nothing"):
        headers = ask(port, path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", ""])
def test_only_a_form_of_the_pages_kind_is_read(port: int, limits: Path, kind: str) -> None:
    answer = post(port, "/limits", f"{LIMIT}&token={TOKEN}", **{"Content-Type": kind})
    assert (answer.status, limits.exists()) == (415, False)
    assert "application/x-www-form-urlencoded" in answer.text


def test_who_asks_for_the_head_of_the_events_is_no_viewer(port: int) -> None:
    answer = ask(port, "/events", "HEAD")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == ""


@pytest.mark.parametrize("path", ["/", "/nothing", "/page.js"])
def test_a_body_that_nobody_reads_ends_the_connection(port: int, path: str) -> None:
    answer = post(port, path, "a=b")
    assert answer.status in (404, 405)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_do_nothing(port: int, method: str) -> None:
    own = {"Origin": f"http://127.0.0.1:{port}"}
    assert ask(port, "/limits", method, headers=own).status in (403, 405)


def test_a_large_or_unfinished_body_is_refused(
    port: int, limits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BODY_S", 60.0)
    assert post(port, "/limits", f"token={TOKEN}&value={'9' * 10_000}").status == 413
    with monkeypatch.context() as briefly:
        briefly.setattr(app, "BODY_S", 0.2)
        assert post(port, "/limits", "token=a", **{"Content-Length": "4000"}).status == 413
    assert post(port, "/limits", "&".join(["a=b"] * 500)).status == 403
    assert not limits.exists()


def test_a_flood_is_refused_and_the_page_is_there_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "RATE", 1.0)  # a slow computer floods slowly
    with served(write(tmp_path / "run.jsonl", period(1))) as (port, _):
        answers = [ask(port, "/icon.svg").status for _ in range(400)]
        assert set(answers) == {200, 429}
        while (answer := ask(port)).status == 429:
            assert answer.headers["retry-after"] == "1"
            time.sleep(0.2)
        assert "HOLDING" in answer.text


def test_an_allowance_fills_again() -> None:
    now_s = [0.0]
    allowance = Allowance(2.0, 3.0, lambda: now_s[0])
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    now_s[0] = 0.5
    assert [allowance.take() for _ in range(2)] == [True, False]
    now_s[0] = 100.0
    assert sum(allowance.take() for _ in range(9)) == 3


def test_connections_that_say_nothing_or_too_little_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    with served(write(tmp_path / "run.jsonl", period(1))) as (port, _):
        for said in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
                caller.sendall(said)
                with pytest.raises((ConnectionResetError, AssertionError)):
                    assert caller.recv(100) != b""


def test_the_number_of_viewers_and_of_connections_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MOST_VIEWERS", 2)
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 4)
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(write(tmp_path / "run.jsonl", period(1))) as (port, _):
        open_ones = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(4)]
        statuses = []
        for caller in open_ones[:3]:
            caller.sendall(request)
            statuses.append(caller.recv(12)[-3:])
        assert statuses == [b"200", b"200", b"503"]
        open_ones[2].close()  # the server has closed it, too
        open_ones[2] = socket.create_connection(("127.0.0.1", port), timeout=60)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as beyond,
            pytest.raises((ConnectionResetError, AssertionError)),
        ):
            assert beyond.recv(100) != b""
        for caller in open_ones:
            caller.close()


def test_where_others_reach_the_page_nothing_is_shown_without_the_token(tmp_path: Path) -> None:
    journal = write(tmp_path / "run.jsonl", period(1))
    with served(journal, tmp_path / "limits", "0.0.0.0") as (port, _):
        assert "net0" not in ask(port).text
        assert (ask(port).status, ask(port, "/events").status) == (401, 401)
        assert ask(port, headers={"Host": "evil.example"}).status == 421
        assert post(port, "/enter", "token=wrong").status == 403
        entered = post(port, "/enter", f"token={TOKEN}")
        cookie = entered.headers["set-cookie"]
        assert entered.status == 303
        assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
        own = {"Cookie": cookie.split(";")[0]}
        assert ask(port, headers=own).status == 200
        assert ask(port, headers={"Cookie": "orin_tuner_page=guess"}).status == 401
        assert post(port, "/limits", f"{LIMIT}&token=no", **own).status == 403, "it is asked again"


@pytest.mark.parametrize(
    ("address", "host", "known"),
    [
        ("192.168.1.20", "192.168.1.20:9106", True),
        ("192.168.1.20", "192.168.1.21:9106", False),
        ("192.168.1.20", "localhost", False),
        ("192.168.1.20", "rebound.example", False),
        ("192.168.1.20", f"{socket.gethostname()}:9106", True),
        ("0.0.0.0", "10.0.0.7:9106", True),
        ("0.0.0.0", "rebound.example", False),
        ("::1", "[::1]:9106", True),
        ("127.0.0.1", "10.0.0.7", False),
        ("127.0.0.1", "[::1", False),
    ],
)
def test_the_names_of_a_page(address: str, host: str, known: bool) -> None:
    assert Access(address, TOKEN).knows_host(host) is known
