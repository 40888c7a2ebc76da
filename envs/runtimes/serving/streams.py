"""Instances whose engines compute on streams: one thread drives them all.

Many threads that launch to their own streams wait for each other inside the CUDA driver (seen on AGX Orin, NVIDIA/TensorRT issue 3351); NVIDIA's
answer there is one thread for several streams. It launches what is ready, asks events, and answers; it never waits for a single stream.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from envs.runtimes.serving.instance import STOP_TIMEOUT_S, Arrays, Instance, Slot, settle
from envs.runtimes.serving.instance import StreamEngine as StreamEngine
from envs.runtimes.serving.queue import RequestQueue, clock
from envs.spec.network import Network

#: How long the driver sleeps between two looks at the events of what is in flight. Linux adds about as much again.
POLL_S = 50e-6


class StreamInstance(Instance):
    """One engine with its stream, fed by the driver. `free`, `feed`, `collect` and `retire` are the driver's, the rest the controlling thread's."""

    def __init__(
        self,
        slot: Slot,
        engine: StreamEngine,
        network: Network,
        queue: RequestQueue,
        lost: Callable[[Instance], None],
        driver: StreamDriver,
    ) -> None:
        super().__init__(slot, network, queue, lost)
        self.queue = queue
        self._engine = engine
        self._driver = driver
        self._launched = False
        #: While a batch is being proven; otherwise the driver, which never sleeps for long, would not let go of a busy engine.
        self._claimed = False
        #: Sizes that the engine may hold something for, those of a proof that failed among them.
        self._allocated: set[int] = set()
        #: Set once the driver has nothing to do with the engine.
        self._released = threading.Event()
        self._released.set()

    def start(self) -> None:
        self.prove(self.slot.batch)
        self._released.clear()
        self._driver.add(self)

    def prove(self, batch: int) -> None:
        self._claimed = True
        try:
            super().prove(batch)
        finally:
            self._claimed = False
            self._driver.wake()

    def resize(self, slot: Slot) -> None:
        super().resize(slot)
        if self.error is not None or self._allocated <= {slot.batch}:
            return
        keep: Callable[[int], None] | None = getattr(self._engine, "keep", None)
        if keep is not None:
            self._claimed = True
            try:
                self._keep(slot.batch, keep)
            finally:
                self._claimed = False
                self._driver.wake()

    def stop(self) -> None:
        self._stopping = True
        self._driver.wake()
        if self._released.wait(0.0 if isinstance(self.error, TimeoutError) else STOP_TIMEOUT_S):
            self._engine.close()
        else:  # an engine that hangs is left alone: releasing what it works on would crash
            self.abandon(TimeoutError(f"no answer within {STOP_TIMEOUT_S:g} s"))

    def abandon(self, error: Exception) -> None:
        super().abandon(error)
        self._driver.wake()

    @property
    def in_flight(self) -> bool:
        """Whether a batch is on the device that somebody still waits for."""
        return self._launched and self.error is None

    @property
    def free(self) -> bool:
        """Whether it could take a batch now."""
        return not (self._launched or self._claimed or self._stopping or self.error)

    def feed(self) -> bool:
        """Launch a batch if the engine is free and one is ready."""
        if not self.free or not self._running.acquire(blocking=False):
            return False
        # Looked at again, now that nobody else works on the engine: it may have been claimed, or lost, in between.
        requests = (
            [request for request in self._queue.take_ready(self.slot.batch) if request.begin()]
            if self.free
            else []
        )
        if not requests:
            self._running.release()
            return False
        try:
            self._engine.launch(self._begin(requests))
        except Exception as error:
            self._running.release()
            self._lose(error)
            return False
        self._launched = True
        if (
            self.error is not None
        ):  # given up at this very moment, when these requests were not in hand yet
            self._lose(self.error)
        return True

    def collect(self) -> None:
        """Answer the batch that was launched if the device is done with it."""
        if not self.in_flight or self.busy_since_s is None:
            return
        start_s = self.busy_since_s
        try:
            if not self._engine.done():
                return
            outputs = self._engine.result()
            device_s = self._device_s()
        except Exception as error:
            self._land()
            self._lose(error)
            return
        self._land()
        try:
            self._finish(start_s, outputs, device_s)
        except Exception as error:
            self._lose(error)

    def retire(self) -> bool:
        """Whether the driver is through with it: stopped or lost. One that hangs is dropped and never released."""
        if not (self._stopping or self.error) or self.in_flight:
            return False
        if not self._launched:
            self._released.set()
        return True

    def orphan(self) -> None:
        """The driver is gone: nobody asks any more whether what is on the device has finished."""
        what = "the thread that drives it has ended"
        self._lose(
            TimeoutError(f"{what} before its batch") if self._launched else RuntimeError(what)
        )
        self.retire()

    def _land(self) -> None:
        self._launched = False
        self._running.release()

    def _compute(self, inputs: Arrays) -> None:
        self._engine.launch(inputs)
        deadline_s = clock() + STOP_TIMEOUT_S
        while not self._engine.done():
            if clock() > deadline_s:
                self._launched = True  # it may work still: nobody must release it, the driver of a kept instance neither
                self._released.clear()
                error = TimeoutError(f"no answer within {STOP_TIMEOUT_S:g} s")
                self.abandon(error)
                raise error
            time.sleep(POLL_S)
        self._engine.result()

    def _keep(self, batch: int, keep: Callable[[int], None]) -> None:
        """Have what other sizes hold given back, since it is missing elsewhere: memory, and on a DLA one of few places for networks."""
        if not self._running.acquire(timeout=STOP_TIMEOUT_S):
            self.abandon(
                TimeoutError(f"no answer within {STOP_TIMEOUT_S:g} s")
            )  # no later change waits for it again
            return
        try:
            keep(batch)
            self._proven &= {batch}
            self._allocated = {batch}
            self._buffers = self._allocate(batch)
        except Exception as error:  # the change has been made and others have to learn of it: this one is lost, nothing else
            self._lose(error)
        finally:
            self._running.release()

    def _allocate(self, batch: int) -> Arrays:
        self._allocated.add(batch)
        own: Callable[[int], Arrays] | None = getattr(self._engine, "buffers", None)
        return own(batch) if own else super()._allocate(batch)

    def _device_s(self) -> float:
        elapsed_ms: Callable[[], float] | None = getattr(self._engine, "elapsed_ms", None)
        return elapsed_ms() / 1e3 if elapsed_ms else math.nan


class StreamDriver:
    """The thread. It sleeps until something happens while nothing is in flight, and `poll_s` at a time while something is.

    Futures are answered in it: what a caller hangs on one (`add_done_callback`) delays everybody's next batch.
    """

    def __init__(self, poll_s: float = POLL_S) -> None:
        self._poll_s = poll_s
        self._instances: list[StreamInstance] = []  # who waited longest first
        self._changing = threading.Lock()
        self._happened = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, instance: StreamInstance) -> None:
        """Serve this one from now on."""
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
            if not self._closing:  # a callback of the user's may end this thread: nobody must wait for it; the next instance starts another
                with self._changing:
                    orphans, self._instances, self._thread = self._instances, [], None
                settle([instance.orphan for instance in orphans])

    def _turn(self) -> None:
        self._happened.clear()  # before looking, so that what happens meanwhile ends the wait
        with self._changing:
            instances = list(self._instances)
        for instance in instances:
            instance.collect()
        fed = [instance for instance in instances if instance.feed()]
        gone = [instance for instance in instances if instance.retire()]
        if fed or gone:
            with self._changing:
                waiting = [each for each in self._instances if each not in fed]
                self._instances = [each for each in waiting + fed if each not in gone]
        self._rest(instances)

    def _rest(self, instances: list[StreamInstance]) -> None:
        if any(instance.in_flight for instance in instances):
            time.sleep(self._poll_s)
            return
        due_s = min(
            (instance.queue.due_s() for instance in instances if instance.free), default=math.inf
        )
        self._happened.wait(None if due_s == math.inf else max(0.0, due_s - clock()))
