"""Instances whose engines compute in the calling thread; each instance has a thread of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from envs.runtimes.serving.engine import STOP_TIMEOUT_S, Arrays, Engine, SegmentedEngine
from envs.runtimes.serving.gate import Gate
from envs.runtimes.serving.instance import Instance, Slot, no_answer
from envs.runtimes.serving.low_priority import lower_priority
from envs.runtimes.serving.queue import Request, RequestQueue, clock
from envs.spec import Network


class ThreadInstance(Instance):
    """One engine, and one thread that feeds it.

    With a `gate` it is best effort: its thread has low priority, and it waits at the gate before
    each batch and, if its engine has segments, between two of them.
    """

    def __init__(
        self,
        slot: Slot,
        engine: Engine,
        network: Network,
        queue: RequestQueue,
        lost: Callable[[Instance], None],
        gate: Gate | None = None,
    ) -> None:
        super().__init__(slot, network, queue, lost)
        self._engine, self._gate = engine, gate
        self._thread = threading.Thread(
            target=self._serve, name=f"instance-{slot.engine_key}", daemon=True
        )
        self._proof: threading.Thread | None = None

    def start(self) -> None:
        """Prove the batch size, then serve."""
        self.prove(self.slot.batch)
        self._thread.start()

    def stop(self) -> None:
        """Finish the current batch and release the engine, or abandon one that hangs."""
        self._stopping = True
        self._queue.wake()
        if self._gate is not None:
            self._gate.wake()
        if self._thread.ident is not None:
            self._thread.join(0.0 if isinstance(self.error, TimeoutError) else STOP_TIMEOUT_S)
        # A hanging engine is not released: taking away memory that it works on would crash.
        if self._thread.is_alive() or (self._proof is not None and self._proof.is_alive()):
            self.abandon(no_answer(STOP_TIMEOUT_S))
        else:
            self._engine.close()

    def _compute(self, inputs: Arrays) -> None:
        # In another thread, since a call that does not return cannot be interrupted.
        proof: Future[Arrays] = Future()
        self._proof = threading.Thread(
            target=_call,
            args=(proof, self._engine, inputs),
            name=f"proof-{self.slot.engine_key}",
            daemon=True,
        )
        self._proof.start()
        self._proof.join(STOP_TIMEOUT_S)
        if self._proof.is_alive():
            error = no_answer(STOP_TIMEOUT_S)
            self.abandon(error)
            raise error
        proof.result(0)

    def _serve(self) -> None:
        if self._gate is not None:
            lower_priority()
        try:
            while not self._stopping and self.error is None:
                requests = self._queue.take(lambda: self.slot.batch, lambda: self._stopping)
                if requests is not None:
                    self._run([request for request in requests if request.begin()])
        finally:
            # A user's callback may end this thread: requests must still be answered.
            if not self._stopping and self.error is None:
                self._lose(RuntimeError("its thread has ended"))

    def _run(self, requests: list[Request]) -> None:
        if not requests:
            return
        if self._gate is not None:
            self._gate.wait(lambda: self._stopping)
        start_s = clock()
        try:
            inputs = self._begin(requests)
            with self._running:
                if self.error is not None:  # abandoned while a proof hung in the engine
                    raise self.error
                outputs = self._outputs(inputs)
            self._finish(start_s, outputs)
        except Exception as error:
            self._lose(error)

    def _outputs(self, inputs: Arrays) -> Arrays:
        gate = self._gate
        if gate is None or not isinstance(self._engine, SegmentedEngine):
            return self._engine.run(inputs)
        return self._engine.run_segments(inputs, lambda: gate.wait(lambda: self._stopping))


def _call(proof: Future[Arrays], engine: Engine, inputs: Arrays) -> None:
    try:
        proof.set_result(engine.run(inputs))
    except Exception as error:
        proof.set_exception(error)
