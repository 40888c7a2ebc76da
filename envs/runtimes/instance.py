"""An instance: one engine, one thread that feeds it from its tenant's queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from envs.measurement import ConfigurationFailed, Failure, FailureKind
from envs.network import Network
from envs.runtimes.queue import Answer, Request, RequestQueue, clock

#: How long stopping waits for the batch at hand.
STOP_TIMEOUT_S = 30.0

Arrays = Sequence[npt.NDArray[np.generic]]


class Engine(Protocol):
    """A loaded network on one accelerator: what a leaf (ONNX Runtime, TensorRT) has to bring."""

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs [b, ...] for inputs [b, ...], in the network's order."""
        ...

    def close(self) -> None: ...


class EngineFactory(Protocol):
    """Loads engines; ConfigurationFailed where that is impossible."""

    def load(self, tenant: int, accelerator: int, threads: int) -> Engine: ...

    def close(self) -> None: ...


class BatchRecord(NamedTuple):
    """One batch that was served: seconds of the clock, and each request's arrival."""

    start_s: float
    end_s: float
    arrivals_s: tuple[float, ...]


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


class Instance:
    """Serves from `queue` until stopped; the batch it was working on is always finished.

    Attributes:
        log: batches served since `watch`, None while nobody watches.
        error: what the engine raised, if it did; the instance then serves no more.
    """

    def __init__(self, slot: Slot, engine: Engine, network: Network, queue: RequestQueue, lost: Callable[[Instance], None]) -> None:
        self.slot = slot
        self.log: list[BatchRecord] | None = None
        self.error: Exception | None = None
        self.busy_since_s: float | None = None
        self._engine = engine
        self._network = network
        self._output_names = [spec.name for spec in network.outputs]
        self._queue = queue
        self._lost = lost
        self._stopping = False
        self._running = threading.Lock()
        self._buffers: list[npt.NDArray[np.generic]] = []
        self._proven = 0
        self._thread = threading.Thread(target=self._serve, name=f"instance-{slot.engine_key}", daemon=True)

    def start(self) -> None:
        self.prove(self.slot.batch)
        self._thread.start()

    def prove(self, batch: int) -> None:
        """Run one batch of this size unless a larger one has run: nobody's request pays for the first, or finds out that it is impossible."""
        if batch <= self._proven:
            return
        buffers = [np.zeros((batch, *spec.shape), dtype=spec.dtype) for spec in self._network.inputs]
        with self._running:
            try:
                self._engine.run(buffers)
            except Exception as error:
                raise ConfigurationFailed(failure_of(error, f"{self._network.name} cannot run a batch of {batch}")) from error
            self._buffers, self._proven = buffers, batch

    def resize(self, slot: Slot) -> None:
        """Take batches of another, proven size from the next one on."""
        self.slot = slot
        self._queue.wake()

    def abandon(self, error: Exception) -> None:
        """Give up on an engine that does not answer: nothing waits for it any more."""
        self.error = error
        self._stopping = True

    def watch(self) -> None:
        self.log = []

    def stop(self) -> None:
        """Finish the batch at hand and release the engine."""
        self._stopping = True
        self._queue.wake()
        if self._thread.ident is not None:
            self._thread.join(0.0 if isinstance(self.error, TimeoutError) else STOP_TIMEOUT_S)
        if not self._thread.is_alive():  # an engine that hangs is left to it: releasing what it works on would crash
            self._engine.close()

    def _serve(self) -> None:
        while not self._stopping and self.error is None:
            requests = self._queue.take(lambda: self.slot.batch, lambda: self._stopping)
            if requests is not None:
                self._run([request for request in requests if request.future.set_running_or_notify_cancel()])

    def _run(self, requests: list[Request]) -> None:
        if not requests:
            return
        self.busy_since_s = start_s = clock()
        try:
            with self._running:
                outputs = self._engine.run(self._stack(requests))
            answers = self._answers(outputs, len(requests))
        except Exception as error:
            self.error = error
            self.busy_since_s = None
            for request in requests:
                request.future.set_exception(self.loss())
            self._lost(self)
            return
        if self.log is not None:
            self.log.append(BatchRecord(start_s, clock(), tuple(request.arrival_s for request in requests)))
        self.busy_since_s = None
        for request, answer in zip(requests, answers, strict=True):
            request.future.set_result(answer)

    def loss(self) -> ConfigurationFailed:
        """What the requests of a lost instance are told."""
        error = self.error or RuntimeError("it stopped")
        return ConfigurationFailed(failure_of(error, f"an instance of {self._network.name} was lost", FailureKind.INSTANCE_LOST))

    def _answers(self, outputs: Arrays, count: int) -> list[Answer]:
        """Each request's row of every output; an output that has no batch dimension belongs to all of them."""
        size = self._network.fixed_batch or count
        names = self._output_names
        rows = [output if output.ndim and len(output) == size else np.broadcast_to(output, (count, *output.shape)) for output in outputs]
        return [{name: output[row] for name, output in zip(names, rows, strict=True)} for row in range(count)]

    def _stack(self, requests: list[Request]) -> Arrays:
        if len(requests) == 1 and self._network.fixed_batch in (None, 1):
            return [array[None] for array in requests[0].inputs]
        buffers = self._buffers
        for row, request in enumerate(requests):
            for buffer, array in zip(buffers, request.inputs, strict=True):
                buffer[row] = array
        # A network with a fixed batch runs a full one, the rest of which nobody reads.
        return [buffer[: self._network.fixed_batch or len(requests)] for buffer in buffers]


def failure_of(error: Exception, what: str, kind: FailureKind = FailureKind.BUILD_FAILED) -> Failure:
    """A typed failure from whatever an engine raised."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    memory = isinstance(error, MemoryError) or "alloc" in text.lower()
    return Failure(FailureKind.OUT_OF_MEMORY if memory else kind, f"{what}: {text}")
