"""A StreamEngine of TensorRT: lanes of several batch sizes on one stream.

One of them works at a time.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any

from envs.runtimes.serving.engine import Arrays
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.lane import Lane
from envs.spec import Network


class TensorRTEngine:
    """One instance. A batch runs on the smallest lane that takes it.

    Args:
        cuda: the GPU.
        network: the network that it serves.
        lane_of: makes the lane for a batch size on a stream; ConfigurationFailed if there is no
            engine of that size.
        dropped: called when lanes have been closed, so that unused plans can be unloaded.
        released: called when everything has been released.
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
        """The placed layers by batch size; an engine that does not report them is left out."""
        return {
            batch: lane.layers
            for batch, lane in sorted(self._lanes.items())
            if lane.layers is not None
        }

    def buffers(self, batch: int) -> Arrays:
        """Prepare for a batch size; return memory in which the largest can be put together."""
        if batch not in self._lanes:
            with self._cuda.current():
                self._lanes[batch] = self._lane_of(batch, self._stream)
        return self._lanes[max(self._lanes)].gathering

    def keep(self, batch: int) -> None:
        """Release the lanes of all other batch sizes."""
        with self._cuda.current():
            self._at_work = None  # the result of a batch that failed is never fetched
            for other in [size for size in self._lanes if size != batch]:
                self._lanes.pop(other).close()
        self._dropped()

    def launch(self, inputs: Arrays) -> None:
        """Enqueue copies and one batch [b, ...]."""
        count = len(inputs[0])
        lane = self._lane(count)
        lane.write(inputs)
        with self._cuda.current():
            self._start.record(self._stream)
            lane.launch(count)
            self._end.record(self._stream)
        self._at_work = lane, count

    def done(self) -> bool:
        """Return True if the batch has finished."""
        with self._cuda.current():
            return bool(self._end.query())

    def result(self) -> Arrays:
        """Wait for the outputs [b, ...]."""
        if self._at_work is None:
            raise RuntimeError("nothing was launched")
        (lane, count), self._at_work = self._at_work, None
        with self._cuda.current():
            self._end.synchronize()
        return lane.read(count)

    def elapsed_ms(self) -> float:
        """Return the device time of the last batch, copies included; NaN if unknown."""
        with contextlib.suppress(Exception), self._cuda.current():
            return float(self._start.time_till(self._end))
        return math.nan

    def close(self) -> None:
        """Release everything, once; never raise."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception), self._cuda.current():
            self._at_work = None  # the result of a batch that failed is never fetched
            # No lane may hold the stream: pycuda destroys it only where its context is current.
            while self._lanes:
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
