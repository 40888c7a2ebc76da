"""Instances whose engines compute on streams; `StreamDriver` drives them all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from envs.runtimes.serving.driver import POLL_S, StreamDriver
from envs.runtimes.serving.engine import (
    STOP_TIMEOUT_S,
    Arrays,
    SegmentedStreamEngine,
    StreamEngine,
)
from envs.runtimes.serving.gate import Gate
from envs.runtimes.serving.instance import Instance, Slot, no_answer
from envs.runtimes.serving.queue import RequestQueue, clock
from envs.spec import Network


class StreamInstance(Instance):
    """One engine with its stream.

    The driver's thread calls `free`, `feed`, `collect`, `retire`, `orphan` and `gives_way`; the
    controlling thread calls everything else.

    With a `gate` it is best effort: it launches no batch while the gate is closed and, if its
    engine has several parts, none of them.
    """

    def __init__(
        self,
        slot: Slot,
        engine: StreamEngine,
        network: Network,
        queue: RequestQueue,
        lost: Callable[[Instance], None],
        driver: StreamDriver,
        gate: Gate | None = None,
    ) -> None:
        super().__init__(slot, network, queue, lost)
        self.queue = queue
        self._engine, self._gate = engine, gate
        #: The engine, where it gives way between its parts.
        self._parted: SegmentedStreamEngine | None = None
        if gate is not None and isinstance(engine, SegmentedStreamEngine):
            self._parted = engine
        self._driver = driver
        self._launched = False
        #: True while the controlling thread wants the engine: the driver, which hardly sleeps,
        #: would otherwise launch the next batch on a busy engine before it gets a turn.
        self._claimed = False
        #: Batch sizes that the engine may hold memory for, including those of a failed proof.
        self._allocated: set[int] = set()
        #: Set once the driver has nothing to do with the engine.
        self._released = threading.Event()
        self._released.set()

    def start(self) -> None:
        """Prove the batch size, then let the driver serve."""
        self.prove(self.slot.batch)
        self._released.clear()
        self._driver.add(self)

    def prove(self, batch: int) -> None:
        """Run one batch of this size, unless one has run, between two batches of the driver."""
        self._claimed = True
        try:
            super().prove(batch)
        finally:
            self._claimed = False
            self._driver.wake()

    def resize(self, slot: Slot) -> None:
        """Take batches of another size, and release the memory of the sizes that are not used."""
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
        """Finish the current batch and release the engine, or abandon one that hangs."""
        self._stopping = True
        self._driver.wake()
        if self._released.wait(0.0 if isinstance(self.error, TimeoutError) else STOP_TIMEOUT_S):
            self._engine.close()
        else:  # taking away memory that it works on would crash
            self.abandon(no_answer(STOP_TIMEOUT_S))

    def abandon(self, error: Exception) -> None:
        """Give up on an engine that does not answer."""
        super().abandon(error)
        self._driver.wake()

    @property
    def in_flight(self) -> bool:
        """Return True if a batch is on the device whose requests still wait."""
        return self._launched and self.error is None

    @property
    def free(self) -> bool:
        """Return True if it could take a batch now."""
        return not (self._launched or self._claimed or self._stopping or self.error)

    @property
    def gives_way(self) -> bool:
        """Return True while a batch waits for critical requests alone."""
        return len(self.queue) > 0 and self._held

    @property
    def _held(self) -> bool:
        """True while critical requests go first; whoever wants the engine to end does not wait."""
        gate = self._gate
        return gate is not None and not (self._claimed or self._stopping) and gate.closed

    def feed(self) -> bool:
        """Launch a batch if the engine is free and one is ready; return True if it did."""
        if not self.free or self._held or not self._running.acquire(blocking=False):
            return False
        # `free` again, under the lock: it may have been claimed or lost in between.
        requests = (
            [request for request in self._queue.take_ready(self.slot.batch) if request.begin()]
            if self.free
            else []
        )
        if not requests:
            self._running.release()
            return False
        try:
            launch = self._engine.launch if self._parted is None else self._parted.launch_first
            launch(self._begin(requests))
        except Exception as error:
            self._running.release()
            self._lose(error)
            return False
        self._launched = True
        if self.error is not None:  # abandoned just now, before these requests were current
            self._lose(self.error)
        return True

    def feed_ahead(self) -> None:
        """Take a batch ahead where another one is launched; here there is no room for it."""

    def collect(self) -> None:
        """Answer the launched batch if the device has finished it, or launch its next part."""
        if not self.in_flight or self.busy_since_s is None:
            return
        start_s = self.busy_since_s
        try:
            if not self._engine.done():
                return
            if self._parted is not None and self._parted.parts_left:
                if not self._held:
                    self._parted.launch_next()
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
        """Return True if the driver must drop it: it is stopped or lost.

        One that hangs is dropped too, and never released.
        """
        if not (self._stopping or self.error) or self.in_flight:
            return False
        if not self._launched:
            self._released.set()
        return True

    def orphan(self) -> None:
        """Lose the instance, since the driver has ended and nobody queries its events."""
        reason = "the thread that drives it has ended"
        self._lose(
            TimeoutError(f"{reason} before its batch") if self._busy else RuntimeError(reason)
        )
        self.retire()

    @property
    def _busy(self) -> bool:
        """True if there is a batch whose end only the driver would notice."""
        return self._launched

    def _land(self) -> None:
        self._launched = False
        self._running.release()

    def _compute(self, inputs: Arrays) -> None:
        self._engine.launch(inputs)
        deadline_s = clock() + STOP_TIMEOUT_S
        while not self._engine.done():
            if clock() > deadline_s:
                # It may still be working, so that not even the driver may release it.
                self._launched = True
                self._released.clear()
                error = no_answer(STOP_TIMEOUT_S)
                self.abandon(error)
                raise error
            time.sleep(POLL_S)
        self._engine.result()

    def _keep(self, batch: int, keep: Callable[[int], None]) -> None:
        """Release the memory of other batch sizes, and on a DLA their loadables, which are few."""
        if not self._running.acquire(timeout=STOP_TIMEOUT_S):
            self.abandon(no_answer(STOP_TIMEOUT_S))  # so that no later change waits for it again
            return
        try:
            keep(batch)
            self._proven &= {batch}
            self._allocated = {batch}
            self._buffers = self._allocate(batch)
        except Exception as error:
            # The configuration is applied and other instances must still be resized: only this
            # one is lost.
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
