"""A page that is really served, in this process, over a journal as a service writes it."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

from tuner.page.access import Access
from tuner.page.options import LOOPBACK, PageOptions
from tuner.page.server import serve
from tuner.watching.sources import JournalSource

TOKEN = "a token of the tests"


class EndingSource(JournalSource):
    """A journal that ends when the test does."""

    over = False


@contextlib.contextmanager
def served(
    journal: Path, limits: Path | None = None, address: str = LOOPBACK, port: int = 0
) -> Iterator[tuple[int, EndingSource]]:
    """Yield the port of a page on 127.0.0.1, whose rules are those of `address`."""
    opened = PageOptions(page=port).opened()
    assert opened is not None
    source = EndingSource(journal)
    given = (opened.listener, Access(address, TOKEN), source, limits)
    port = opened.port
    thread = threading.Thread(target=serve, args=given)
    thread.start()
    try:
        yield port, source
    finally:
        source.over = True
        thread.join()
        opened.listener.close()


class Answer:
    """The answer to one request."""

    def __init__(self, got: http.client.HTTPResponse) -> None:
        self.status, self.headers = got.status, got.headers
        self.text = got.read().decode()


def ask(
    port: int,
    path: str = "/",
    method: str = "GET",
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def post(port: int, path: str, body: str, **headers: str) -> Answer:
    """Send a form as the page does."""
    own = {
        "Origin": f"http://127.0.0.1:{port}",
        "Accept": "text/plain",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return ask(port, path, "POST", body, own | headers)
