"""Instances whose engines take other types or layouts than the network's: a thread converts.

Converting a batch to INT8 takes milliseconds of a processor core. The driver's thread, which
launches for every instance, must not spend them. Two batches of an instance can exist at once: one
on the device, the other being converted, or its answers being read. The driver alone launches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.runtimes.serving.converter import Converter
from envs.runtimes.serving.driver import StreamDriver
from envs.runtimes.serving.engine import Arrays, ConvertingEngine, StreamEngine, converts
from envs.runtimes.serving.gate import Gate
from envs.runtimes.serving.instance import Instance, Slot
from envs.runtimes.serving.queue import Request, RequestQueue, clock
from envs.runtimes.serving.streams import StreamInstance
from envs.spec import Network

#: Batches of an instance at once: as many as its engine has sets of host memory.
PLACES = 2

#: What happens to a batch, in this order.
CONVERTING, CONVERTED, LAUNCHED, ANSWERING = range(4)


@dataclass(eq=False)
class _Batch:
    """A batch on its way; `requests` is empty once they were answered."""

    requests: list[Request]
    state: int = CONVERTING
    start_s: float = math.nan
    converted: Any = None
    device_s: float = math.nan


class ConvertingInstance(StreamInstance):
    """One engine with its stream and a thread that converts for it.

    `_running` is held while there is any batch, so that a proof has the engine for itself. Its
    converter's thread calls `_convert` and `_answer`, the driver and the controlling thread call
    what they call of any `StreamInstance`.
    """

    def __init__(
        self,
        slot: Slot,
        engine: ConvertingEngine,
        network: Network,
        queue: RequestQueue,
        lost: Callable[[Instance], None],
        driver: StreamDriver,
        gate: Gate | None = None,
    ) -> None:
        super().__init__(slot, engine, network, queue, lost, driver, gate)
        self._engine: ConvertingEngine = engine
        #: In the order in which they were taken; changed under `_current_lock`.
        self._batches: list[_Batch] = []
        self._answered_s = -math.inf
        self._converter = Converter(self._end_of_converter)

    def stop(self) -> None:
        """Finish the taken batches and release the engine, or abandon one that hangs."""
        super().stop()
        self._converter.close()

    @property
    def in_flight(self) -> bool:
        """Return True if a batch is on the device whose end is still waited for."""
        return self._in(LAUNCHED) is not None and not self._hangs

    @property
    def gives_way(self) -> bool:
        """Return True while a converted batch waits for critical requests alone."""
        return self._in(CONVERTED) is not None and self._held

    @property
    def free(self) -> bool:
        """Return True if the device has nothing to do and a batch could be taken now."""
        return self._may_take and all(batch.state == ANSWERING for batch in self._batches)

    def feed(self) -> bool:
        """Launch a converted batch, and take another one; return True if it did either."""
        launched = self._launch()
        return (self.free and self._take()) or launched

    def feed_ahead(self) -> None:
        """Let a full batch be converted while the one before is on the device."""
        if self._may_take and len(self.queue) >= self.slot.batch and self._in(LAUNCHED) is not None:
            self._take()

    def collect(self) -> None:
        """Pass a batch that the device has finished to the converter."""
        batch = self._in(LAUNCHED)
        if batch is None or self._hangs:
            if self.error is not None and (waiting := self._in(CONVERTED)) is not None:
                self._drop(waiting)
            return
        try:
            if not self._engine.done():
                return
            batch.device_s = self._device_s()
        except Exception as error:
            self._lose(error)
            self._drop(batch)
            return
        if self.error is not None:  # lost meanwhile: nobody waits for the answers
            self._drop(batch)
            return
        batch.state = ANSWERING
        self._converter.put(partial(self._answer, batch))

    def retire(self) -> bool:
        """Return True if the driver must drop it: it is stopped or lost, and has no batch.

        One that hangs is dropped too, and never released.
        """
        if not (self._stopping or self.error) or (self._busy and not self._hangs):
            return False
        if not self._busy:
            self._released.set()
        return True

    def current_requests(self) -> list[Request]:
        """Return the requests of the batches that were taken."""
        with self._current_lock:
            return [request for batch in self._batches for request in batch.requests]

    @property
    def _busy(self) -> bool:
        return bool(self._batches or self._launched)

    @property
    def _hangs(self) -> bool:
        return isinstance(self.error, TimeoutError)

    @property
    def _may_take(self) -> bool:
        return len(self._batches) < PLACES and not (self._claimed or self._stopping or self.error)

    def _in(self, state: int) -> _Batch | None:
        return next((batch for batch in list(self._batches) if batch.state == state), None)

    def _take(self) -> bool:
        """Take a batch from the queue, if one is ready, and have it converted."""
        if not len(self.queue):
            return False
        batch = _Batch([])
        with self._current_lock:
            if not self._batches and not self._running.acquire(blocking=False):
                return False
            self._batches.append(batch)
        # Again, now that nobody can claim it any more.
        taken = self.queue.take_ready(self.slot.batch) if not (self._claimed or self.error) else []
        requests = [request for request in taken if request.begin()]
        if not requests:
            self._drop(batch)
            return False
        batch.start_s = clock()
        with self._current_lock:
            batch.requests = requests
        self._tell_busy()
        self._converter.put(partial(self._convert, batch))
        if self.error is not None:  # lost just now, before these requests were current
            self._lose(self.error)
        return True

    def _convert(self, batch: _Batch) -> None:
        try:
            batch.converted = self._engine.convert(self._stack(batch.requests))
        except Exception as error:
            self._lose(error)
            self._drop(batch)
        else:
            batch.state = CONVERTED
        self._driver.wake()

    def _stack(self, requests: list[Request]) -> Arrays:
        """Return the inputs as one batch, unconverted where the engine takes what was given."""
        specs, fixed = self._network.inputs, self._network.fixed_batch
        given = [
            {(array.dtype.name, scale) for array, scale in _of(requests, at)}
            for at in range(len(specs))
        ]
        usual = [{(spec.dtype, None)} for spec in specs]
        taken = [{each} for each in self._engine.takes]
        if given == usual or given != taken or fixed not in (None, len(requests)):
            return super()._stack(requests)
        return [np.stack([array for array, _ in _of(requests, at)]) for at in range(len(specs))]

    def _launch(self) -> bool:
        batch = self._in(CONVERTED)
        if batch is None or self.error is not None or self._in(LAUNCHED) is not None:
            return False
        if self._held:
            return False
        try:
            self._engine.launch_converted(batch.converted)
        except Exception as error:
            self._lose(error)
            self._drop(batch)
            return False
        batch.state = LAUNCHED
        return True

    def _answer(self, batch: _Batch) -> None:
        try:
            answers = self._answers(self._engine.answers(batch.converted), len(batch.requests))
            with self._current_lock:
                requests, batch.requests = batch.requests, []
            if requests:
                # From the end of the batch before, so that a window counts no time twice.
                start_s = max(batch.start_s, self._answered_s)
                self._give(requests, answers, start_s, batch.device_s)
                self._answered_s = clock()
        except Exception as error:
            self._lose(error)
        finally:
            self._drop(batch)
            self._driver.wake()

    def _drop(self, batch: _Batch) -> None:
        """Forget a batch; whoever waits for the engine gets it after the last one."""
        with self._current_lock:
            if batch not in self._batches:
                return
            self._batches.remove(batch)
            if not self._batches:
                self._running.release()
        self._tell_busy()

    def _tell_busy(self) -> None:
        with self._current_lock:
            began = [batch.start_s for batch in self._batches if not math.isnan(batch.start_s)]
            self.busy_since_s = None if self.error else min(began, default=None)

    def _take_current(self) -> list[Request]:
        with self._current_lock:
            taken = [request for batch in self._batches for request in batch.requests]
            for batch in self._batches:
                batch.requests = []
        return taken

    def _end_of_converter(self) -> None:
        """Lose the instance: a user's callback has ended the thread that converts."""
        self._lose(RuntimeError("the thread that converts for it has ended"))
        for batch in list(self._batches):
            if batch.state != LAUNCHED:
                self._drop(batch)
        self._driver.wake()


def _of(requests: list[Request], at: int) -> list[tuple[npt.NDArray[Any], float | None]]:
    """Return an input of each request, and the value of its steps."""
    return [
        (request.inputs[at], request.scales[at] if request.scales else None) for request in requests
    ]


def stream_instance(
    slot: Slot,
    engine: StreamEngine,
    network: Network,
    queue: RequestQueue,
    lost: Callable[[Instance], None],
    driver: StreamDriver,
    gate: Gate | None = None,
) -> StreamInstance:
    """Return an instance with a converter where the engine asks for one."""
    if converts(engine):
        return ConvertingInstance(slot, engine, network, queue, lost, driver, gate)
    return StreamInstance(slot, engine, network, queue, lost, driver, gate)
