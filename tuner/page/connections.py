"""Connections that end when nothing comes from them, and when nobody reads what they are sent."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections at once; what is beyond is closed unread.
MOST_CONNECTIONS = 120

#: Seconds in which a request has to come whole, without its body.
HEAD_S = 10.0

#: Seconds that a reader may stand still.
READER_S = 20.0


class Connections(H11Protocol):
    """One connection of uvicorn, with two time limits that it lacks, and a most of them."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._head = self.loop.call_later(HEAD_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what came; go on waiting while no request is whole."""
        super().data_received(data)
        waits = self.cycle is None or self.cycle.response_complete
        if not waits:
            self._head = _stop(self._head)
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_S, self.transport.abort)

    def pause_writing(self) -> None:
        """Begin to wait for the reader."""
        super().pause_writing()
        self._reader = _stop(self._reader) or self.loop.call_later(READER_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: the reader went on."""
        super().resume_writing()
        self._reader = _stop(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for anything."""
        super().connection_lost(exc)
        self._head, self._reader = _stop(self._head), _stop(self._reader)


def _stop(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a timer; return none."""
    if timer is not None:
        timer.cancel()
    return None
