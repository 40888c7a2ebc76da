"""Let one of several controllers act: the holder of a Lease, as long as it renews it.

A controller counts the lease as its own for less time after a renewal than the others wait before
they take it, so that no two of them act at once while their clocks run at the same speed. What
time it is never matters: each measures with its own clock how long a lease has not changed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from cluster.kubernetes.client import TIMEOUT_S, ApiError, Client, Unreachable

_log = logging.getLogger(__name__)

#: Name of the Lease.
NAME = "orin-tuner-controller"

#: What is left of a lease after the last request that may be begun under it [s].
SPARE_S = 1.0

#: For how long others wait after the last renewal, and how often it is renewed [s].
DURATION_S, RENEW_S = 15.0, 3.0


class LeaseLost(Exception):
    """The lease is not held any more: whatever is not done is left to its new holder."""


def own_identity() -> str:
    """Return a name of this process that no other has."""
    return f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"


class Leadership:
    """One controller's part in the election; a thread asks for the lease and renews it.

    Args:
        client: to the API server.
        namespace: of the Lease.
        identity: of this controller.
        duration_s: for how long others wait after the last renewal.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        identity: str = "",
        duration_s: float = DURATION_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity or own_identity()
        self._client, self._namespace, self._clock = client, namespace, clock
        self._duration_s = duration_s
        self._until = -float("inf")
        self._seen: tuple[str, float] = ("", -float("inf"))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        #: Called whenever the lease has just become this controller's.
        self.on_gained: Callable[[], None] = lambda: None

    @property
    def held(self) -> bool:
        """Return True if this controller may act; a request may take `TIMEOUT_S` from here."""
        return self._clock() < self._until

    def check(self) -> None:
        """Raise LeaseLost unless the lease is held."""
        if not self.held:
            raise LeaseLost

    def start(self) -> None:
        """Ask for the lease from now on, in a thread."""
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back, so that another controller need not wait for its end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * TIMEOUT_S)
        if self.held:
            self._until = -float("inf")
            try:
                lease = self._read()
                if lease is not None and _holder(lease) == self.identity:
                    self._write(lease, "")
            except (ApiError, Unreachable):
                pass  # it runs out by itself

    def _renew(self) -> None:
        said = ""
        while not self._stop.is_set():
            try:
                self.ask()
                said = ""
            except (ApiError, Unreachable) as error:
                faster = isinstance(error, ApiError) and error.status == 409
                if not faster and str(error) != said:
                    said = str(error)
                    _log.warning("the lease is not renewed: %s", said)
            self._stop.wait(RENEW_S if self.held else RENEW_S / 3)

    def ask(self) -> bool:
        """Ask once for the lease, or renew it; return True if it is held.

        Raises:
            ApiError: the server refused; 409 if another controller was faster.
            Unreachable: the server did not answer.
        """
        asked, before = self._clock(), self.held
        lease = self._read()
        if lease is not None and not self._may_take(lease):
            self._until = -float("inf")
            return False
        self._write(lease, self.identity)
        # Counted from before the request: the server cannot have taken it any earlier.
        self._until = asked + self._duration_s - TIMEOUT_S - SPARE_S
        if not before:
            _log.info("%s holds the lease", self.identity)
            self.on_gained()
        return self.held

    def _may_take(self, lease: dict[str, Any]) -> bool:
        """Return True if a lease is one's own, free, or was not renewed for its duration."""
        holder = _holder(lease)
        if holder in ("", self.identity):
            return True
        version = lease["metadata"].get("resourceVersion", "")
        if version != self._seen[0]:
            self._seen = version, self._clock()
        seconds = (lease.get("spec") or {}).get("leaseDurationSeconds") or self._duration_s
        return self._clock() - self._seen[1] > float(seconds)

    def _read(self) -> dict[str, Any] | None:
        try:
            return self._client.ask("get", "leases", self._namespace, NAME)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _write(self, lease: dict[str, Any] | None, holder: str) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = dict((lease or {}).get("spec") or {})
        if spec.get("holderIdentity", "") != holder:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
            spec["acquireTime"] = now
        spec |= {
            "holderIdentity": holder,
            "renewTime": now,
            "leaseDurationSeconds": max(round(self._duration_s), 1),
        }
        metadata = {"name": NAME, "namespace": self._namespace}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
        if lease is None:
            self._client.ask("create", "leases", self._namespace, "", body | {"metadata": metadata})
            return
        metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        self._client.ask("update", "leases", self._namespace, NAME, body | {"metadata": metadata})


def _holder(lease: dict[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
