"""A stream for engines that have none: a thread of their own computes while the driver goes on."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue

from envs.runtimes.serving.instance import STOP_TIMEOUT_S, Arrays, Engine
from envs.runtimes.serving.queue import clock


class WorkerEngine:
    """A `StreamEngine` around any `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._work: SimpleQueue[tuple[Arrays, Future[Arrays]] | None] = SimpleQueue()
        self._answer: Future[Arrays] = Future()
        self._elapsed_s = float("nan")
        self._thread = threading.Thread(target=self._serve, name="stream-worker", daemon=True)
        self._thread.start()

    def launch(self, inputs: Arrays) -> None:
        self._answer = Future()
        self._work.put((inputs, self._answer))

    def done(self) -> bool:
        if not self._answer.done():
            return False
        self._answer.result()
        return True

    def result(self) -> Arrays:
        return self._answer.result()

    def elapsed_ms(self) -> float:
        return 1e3 * self._elapsed_s

    def close(self) -> None:
        self._work.put(None)
        self._thread.join(STOP_TIMEOUT_S)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            inputs, answer = work
            began_s = clock()
            try:
                outputs = self._engine.run(inputs)
            except Exception as error:
                answer.set_exception(error)
            else:
                self._elapsed_s = clock() - began_s
                answer.set_result(outputs)
        self._engine.close()
