"""The service: one control period after the other, and signs of life for systemd."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from envs.errors import ClientEnded
from envs.runtimes.serving.readiness import Readiness
from envs.spec import Failure, Measurement
from tuner.control.client import ClientThread
from tuner.control.controller import Controller
from tuner.control.events import Event, EventKind
from tuner.control.journal import Journal
from tuner.control.kept_samples import KeptSamples
from tuner.control.metrics import Metrics
from tuner.control.tenants import TenantControl
from tuner.device import Device
from tuner.stopping import StoppedEarly

#: A client that ends so soon has not begun [s].
BEGINS_S = 0.2


class Stop:
    """Tells that SIGTERM or SIGINT came; a plain flag, since a signal may come at any time."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def waiting(self) -> None:
        """Give a sign of life while an engine is built that nothing can serve without.

        Raises:
            StoppedEarly: it is time to go.
        """
        if self.requested:
            raise StoppedEarly
        notify("WATCHDOG=1")

    def rest(self, until_s: float) -> None:
        """Wait, unless it is time to go."""
        while not self.requested and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))


@dataclass(frozen=True)
class Service:
    """A device that serves under control.

    Attributes:
        controller: of the device.
        device: what serves.
        journal: gets a line a period.
        metrics: for Prometheus; None for none.
        client: brings the requests; None where load is generated.
        samples: keeps what the client sent; None to keep nothing.
        show: gets each period ready for JSON, as the journal does; None for nobody.
        period_s: length of a period.
        periods: stop after so many; None to go on until SIGTERM or SIGINT.
    """

    controller: Controller | TenantControl
    device: Device
    journal: Journal
    metrics: Metrics | None
    client: ClientThread | None
    samples: KeptSamples | None
    show: Callable[[dict[str, Any]], None] | None
    period_s: float
    periods: int | None

    def serve(self) -> None:
        """Serve until SIGTERM, SIGINT, or for as many periods as are wanted.

        A period that ends early, because of a failure or because nothing is really served, is
        waited out. The client begins, and systemd is told READY, once something serves. If nothing
        can serve without another engine, a period lasts until it is built: systemd gets signs of
        life meanwhile, and a signal ends the build.

        Raises:
            ClientEnded: the client returned or raised, so that no more requests will come; the
                event is in the journal.
            StartAnew, RuntimeFault: see `Controller.step`.
        """
        stop = Stop()
        if isinstance(self.device.readiness, Readiness):
            self.device.readiness.while_waiting(stop.waiting)
        with contextlib.suppress(StoppedEarly):
            self._serve(stop)

    def _serve(self, stop: Stop) -> None:
        count, ready = 0, False
        while not stop.requested and (self.periods is None or count < self.periods):
            began_s = time.monotonic()
            period = self.controller.step()
            if not ready and isinstance(period.outcome, Measurement):
                self._begin()
                ready = True
            ended = self.client.last_words() if self.client and self.client.ended else ""
            if ended:
                event = Event(EventKind.CLIENT_ENDED, ended)
                period = replace(period, events=(*period.events, event))
            data = period.as_dict(self.device.space)
            self.journal.write(data)
            if self.show:
                self.show(data)
            if self.metrics:
                self.metrics.show(period, self.journal.lost)
            if ended and not stop.requested:
                raise ClientEnded(
                    f"the client {ended}; nothing brings requests, so the service stops"
                )
            if self.samples:
                self.samples.write_if_due()
            notify("WATCHDOG=1")
            count += 1
            if self.periods is None or isinstance(period.outcome, Failure):
                stop.rest(began_s + self.period_s)

    def _begin(self) -> None:
        """Start the client; tell systemd that the service is ready, unless the client ends."""
        if self.client is not None:
            self.client.start(self.device.runtime.submit)  # type: ignore[attr-defined]
        if self.client is None or not self.client.ends_within(BEGINS_S):
            notify("READY=1")


def notify(state: str) -> None:
    """Tell systemd that the loop is alive, where it wants to know (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.sendto(
                state.encode(), "\0" + address[1:] if address.startswith("@") else address
            )
