"""A StreamEngine of TensorRT: lanes of several batch sizes on one stream, of which one is at work at a time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

from envs.runtimes.serving.engine import Arrays
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.lane import Lane
from envs.spec.network import Network


class TensorRTEngine:
    """One instance. A batch runs on the smallest lane that takes it.

    Args:
        lane_of: makes the lane for a batch size on a stream; ConfigurationFailed where there is no engine of that size.
        dropped: is told when lanes have been closed, so that what nobody uses any more can go.
        released: is told when everything has been released.
    """

    def __init__(
        self,
        cuda: Cuda,
        network: Network,
        lane_of: Callable[[int, Any], Lane],
        dropped: Callable[[], None],
        released: Callable[[], None],
    ) -> None:
        self._cuda, self._network, self._lane_of = cuda, network, lane_of
        self._dropped, self._released = dropped, released
        self._lanes: dict[int, Lane] = {}
        self._at_work: tuple[Lane, int] | None = None
        self._closed = False
        with cuda.current():
            self._stream = cuda.stream()
            self._start, self._end = cuda.event(), cuda.event()

    @property
    def layers(self) -> dict[int, PlacedLayers]:
        """By batch size, where the layers run; what the engine does not tell is left out."""
        return {
            batch: lane.layers
            for batch, lane in sorted(self._lanes.items())
            if lane.layers is not None
        }

    def buffers(self, batch: int) -> Arrays:
        """Gets ready for this size of batch; returns memory in which batches of up to the largest size can be put together."""
        if batch not in self._lanes:
            with self._cuda.current():
                self._lanes[batch] = self._lane_of(batch, self._stream)
        return self._lanes[max(self._lanes)].gathering

    def keep(self, batch: int) -> None:
        with self._cuda.current():
            self._at_work = None  # a batch that failed is never collected
            for other in [size for size in self._lanes if size != batch]:
                self._lanes.pop(other).close()
        self._dropped()

    def launch(self, inputs: Arrays) -> None:
        count = len(inputs[0])
        lane = self._lane(count)
        lane.write(inputs)
        with self._cuda.current():
            self._start.record(self._stream)
            lane.launch(count)
            self._end.record(self._stream)
        self._at_work = lane, count

    def done(self) -> bool:
        with self._cuda.current():
            return bool(self._end.query())

    def result(self) -> Arrays:
        if self._at_work is None:
            raise RuntimeError("nothing was launched")
        (lane, count), self._at_work = self._at_work, None
        with self._cuda.current():
            self._end.synchronize()
        return lane.read(count)

    def elapsed_ms(self) -> float:
        """Device time of the last batch, copies included."""
        with contextlib.suppress(Exception), self._cuda.current():
            return float(self._start.time_till(self._end))
        return math.nan

    def close(self) -> None:
        """Releases everything, once; never raises."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception), self._cuda.current():
            self._at_work = None  # a batch that failed is never collected
            while self._lanes:  # none is left to hold the stream, which pycuda destroys only where its context is current
                self._lanes.popitem()[1].close()
            del self._stream, self._start, self._end
        self._dropped()
        self._released()

    def _lane(self, count: int) -> Lane:
        fits = [batch for batch in self._lanes if batch >= count]
        if not fits:
            self.buffers(count)
            return self._lanes[count]
        return self._lanes[min(fits)]
