"""Serve the page on a socket until the process is told to end."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import uvicorn

from tuner.page.access import Access
from tuner.page.app import app_of
from tuner.page.connections import Connections
from tuner.page.hub import Hub
from tuner.page.limit_desk import LimitDesk
from tuner.page.parts import parts_of
from tuner.watching.sources import Source

#: Bytes of the head of a request; requests at once, beyond which the answer is 503.
MOST_HEAD, MOST_AT_ONCE = 1 << 14, 100


class PageServer(uvicorn.Server):
    """The server of one page, which lets its viewers go when it ends."""

    def __init__(self, access: Access, hub: Hub) -> None:
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # a flood fills no log
        config = uvicorn.Config(
            app_of(hub, access),
            http=Connections,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=MOST_HEAD,
        )
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the viewers go, and end."""
        self._hub.close()
        await super().shutdown(sockets)


def serve(listener: socket.socket, access: Access, source: Source, limits: Path | None) -> None:
    """Serve until SIGINT or SIGTERM comes, or the source says that there is nothing more to serve.

    Args:
        listener: listens already.
        access: says who may do what.
        source: what to show; one with `over` set ends the server.
        limits: the file that the service reads its limits from; None if they cannot be changed.
    """
    hub = Hub(source, LimitDesk(limits), parts_of)
    server = PageServer(access, hub)

    async def run() -> None:
        polling = asyncio.create_task(hub.poll_forever())
        ending = asyncio.create_task(_end(server, source))
        await server.serve(sockets=[listener])
        polling.cancel()
        ending.cancel()

    asyncio.run(run())


async def _end(server: PageServer, source: Source) -> None:
    while not getattr(source, "over", False):
        await asyncio.sleep(0.2)
    server.should_exit = True
