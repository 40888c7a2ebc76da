"""Stand between a controller and the API server: count what is written, and let requests fail."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.cluster.kubernetes.server import ACCOUNT, ApiServer

CHANGES = ("POST", "PUT", "PATCH", "DELETE")


class Written(NamedTuple):
    """A request that changed an object.

    Attributes:
        method: of HTTP.
        path: of the object, or of the collection that it was created in.
    """

    method: str
    path: str

    @property
    def is_lease(self) -> bool:
        """Return True for the lease of an election."""
        return "/leases" in self.path

    @property
    def is_event(self) -> bool:
        """Return True for an Event, which tells people of something."""
        return "/events" in self.path


class Proxy:
    """Passes requests on in plain HTTP, from `with` on.

    Attributes:
        written: what was changed through it, in order.
        on_written: called after the server has changed something, before the client hears of it.
        refuse: status with which requests are refused; None for none.
        lose_answers: how many of the next changes are made, and their answers never given.
    """

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.written: list[Written] = []
        self.on_written: Callable[[Written], None] = lambda _: None
        self.refuse: int | None = None
        self.lose_answers = 0
        self._open: set[http.client.HTTPSConnection] = set()
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def changes(self) -> list[Written]:
        """Return what was changed without leases and events."""
        return [each for each in self.written if not each.is_lease and not each.is_event]

    def kubeconfig(self) -> Path:
        """Write and return a kubeconfig of the controller's account through this proxy."""
        host, port = self._http.server_address[:2]
        config = json.loads(self.server.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://{host!s}:{port}"}
        path = self.server.folder / f"{ACCOUNT}-{port}.kubeconfig"
        path.write_text(json.dumps(config, indent=2) + "\n")
        return path

    def cut(self) -> None:
        """End all requests that are under way, such as watches."""
        with self._lock:
            for each in self._open:
                if each.sock is not None:
                    each.sock.close()

    def connect(self) -> http.client.HTTPSConnection:
        """Return a new connection to the server."""
        context = ssl.create_default_context(cafile=str(self.server.certificate))
        made = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, timeout=310, context=context
        )
        with self._lock:
            self._open.add(made)
        return made

    def close(self, connection: http.client.HTTPSConnection) -> None:
        """Close a connection to the server."""
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def note(self, written: Written) -> bool:
        """Note a change; return True if its answer is to be lost."""
        with self._lock:
            self.written.append(written)
            lost = self.lose_answers > 0 and not written.is_lease
            self.lose_answers -= lost
        self.on_written(written)
        return bool(lost)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Proxy

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client is gone

    def __getattr__(self, name: str) -> Any:
        """Return what answers a method: the same for all."""
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def _pass(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        self.close_connection = True
        if self.owner.refuse is not None:
            self._answer(self.owner.refuse, b'{"message": "refused by the test"}')
            return
        connection = self.owner.connect()
        try:
            kept = ("Authorization", "Accept", "Content-Type", "User-Agent")
            headers = {name: self.headers[name] for name in kept if self.headers.get(name)}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            if self.command in CHANGES:
                whole = answer.read()
                made = answer.status < 300
                if made and self.owner.note(Written(self.command, self.path.partition("?")[0])):
                    return
                self._answer(answer.status, whole)
            else:
                self._stream(answer)
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            return  # the server is away, or was cut off: the connection ends without an answer
        finally:
            self.owner.close(connection)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Connection", "close")
        self.end_headers()
        while part := answer.read1(1 << 16):
            self.wfile.write(part)
            self.wfile.flush()
