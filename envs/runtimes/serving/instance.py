"""An instance: an engine that serves batches from its tenant's queue. What drives it stands in `threads` (its own thread) and `streams` (one for all)."""

from __future__ import annotations

import logging
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from envs.runtimes.serving.queue import Answer, Request, RequestQueue, clock
from envs.spec.measurement import ConfigurationFailed, Failure, FailureKind
from envs.spec.network import Network

#: How long stopping, and proving a batch, wait for the batch at hand.
STOP_TIMEOUT_S = 30.0

logger = logging.getLogger(__name__)

Arrays = Sequence[npt.NDArray[np.generic]]


class Engine(Protocol):
    """A loaded network that computes while `run` is called: ONNX Runtime. Each of its instances has a thread of its own."""

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs [b, ...] for inputs [b, ...], in the network's order."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class StreamEngine(Protocol):
    """A loaded network that computes on a stream of its own while nobody waits: TensorRT, PyTorch. One thread drives all its instances.

    `launch`, `done`, `result` follow each other and are never called from two threads at once, but not always from the same thread: a size of
    batch runs first, with zeros, in the thread that applies a configuration, where it may take its time (build, capture, allocate).
    An engine that raised stays usable for the sizes that have run before.

    Three things are optional. `buffers(batch) -> Arrays` is called before a size of batch runs for the first time, in the thread that applies: what it
    takes to run that size can be made here. It returns host memory of the engine (pinned) [at least batch, ...], never less than before (but after
    `keep`), in which batches are put together, so that what `launch` is given may lie there already (the first b rows).
    `elapsed_ms() -> float`: how long the device took for the batch that is done, by its own events.
    `keep(batch) -> None`: no other size is wanted any more; what they took on the device can be released. Called while nothing is launched; where it
    raises, the instance is lost.
    """

    def launch(self, inputs: Arrays) -> None:
        """Copy inputs [b, ...] in, enqueue on the own non-blocking stream, record an event; returns at once. Not called again before `result`."""
        ...

    def done(self) -> bool:
        """Whether what was launched has finished: an event query that never blocks. Raises what went wrong."""
        ...

    def result(self) -> Arrays:
        """Outputs [b, ...], in memory that later launches leave alone; waits if it must."""
        ...

    def close(self) -> None:
        """Release everything; also after a failure. Not called while something is launched. Never raises."""
        ...


class EngineFactory(Protocol):
    """Loads engines; ConfigurationFailed where that is impossible. Called by the thread that applies a configuration."""

    def load(self, tenant: int, accelerator: int, threads: int) -> Engine | StreamEngine: ...

    def close(self) -> None: ...


class BatchRecord(NamedTuple):
    """One batch that was served: seconds of the host's clock, each request's arrival, and seconds on the device by its own events, NaN if unknown."""

    start_s: float
    end_s: float
    arrivals_s: tuple[float, ...]
    device_s: float = math.nan


@dataclass(frozen=True)
class Slot:
    """What an instance is for. Everything but the batch is fixed when its engine is loaded."""

    tenant: int
    accelerator: int
    threads: int
    batch: int

    @property
    def engine_key(self) -> tuple[int, int, int]:
        return self.tenant, self.accelerator, self.threads


class Instance(ABC):
    """Serves from `queue` until stopped; the batch it was working on is always finished.

    Attributes:
        log: batches served since `watch`, None while nobody watches.
        error: what the engine raised, if it did; the instance then serves no more.
        busy_since_s: when the batch at hand began, None between batches.
    """

    def __init__(
        self, slot: Slot, network: Network, queue: RequestQueue, lost: Callable[[Instance], None]
    ) -> None:
        self.slot = slot
        self.log: list[BatchRecord] | None = None
        self.error: Exception | None = None
        self.busy_since_s: float | None = None
        self._network = network
        self._output_names = [spec.name for spec in network.outputs]
        self._queue = queue
        self._lost = lost
        self._stopping = False
        #: Held while the engine works on anything.
        self._running = threading.Lock()
        #: Who is waiting for the batch at hand; taken out by whoever answers them first, under the lock.
        self._hand: list[Request] = []
        self._handing = threading.Lock()
        self._buffers: Arrays = ()
        self._proven: set[int] = set()

    @abstractmethod
    def start(self) -> None:
        """Prove the batch, then serve."""

    @abstractmethod
    def stop(self) -> None:
        """Finish the batch at hand and release the engine."""

    @abstractmethod
    def _compute(self, inputs: Arrays) -> None:
        """Run one batch to its end, in the calling thread."""

    def prove(self, batch: int) -> None:
        """Run one batch of this size unless one has run: nobody's request pays for the first, or finds out that it is impossible."""
        if batch in self._proven:
            return
        what = f"{self._network.name} cannot run a batch of {batch}"
        if not self._running.acquire(timeout=STOP_TIMEOUT_S):
            self.abandon(TimeoutError(f"no answer within {STOP_TIMEOUT_S:g} s"))
            raise ConfigurationFailed(
                Failure(FailureKind.TIMED_OUT, f"{what}: the batch before it does not end")
            )
        try:
            buffers = self._allocate(batch)
            self._compute([buffer[:batch] for buffer in buffers])
            self._buffers = buffers
            self._proven.add(batch)
        except Exception as error:
            kind = (
                FailureKind.TIMED_OUT
                if isinstance(error, TimeoutError)
                else FailureKind.BUILD_FAILED
            )
            raise ConfigurationFailed(failure_of(error, what, kind)) from error
        finally:
            self._running.release()

    def resize(self, slot: Slot) -> None:
        """Take batches of another, proven size from the next one on."""
        self.slot = slot
        self._queue.wake()

    def abandon(self, error: Exception) -> None:
        """Give up on an engine that does not answer: nothing waits for it any more."""
        self._stopping = True
        self._lose(error)

    def in_hand(self) -> list[Request]:
        """The requests of the batch it is working on."""
        with self._handing:
            return list(self._hand)

    def watch(self) -> None:
        self.log = []

    def loss(self) -> ConfigurationFailed:
        """What the requests of a lost instance are told."""
        error = self.error or RuntimeError("it stopped")
        return ConfigurationFailed(
            failure_of(
                error, f"an instance of {self._network.name} was lost", FailureKind.INSTANCE_LOST
            )
        )

    def _allocate(self, batch: int) -> Arrays:
        """Arrays [at least batch, ...], one for each input, in which batches are put together."""
        if self._buffers and len(self._buffers[0]) >= batch:
            return self._buffers
        return [np.zeros((batch, *spec.shape), dtype=spec.dtype) for spec in self._network.inputs]

    def _begin(self, requests: list[Request]) -> Arrays:
        """Take these requests in hand; returns their inputs as one batch."""
        with self._handing:
            self._hand = requests
        self.busy_since_s = clock()
        return self._stack(requests)

    def _finish(self, start_s: float, outputs: Arrays, device_s: float = math.nan) -> None:
        """Answer the requests in hand, if they have not been told yet that the instance is given up."""
        answers = self._answers(outputs, len(self._hand))
        requests = self._let_go()
        if not requests:
            return
        end_s = clock()
        settle(
            [
                partial(request.future.set_result, answer)
                for request, answer in zip(requests, answers, strict=True)
            ]
        )
        # Afterwards: a request that is in the log has no one who still counts it as unanswered. Whoever watches may stop at any moment.
        if (log := self.log) is not None:
            log.append(
                BatchRecord(
                    start_s, end_s, tuple(request.arrival_s for request in requests), device_s
                )
            )
        self.busy_since_s = None

    def _lose(self, error: Exception) -> None:
        """The engine is of no more use: say so to those whose requests are in hand, and to the runtime."""
        first = self.error is None
        if first:
            self.error = error
        requests = self._let_go()
        self.busy_since_s = None
        try:
            settle([partial(request.future.set_exception, self.loss()) for request in requests])
        finally:
            if first:
                self._lost(self)

    def _let_go(self) -> list[Request]:
        with self._handing:
            requests, self._hand = self._hand, []
        return requests

    def _answers(self, outputs: Arrays, count: int) -> list[Answer]:
        """Each request's row of every output; an output that has no batch dimension belongs to all of them."""
        size = self._network.fixed_batch or count
        names = self._output_names
        rows = [
            output
            if output.ndim and len(output) == size
            else np.broadcast_to(output, (count, *output.shape))
            for output in outputs
        ]
        return [
            {name: output[row] for name, output in zip(names, rows, strict=True)}
            for row in range(count)
        ]

    def _stack(self, requests: list[Request]) -> Arrays:
        if len(requests) == 1 and self._network.fixed_batch in (None, 1):
            return [array[None] for array in requests[0].inputs]
        buffers = self._buffers
        for row, request in enumerate(requests):
            for buffer, array in zip(buffers, request.inputs, strict=True):
                buffer[row] = array
        # A network with a fixed batch runs a full one, the rest of which nobody reads.
        return [buffer[: self._network.fixed_batch or len(requests)] for buffer in buffers]


def settle(tellings: Sequence[Callable[[], None]]) -> None:
    """Tell everybody, whatever one of them makes of it; what is meant to end a thread (SystemExit in a callback) does so afterwards."""
    stop: BaseException | None = None
    for tell in tellings:
        try:
            tell()
        except Exception:  # its owner has settled the future himself
            logger.exception("an answer could not be given")
        except BaseException as error:
            stop = error
    if stop is not None:
        raise stop


def failure_of(
    error: Exception, what: str, kind: FailureKind = FailureKind.BUILD_FAILED
) -> Failure:
    """A typed failure from whatever an engine raised."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    memory = isinstance(error, MemoryError) or any(
        word in text.lower() for word in ("alloc", "out of memory")
    )
    return Failure(FailureKind.OUT_OF_MEMORY if memory else kind, f"{what}: {text}")
