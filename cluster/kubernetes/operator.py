"""Wake the controller when something changes, by kopf's watches; kopf decides and stores nothing.

Its handlers are of events alone (`kopf.on.event`), which put neither annotations nor finalizers on
an object. Where the watches fail, the controller still looks again every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from cluster.kubernetes.client import bearer
from cluster.kubernetes.names import MANAGED_BY, MANAGER
from cluster.kubernetes.resource import GROUP, PLURAL, VERSION
from envs.errors import one_line
from envs.optional import optional_import

_log = logging.getLogger(__name__)

#: Pauses before watches that ended begin again [s].
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


class Watches:
    """Watches in a thread of their own, which call `wake` when something changes.

    Args:
        configuration: of `Client`, with address and credentials.
        namespace: to watch; empty for all.
        wake: called in that thread, for every change.
    """

    def __init__(self, configuration: Any, namespace: str, wake: Callable[[], None]) -> None:
        self._kopf = optional_import("kopf", "kubernetes")
        self._configuration, self._namespace, self._wake = configuration, namespace, wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)

    def start(self) -> None:
        """Begin to watch, if that has not begun."""
        if self._thread.ident is not None:
            return
        # kopf tells every attempt to reconnect; what matters the controller says itself.
        logging.getLogger("kopf").setLevel(logging.CRITICAL)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                asyncio.run(self._operator())
            except Exception as error:  # whatever it is, looking every few seconds goes on
                _log.debug("the watches ended: %s", one_line(error))
            if self._stop.wait(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _operator(self) -> None:
        kopf = self._kopf
        settings = kopf.OperatorSettings()
        settings.peering.standalone = True
        settings.posting.enabled = False
        # The role allows it to watch neither namespaces nor definitions of resources.
        settings.scanning.disabled = True
        settings.watching.server_timeout = 300
        settings.watching.connect_timeout = 10
        settings.process.ultimate_exiting_timeout = None
        await kopf.operator(
            registry=self._registry(),
            settings=settings,
            standalone=True,
            clusterwide=not self._namespace,
            namespaces=[self._namespace] if self._namespace else [],
            stop_flag=self._stop,
        )

    def _registry(self) -> Any:
        """Return the handlers: one that logs in, and one event handler for each resource."""
        kopf = self._kopf
        registry = kopf.OperatorRegistry()
        labels = {MANAGED_BY: MANAGER}
        kopf.on.login(registry=registry)(self._login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(self._changed)
        kopf.on.event("", "v1", "nodes", registry=registry)(self._changed)
        kopf.on.event("apps", "v1", "deployments", labels=labels, registry=registry)(self._changed)
        kopf.on.event("", "v1", "pods", labels=labels, registry=registry)(self._changed)
        return registry

    async def _changed(self, **_: Any) -> None:
        self._wake()

    async def _login(self, **_: Any) -> Any:
        given = self._configuration
        token = bearer(given)
        return self._kopf.ConnectionInfo(
            server=given.host,
            ca_path=given.ssl_ca_cert,
            insecure=not given.verify_ssl,
            scheme="Bearer" if token else None,
            token=token or None,
            certificate_path=given.cert_file,
            private_key_path=given.key_file,
        )
