"""A SegmentedStreamEngine of TensorRT: lanes of several batch sizes on one stream.

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
from envs.runtimes.tensorrt.instance_streams import InstanceStream
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
        stream_of: makes its stream.
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
        stream_of: Callable[[], InstanceStream],
        converts: bool = False,
        where: str = "",
    ) -> None:
        self._cuda, self._network, self._lane_of = cuda, network, lane_of
        self._dropped, self._released = dropped, released
        self.converts, self._where = converts, where
        self._place = 0
        self._lanes: dict[int, Lane | StagedLane] = {}
        self._at_work: LaneBatch | None = None
        #: Of the batch at work: parts to be launched, and the device time of those before.
        self._left: list[Lane] = []
        self._earlier_ms = 0.0
        self._closed = False
        with cuda.current():
            self._on = stream_of()

    @property
    def layers(self) -> dict[int, PlacedLayers]:
        """Return the placed layers by batch size, of engines that report them."""
        return {
            batch: lane.layers
            for batch, lane in sorted(self._lanes.items())
            if lane.layers is not None
        }

    def buffers(self, batch: int) -> Arrays:
        """Prepare for a batch size; return memory in which the largest can be put together."""
        if batch not in self._lanes:
            with self._cuda.current():
                self._lanes[batch] = self._lane_of(batch, self._on.stream)
        return self._lanes[max(self._lanes)].gathering

    def keep(self, batch: int) -> None:
        """Release the lanes of all other batch sizes."""
        with self._cuda.current():
            self._forget()
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
        """Return the type of each input in memory, and the value of a step if it has one."""
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
        self._begin(batch)
        self._enqueue(batch, len(self._left))

    @property
    def parts_left(self) -> int:
        """Return the parts of the batch that are not launched yet."""
        return len(self._left)

    def launch_first(self, inputs: Arrays) -> None:
        """Enqueue the copies of a batch [b, ...] and its first part."""
        batch = self.convert(inputs)
        self._begin(batch)
        self._enqueue(batch, 1)

    def launch_next(self) -> None:
        """Enqueue the next part, when the one before is done."""
        assert self._at_work is not None, "nothing was launched"
        self._earlier_ms = self.elapsed_ms()
        self._enqueue(self._at_work, 1)

    def answers(self, batch: LaneBatch) -> Arrays:
        """Return the outputs [b, ...] of a batch that is done."""
        return batch.lane.read(batch.count, batch.place)

    def launch(self, inputs: Arrays) -> None:
        """Enqueue copies and one batch [b, ...]."""
        self.launch_converted(self.convert(inputs))

    def done(self) -> bool:
        """Return True if the batch has finished."""
        with self._cuda.current():
            return bool(self._on.end.query())

    def result(self) -> Arrays:
        """Wait for the outputs [b, ...]."""
        if self._at_work is None:
            raise RuntimeError("nothing was launched")
        batch, self._at_work = self._at_work, None
        with self._cuda.current():
            self._on.end.synchronize()
        return self.answers(batch)

    def elapsed_ms(self) -> float:
        """Return the device time of the last batch, copies included; NaN if unknown.

        Time between two parts that were launched one by one is left out.
        """
        with contextlib.suppress(Exception), self._cuda.current():
            return self._earlier_ms + float(self._on.start.time_till(self._on.end))
        return math.nan

    def close(self) -> None:
        """Release everything, once; never raise."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception), self._cuda.current():
            self._forget()
            # No lane may hold the stream: pycuda destroys it only where its context is current.
            while self._lanes:
                self._lanes.popitem()[1].close()
            self._on.close()
        self._dropped()
        self._released()

    def _forget(self) -> None:
        """Drop a batch that failed: its result is never fetched."""
        self._at_work, self._left = None, []

    def _begin(self, batch: LaneBatch) -> None:
        self._left, self._earlier_ms = list(batch.lane.parts), 0.0

    def _enqueue(self, batch: LaneBatch, parts: int) -> None:
        """Launch the next parts of a batch; if that fails, none is left."""
        launched, left, self._left = self._left[:parts], self._left[parts:], []
        with self._cuda.current():
            self._on.start.record(self._on.stream)
            for lane in launched:
                lane.launch(batch.count, batch.place)
            self._on.end.record(self._on.stream)
        self._left, self._at_work = left, batch

    def _lane(self, count: int) -> Lane | StagedLane:
        fits = [batch for batch in self._lanes if batch >= count]
        if not fits:
            self.buffers(count)
            return self._lanes[count]
        return self._lanes[min(fits)]
