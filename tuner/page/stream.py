"""Send the changes of the page as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tuner.page.hub import Hub

#: Seconds after which a sign of life is sent where nothing changes.
ALIVE_S = 15.0

#: Viewers at once.
MOST_VIEWERS = 50


class EventStream(Response):
    """What changes, until the viewer goes.

    A slow viewer skips versions: nothing is kept for anybody.
    """

    media_type = "text/event-stream"

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the whole page, and then what changes."""
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers},
        )
        hub = self._hub
        hub.viewers += 1
        leaving = asyncio.create_task(_gone(receive))
        sending = asyncio.create_task(self._send(send))
        try:
            await asyncio.wait({leaving, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hub.viewers -= 1
            for each in (leaving, sending):
                each.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await each

    async def _send(self, send: Send) -> None:
        hub, seen = self._hub, 0
        hub.refresh()
        while not hub.closed:
            if hub.version > seen:
                body, seen = hub.message(seen), hub.version
                await send({"type": "http.response.body", "body": body, "more_body": True})
            elif not await hub.changed_after(seen, ALIVE_S):
                await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
