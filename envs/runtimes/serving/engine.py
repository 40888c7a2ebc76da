"""The seam to engines: a loaded network that computes batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

#: How long stopping an instance, and its first batch of a size, wait for an engine.
STOP_TIMEOUT_S = 30.0

#: One array per input or output, in the network's order.
Arrays = Sequence[npt.NDArray[np.generic]]


class Progress(Protocol):
    """The progress of a build."""

    def describe(self) -> str:
        """Return it as one line: what is built, the phase, how long it took and may still take."""


#: Called now and then while an engine is built.
Step = Callable[[Progress], None]


class Engine(Protocol):
    """A loaded network that computes while `run` is called, as with ONNX Runtime.

    Each of its instances has a thread of its own.
    """

    def run(self, inputs: Arrays) -> Arrays:
        """Return outputs [b, ...] for inputs [b, ...], in the network's order."""

    def close(self) -> None:
        """Release everything."""


@runtime_checkable
class SegmentedEngine(Engine, Protocol):
    """An engine whose network runs as several parts one after the other."""

    def run_segments(self, inputs: Arrays, give_way: Callable[[], None]) -> Arrays:
        """Return outputs [b, ...] as `run` does; call `give_way` between two parts.

        That call returns when the next part may run.
        """


@runtime_checkable
class StreamEngine(Protocol):
    """A loaded network that computes on a stream of its own while no thread waits (TensorRT).

    One thread drives all its instances. `launch`, `done`, `result` follow each other and are never
    called from two threads at once, but not always from the same thread: each batch size runs
    first with zeros, in the thread that applies a configuration, where it may take its time
    (build, capture, allocate). An engine that raised stays usable for the sizes that have run.

    Three methods are optional:

    `buffers(batch) -> Arrays` is called in the applying thread before a batch size runs for the
    first time; the engine may allocate here. It returns host memory of the engine (pinned)
    [at least batch, ...], never less than before (except after `keep`). Batches are put together
    in it, so that the first b rows of it may already hold what `launch` is given.

    `elapsed_ms() -> float` returns the device's time for the batch that is done, by its events.

    `keep(batch) -> None` says that no other size is wanted any more, so that their memory on the
    device can be released. It is called while nothing is launched; if it raises, the instance is
    lost.
    """

    def launch(self, inputs: Arrays) -> None:
        """Copy inputs [b, ...] in, enqueue on the own non-blocking stream, record an event.

        Returns at once. Not called again before `result`.
        """

    def done(self) -> bool:
        """Return True if the launched batch has finished; never blocks. Raises its error."""

    def result(self) -> Arrays:
        """Return outputs [b, ...], waiting if necessary; later launches leave them alone."""

    def close(self) -> None:
        """Release everything, also after a failure. Never raises.

        Not called while a batch is launched.
        """


@runtime_checkable
class SegmentedStreamEngine(StreamEngine, Protocol):
    """A StreamEngine whose network runs as several parts, each of which can be launched alone.

    A batch that `launch_first` began is done, and `result` may be called, once no part is left and
    `done` is True.
    """

    @property
    def parts_left(self) -> int:
        """Return the parts of the batch that are not launched yet."""

    def launch_first(self, inputs: Arrays) -> None:
        """Copy inputs [b, ...] in and enqueue the first part; `done` then tells of this part."""

    def launch_next(self) -> None:
        """Enqueue the next part; not called before the one before is done."""


class ConvertingEngine(StreamEngine, Protocol):
    """A StreamEngine whose device takes other types or layouts than the network's.

    Its instance has a thread that converts, while the driver's thread launches. Two batches exist
    at most: one is converted, or its answers are read, while the other is on the device. `convert`
    and `answers` are called in the one thread, `launch_converted` and `done` in the other;
    `launch` and `result`, which are both, while there is no other batch.

    Attributes:
        converts: True.
        takes: the type of each input in memory, and the value of one step where INT8 numbers
            stand for real ones; such arrays are taken as they are.
    """

    converts: bool

    @property
    def takes(self) -> Sequence[tuple[str, float | None]]:
        """Return the types of the inputs in memory."""

    def convert(self, inputs: Arrays) -> Any:
        """Write inputs [b, ...] to memory that the device reads; return the batch."""

    def launch_converted(self, batch: Any) -> None:
        """Enqueue a converted batch and record an event; returns at once."""

    def answers(self, batch: Any) -> Arrays:
        """Return the outputs [b, ...] of a batch that is done; later ones leave them alone."""


def converts(engine: StreamEngine) -> TypeGuard[ConvertingEngine]:
    """Return True if an engine asks for a thread that converts."""
    return bool(getattr(engine, "converts", False))


class EngineFactory(Protocol):
    """Loads engines, in the thread that applies a configuration.

    One method is optional: `free_mib() -> float` returns the memory that the device's driver could
    still give; NaN where it does not tell.
    """

    def load(self, tenant: int, accelerator: int, threads: int) -> Engine | StreamEngine:
        """Load an engine; ConfigurationFailed where that is impossible."""

    def close(self) -> None:
        """Release everything; the engines have been closed before."""


class BuildingFactory(EngineFactory, Protocol):
    """A factory whose engines are built before they can be loaded.

    Methods may be called from two threads: one builds, the other loads and serves.
    """

    def build(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Build one engine, unless it is there; it may take minutes.

        Args:
            tenant: to serve.
            accelerator: where.
            batch: the largest that it will run.
            step: is called while the engine is built.

        Raises:
            ConfigurationFailed: it cannot be built.
        """

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if `build` has nothing to do."""

    def blocks(self, tenant: int, accelerator: int) -> int:
        """Return how many loadables of a DLA one engine takes; 1 where that is not known."""

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how INT8 was calibrated: the method (empty for none) and the number of samples."""

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Unload the engines of pairs (tenant, accelerator) that will not serve."""
