"""An instance: an engine that serves batches from its tenant's queue.

`threads` and `streams` have the two kinds: one thread for each instance, or one for all.
"""

from __future__ import annotations

import logging
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from envs.arrays import NamedArrays
from envs.runtimes.serving.engine import STOP_TIMEOUT_S, Arrays
from envs.runtimes.serving.queue import Request, RequestQueue, clock
from envs.spec import ConfigurationFailed, Failure, FailureKind, Network, Place

logger = logging.getLogger(__name__)

#: Gets a tenant and requests of it that are about to be answered.
Answering = Callable[[int, Sequence[Request]], None]


class BatchRecord(NamedTuple):
    """One batch that was served.

    Attributes:
        start_s, end_s: on the host's clock.
        arrivals_s: when each of its requests was due.
        device_s: time on the device by its own events; NaN if unknown.
    """

    start_s: float
    end_s: float
    arrivals_s: tuple[float, ...]
    device_s: float = math.nan


@dataclass(frozen=True)
class Slot:
    """The place of an instance in a configuration. All but the batch is fixed once it is loaded."""

    tenant: int
    accelerator: int
    threads: int
    batch: int

    @property
    def engine_key(self) -> tuple[int, int, int]:
        """Return everything that the engine depends on."""
        return self.tenant, self.accelerator, self.threads

    @property
    def place(self) -> Place:
        """Return it without its threads."""
        return Place(self.tenant, self.accelerator, self.batch)


class Instance(ABC):
    """Serves from `queue` until stopped; it always finishes the batch that it works on.

    Attributes:
        slot: the tenant, accelerator, threads and batch that it serves.
        log: batches that were served since the window's owner set it to a list; None to log none.
        outdated: whether a newer engine has taken the place of its own.
        error: the error of its engine, if any; the instance then serves no more.
        busy_since_s: when the current batch began; None between batches.
        answering: called with the tenant and its requests just before they get their answers, when
            their inputs are still unchanged; it must not raise. None to call nothing.
    """

    def __init__(
        self, slot: Slot, network: Network, queue: RequestQueue, lost: Callable[[Instance], None]
    ) -> None:
        self.slot = slot
        self.log: list[BatchRecord] | None = None
        self.outdated = False
        self.error: Exception | None = None
        self.busy_since_s: float | None = None
        self.answering: Answering | None = None
        self._network = network
        self._output_names = [spec.name for spec in network.outputs]
        self._queue = queue
        self._lost = lost
        self._stopping = False
        #: Held while the engine works on anything.
        self._running = threading.Lock()
        #: Requests of the current batch. Whoever answers them first takes them, under the lock.
        self._current: list[Request] = []
        self._current_lock = threading.Lock()
        self._buffers: Arrays = ()
        self._proven: set[int] = set()

    @abstractmethod
    def start(self) -> None:
        """Prove the batch size, then serve."""

    @abstractmethod
    def stop(self) -> None:
        """Finish the current batch and release the engine."""

    @abstractmethod
    def _compute(self, inputs: Arrays) -> None:
        """Run one batch to its end, in the calling thread."""

    def prove(self, batch: int) -> None:
        """Run one batch of this size, unless one has run.

        No request then pays for the first batch, or finds out that it is impossible.

        Raises:
            ConfigurationFailed: the batch cannot run, or does not end.
        """
        if batch in self._proven:
            return
        task = f"{self._network.name} cannot run a batch of {batch}"
        if not self._running.acquire(timeout=STOP_TIMEOUT_S):
            self.abandon(no_answer(STOP_TIMEOUT_S))
            raise ConfigurationFailed(
                Failure(FailureKind.TIMED_OUT, f"{task}: the batch before it does not end")
            )
        try:
            buffers = self._allocate(batch)
            self._compute([buffer[:batch] for buffer in buffers])
            self._buffers = buffers
            self._proven.add(batch)
        except Exception as error:
            late = isinstance(error, TimeoutError)
            kind = FailureKind.TIMED_OUT if late else FailureKind.BUILD_FAILED
            raise ConfigurationFailed(failure_of(error, task, kind)) from error
        finally:
            self._running.release()

    def resize(self, slot: Slot) -> None:
        """Take batches of another, proven size from the next one on."""
        self.slot = slot
        self._queue.wake()

    def abandon(self, error: Exception) -> None:
        """Give up on an engine that does not answer; nothing waits for it any more."""
        self._stopping = True
        self._lose(error)

    def current_requests(self) -> list[Request]:
        """Return the requests of the current batch."""
        with self._current_lock:
            return list(self._current)

    def loss(self) -> ConfigurationFailed:
        """Return the error that the requests of a lost instance get."""
        error = self.error or RuntimeError("it stopped")
        task = f"an instance of {self._network.name} was lost"
        return ConfigurationFailed(failure_of(error, task, FailureKind.INSTANCE_LOST))

    def _allocate(self, batch: int) -> Arrays:
        """Return arrays [at least batch, ...], one per input, to put batches together in."""
        if self._buffers and len(self._buffers[0]) >= batch:
            return self._buffers
        return [np.zeros((batch, *spec.shape), dtype=spec.dtype) for spec in self._network.inputs]

    def _begin(self, requests: list[Request]) -> Arrays:
        """Make these requests the current batch; return their inputs as one batch."""
        with self._current_lock:
            self._current = requests
        self.busy_since_s = clock()
        return self._stack(requests)

    def _finish(self, start_s: float, outputs: Arrays, device_s: float = math.nan) -> None:
        """Answer the current requests, unless they got the error of an abandoned instance."""
        answers = self._answers(outputs, len(self._current))
        requests = self._take_current()
        if requests:
            self._give(requests, answers, start_s, device_s)
            self.busy_since_s = None

    def _give(
        self,
        requests: list[Request],
        answers: list[NamedArrays],
        start_s: float,
        device_s: float,
    ) -> None:
        """Give requests their answers, and log the batch."""
        end_s = clock()
        if self.answering is not None:
            self.answering(self.slot.tenant, requests)
        call_all(
            [
                partial(request.future.set_result, answer)
                for request, answer in zip(requests, answers, strict=True)
            ]
        )
        # Logged after the answers: nobody counts a logged request as unanswered any more. The
        # owner of the log may take it away at any moment.
        if (log := self.log) is not None:
            arrivals_s = tuple(request.arrival_s for request in requests)
            log.append(BatchRecord(start_s, end_s, arrivals_s, device_s))

    def _lose(self, error: Exception) -> None:
        """Stop serving after an error; tell the current requests and the runtime."""
        first = self.error is None
        if first:
            self.error = error
        requests = self._take_current()
        self.busy_since_s = None
        try:
            call_all([partial(request.future.set_exception, self.loss()) for request in requests])
        finally:
            if first:
                self._lost(self)

    def _take_current(self) -> list[Request]:
        with self._current_lock:
            requests, self._current = self._current, []
        return requests

    def _answers(self, outputs: Arrays, count: int) -> list[NamedArrays]:
        """Split the outputs by request; an output without batch dimension belongs to all."""
        size = self._network.fixed_batch or count
        names = self._output_names
        rows = [
            output
            if output.ndim and len(output) == size and not spec.shared
            else np.broadcast_to(output, (count, *output.shape))
            for output, spec in zip(outputs, self._network.outputs, strict=True)
        ]
        return [
            {name: output[row] for name, output in zip(names, rows, strict=True)}
            for row in range(count)
        ]

    def _stack(self, requests: list[Request]) -> Arrays:
        """Return the inputs of requests as one batch, in the network's types.

        A network with a fixed batch runs a full one; its other rows are not read.
        """
        specs, buffers = self._network.inputs, self._buffers
        if len(requests) == 1 and self._network.fixed_batch in (None, 1):
            return [requests[0].values(at, spec.dtype)[None] for at, spec in enumerate(specs)]
        for row, request in enumerate(requests):
            for at, (buffer, spec) in enumerate(zip(buffers, specs, strict=True)):
                buffer[row] = request.values(at, spec.dtype)
        return [buffer[: self._network.fixed_batch or len(requests)] for buffer in buffers]


def call_all(callbacks: Sequence[Callable[[], None]]) -> None:
    """Call every callback, whatever the others raise.

    An exception that ends a thread (SystemExit in a user's callback) is raised at the end.
    """
    stop: BaseException | None = None
    for callback in callbacks:
        try:
            callback()
        except Exception:  # the owner set a result on the future
            logger.exception("an answer could not be given")
        except BaseException as error:
            stop = error
    if stop is not None:
        raise stop


def refuse(waiting: Sequence[Request], error: ConfigurationFailed) -> None:
    """Give an error to the requests whose answers are still wanted."""
    call_all(
        [partial(request.future.set_exception, error) for request in waiting if request.begin()]
    )


def no_answer(timeout_s: float) -> TimeoutError:
    """Return the error of an engine that hangs."""
    return TimeoutError(f"no answer within {timeout_s:g} s")


def failure_of(
    error: Exception, task: str, kind: FailureKind = FailureKind.BUILD_FAILED
) -> Failure:
    """Return a typed failure for an engine's error: `kind`, or out of memory if it says so."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    memory = isinstance(error, MemoryError) or any(
        word in text.lower() for word in ("alloc", "out of memory", "outofmemory")
    )
    return Failure(FailureKind.OUT_OF_MEMORY if memory else kind, f"{task}: {text}")
