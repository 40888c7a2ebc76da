"""A StreamEngine of TensorRT: lanes of several batch sizes on one stream.

One of them works at a time.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from envs.runtimes.serving.engine import Arrays
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.lane import Lane
from envs.runtimes.tensorrt.staged_lane import StagedLane
from envs.spec import Network


@dataclass(frozen=True)
class LaneBatch:
    """A batch in the pinned memory of a lane.

    Attributes:
        lane: runs it.
        count: its samples.
        place: the lane's set of host memory that it lies in.
    """

    lane: Lane | StagedLane
    count: int
    place: int


class TensorRTEngine:
    """One instance. A batch runs on the smallest lane that takes it.

    Where inputs or outputs have another type or layout in memory than the network's (`converts`),
    its lanes have two sets of host memory: one is filled and read in a thread of the instance's own
    (`convert`, `answers`) while the other is on the device.

    Args:
        cuda: the GPU.
        network: the network that it serves.
        lane_of: makes the lane for a batch size on a stream; ConfigurationFailed if there is no
            engine of that size.
        dropped: called when lanes have been closed, so that unused plans can be unloaded.
        released: called when everything has been released.
        converts: whether its lanes have two sets of host memory.
        where: its accelerator, for remarks.

    Attributes:
        converts: see above.
    """

    def __init__(
        self,
        cuda: Cuda,
        network: Network,
        lane_of: Callable[[int, Any], Lane | StagedLane],
        dropped: Callable[[], None],
        released: Callable[[], None],
        converts: bool = False,
        where: str = "",
    ) -> None:
        self._cuda, self._network, self._lane_of = cuda, network, lane_of
        self._dropped, self._released = dropped, released
        self.converts, self._where = converts, where
        self._place = 0
        self._lanes: dict[int, Lane | StagedLane] = {}
        self._at_work: LaneBatch | None = None
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

    def remarks(self) -> list[str]:
        """Return what the user should know of how it runs, each once."""
        lanes = [lane for _, lane in sorted(self._lanes.items())]
        found = [
            f"no CUDA graphs for {self._network.name} on {self._where}: {lane.graph_refused}"
            for lane in lanes
            if lane.graph_refused
        ]
        found += [
            f"{name} of {self._network.name} on {self._where} is linear: it has {size} dimensions"
            for lane in lanes
            for name, size in lane.linear
        ]
        return list(dict.fromkeys(found))

    @property
    def takes(self) -> list[tuple[str, float | None]]:
        """The type of each input in memory, and the value of one step if that stands for reals."""
        return self._lanes[max(self._lanes)].takes

    def convert(self, inputs: Arrays) -> LaneBatch:
        """Write inputs [b, ...] to pinned memory; with `converts`, the other set than before."""
        count = len(inputs[0])
        lane = self._lane(count)
        if self.converts:
            self._place = 1 - self._place
        lane.write(inputs, self._place)
        return LaneBatch(lane, count, self._place)

    def launch_converted(self, batch: LaneBatch) -> None:
        """Enqueue copies and a converted batch."""
        with self._cuda.current():
            self._start.record(self._stream)
            batch.lane.launch(batch.count, batch.place)
            self._end.record(self._stream)
        self._at_work = batch

    def answers(self, batch: LaneBatch) -> Arrays:
        """Return the outputs [b, ...] of a batch that is done."""
        return batch.lane.read(batch.count, batch.place)

    def launch(self, inputs: Arrays) -> None:
        """Enqueue copies and one batch [b, ...]."""
        self.launch_converted(self.convert(inputs))

    def done(self) -> bool:
        """Return True if the batch has finished."""
        with self._cuda.current():
            return bool(self._end.query())

    def result(self) -> Arrays:
        """Wait for the outputs [b, ...]."""
        if self._at_work is None:
            raise RuntimeError("nothing was launched")
        batch, self._at_work = self._at_work, None
        with self._cuda.current():
            self._end.synchronize()
        return self.answers(batch)

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

    def _lane(self, count: int) -> Lane | StagedLane:
        fits = [batch for batch in self._lanes if batch >= count]
        if not fits:
            self.buffers(count)
            return self._lanes[count]
        return self._lanes[min(fits)]
