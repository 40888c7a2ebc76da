"""Instances whose engines compute in the thread that calls them: each has a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from envs.network import Network
from envs.runtimes.instance import STOP_TIMEOUT_S, Arrays, Engine, Instance, Slot
from envs.runtimes.queue import Request, RequestQueue, clock


class ThreadInstance(Instance):
    """One engine, one thread that feeds it."""

    def __init__(self, slot: Slot, engine: Engine, network: Network, queue: RequestQueue, lost: Callable[[Instance], None]) -> None:
        super().__init__(slot, network, queue, lost)
        self._engine = engine
        self._thread = threading.Thread(target=self._serve, name=f"instance-{slot.engine_key}", daemon=True)

    def start(self) -> None:
        self.prove(self.slot.batch)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._queue.wake()
        if self._thread.ident is not None:
            self._thread.join(0.0 if isinstance(self.error, TimeoutError) else STOP_TIMEOUT_S)
        if self._thread.is_alive():  # an engine that hangs is left to it: releasing what it works on would crash
            self.abandon(TimeoutError(f"no answer within {STOP_TIMEOUT_S:g} s"))
        else:
            self._engine.close()

    def _compute(self, inputs: Arrays) -> None:
        self._engine.run(inputs)

    def _serve(self) -> None:
        while not self._stopping and self.error is None:
            requests = self._queue.take(lambda: self.slot.batch, lambda: self._stopping)
            if requests is not None:
                self._run([request for request in requests if request.future.set_running_or_notify_cancel()])

    def _run(self, requests: list[Request]) -> None:
        if not requests:
            return
        start_s = clock()
        try:
            inputs = self._begin(requests)
            with self._running:
                outputs = self._engine.run(inputs)
            self._finish(start_s, outputs)
        except Exception as error:
            self._lose(error)
