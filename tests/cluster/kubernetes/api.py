"""Talk to an API server as plain dictionaries, with one user's token, from any thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import urllib3


class Refused(Exception):
    """An answer that is no success.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Requests by path; each raises `Refused`, or urllib3's HTTPError where no server answers.

    Args:
        address: URL of the server.
        certificate: file of what signed the server's certificate.
        token: of the user.
    """

    def __init__(self, address: str, certificate: Path, token: str) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._pool = urllib3.PoolManager(ca_certs=str(certificate), maxsize=8, retries=False)

    def get(self, path: str) -> Any:
        """Return an object, or a list of them."""
        return self.call("GET", path)

    def find(self, path: str) -> Any:
        """Return an object, or None if there is none."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the objects of a collection; none where there is no such collection."""
        found = self.find(path)
        return list(found["items"]) if found else []

    def create(self, path: str, body: dict[str, Any]) -> Any:
        """Create an object in a collection."""
        return self.call("POST", path, body)

    def merge(self, path: str, body: dict[str, Any]) -> Any:
        """Change parts of an object; None deletes a part."""
        return self.call("PATCH", path, body)

    def replace(self, path: str, body: dict[str, Any]) -> Any:
        """Replace an object."""
        return self.call("PUT", path, body)

    def delete(self, path: str, now: bool = False) -> bool:
        """Delete an object, and in the background what it owns; return False if it is gone.

        Args:
            path: of the object.
            now: True for a pod that no kubelet is going to stop.
        """
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        try:
            self.call("DELETE", path, options | ({"gracePeriodSeconds": 0} if now else {}))
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer to a request."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = self._pool.request(
            method,
            f"{self.address}{path}",
            body=None if body is None else json.dumps(body),
            headers={**self._headers, "Content-Type": kind},
            timeout=30.0,
        )
        if answer.status >= 300:
            raise Refused(answer.status, answer.data.decode(errors="replace"))
        return json.loads(answer.data)


def path_of(item: dict[str, Any], collection: str) -> str:
    """Return the path of an object that was listed in a collection of all namespaces."""
    head, plural = collection.rsplit("/", 1)
    space = item["metadata"].get("namespace")
    where = f"{head}/namespaces/{space}" if space else head
    return f"{where}/{plural}/{item['metadata']['name']}"
