"""The thread that drives every instance whose engine computes on a stream.

Many threads that launch to streams of their own wait for each other inside the CUDA driver (seen
on AGX Orin, NVIDIA/TensorRT issue 3351); there NVIDIA recommends one thread for several streams.
The driver launches batches that are ready, asks events, and answers requests; it never waits for a
single stream.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from envs.runtimes.serving.engine import STOP_TIMEOUT_S
from envs.runtimes.serving.instance import call_all
from envs.runtimes.serving.queue import clock

if TYPE_CHECKING:
    from envs.runtimes.serving.streams import StreamInstance

#: How long the driver sleeps between two queries of the events of launched batches. Linux adds
#: about as much again.
POLL_S = 50e-6


class StreamDriver:
    """The thread that drives all stream instances.

    It sleeps until something happens while no batch is launched, and `poll_s` at a time while one
    is, or while one gives way to critical requests. It also runs the callbacks of futures
    (`add_done_callback`), so that a slow callback delays the next batch of every instance; those of
    an instance with a converter run there.
    """

    def __init__(self, poll_s: float = POLL_S) -> None:
        self._poll_s = poll_s
        #: In the order in which they get a turn: the one that waited longest comes first.
        self._instances: list[StreamInstance] = []
        self._changing = threading.Lock()
        self._happened = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, instance: StreamInstance) -> None:
        """Serve this instance from now on."""
        instance.queue.listener = self.wake
        with self._changing:
            self._instances.append(instance)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._drive, name="stream-driver", daemon=True
                )
                self._thread.start()
        self.wake()

    def wake(self) -> None:
        """Look again: a request has come, or an instance has changed."""
        self._happened.set()

    def close(self) -> None:
        """End the thread, after the instances have been stopped."""
        self._closing = True
        self.wake()
        if (thread := self._thread) is not None:
            thread.join(STOP_TIMEOUT_S)

    def _drive(self) -> None:
        try:
            while not self._closing:
                self._turn()
        finally:
            # A user's callback may end this thread: nobody must wait for it. The next instance
            # starts another one.
            if not self._closing:
                with self._changing:
                    orphans, self._instances, self._thread = self._instances, [], None
                call_all([instance.orphan for instance in orphans])

    def _turn(self) -> None:
        self._happened.clear()  # before looking, so that an event meanwhile ends the wait
        with self._changing:
            instances = list(self._instances)
        for instance in instances:
            instance.collect()
        fed = [instance for instance in instances if instance.feed()]
        for instance in instances:  # what is left when nobody could launch it
            instance.feed_ahead()
        gone = [instance for instance in instances if instance.retire()]
        if fed or gone:
            with self._changing:
                waiting = [each for each in self._instances if each not in fed]
                self._instances = [each for each in waiting + fed if each not in gone]
        self._rest(instances)

    def _rest(self, instances: list[StreamInstance]) -> None:
        # Nobody tells when a gate opens, which is soon.
        if any(instance.in_flight or instance.gives_way for instance in instances):
            time.sleep(self._poll_s)
            return
        due_s = min(
            (instance.queue.due_s() for instance in instances if instance.free), default=math.inf
        )
        self._happened.wait(None if due_s == math.inf else max(0.0, due_s - clock()))
