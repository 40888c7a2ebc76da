"""A lane of several engines, one after the other, whose tensors in between stay on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from envs.runtimes.serving.engine import Arrays
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.lane import Lane
from envs.spec import Network

#: Makes the lane of a part on the instance's stream, from the memory on the device of inputs that
#: are there already, by name.
LaneOfPart = Callable[[int, Mapping[str, Any]], Lane]


class StagedLane:
    """Runs the parts of a network on one stream, as a `Lane` runs a whole one.

    They are parts of a mapping or segments.

    The stream keeps their order. A tensor that crosses from part to part is copied to the device
    or made there once, and read there by all later parts.

    Args:
        network: the whole network.
        parts: [P] the networks of its parts.
        lane_of: makes their lanes, in order.
    """

    def __init__(self, network: Network, parts: Sequence[Network], lane_of: LaneOfPart) -> None:
        self._network, self._parts = network, parts
        self._lanes: list[Lane] = []
        #: By part: the inputs of the network that are copied to the device there.
        self._copied: list[list[str]] = []
        on_device: dict[str, Any] = {}
        try:
            for position, part in enumerate(parts):
                read = [spec.name for spec in part.inputs]
                held = {name: on_device[name] for name in read if name in on_device}
                lane = lane_of(position, held)
                self._lanes.append(lane)
                self._copied.append([name for name in read if name not in held])
                on_device |= lane.device
        except BaseException:
            self.close()
            raise

    @property
    def layers(self) -> PlacedLayers | None:
        """Return the placed layers of all parts; None if an engine does not report them."""
        found = [lane.layers for lane in self._lanes]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return None
        return PlacedLayers(
            tuple(name for each in known for name in each.dla),
            tuple(name for each in known for name in each.gpu),
            tuple(name for each in known for name in each.copies),
        )

    @property
    def linear(self) -> list[tuple[str, int]]:
        """Return nothing: no part has the formats of a DLA at its border."""
        return []

    @property
    def graph_refused(self) -> str:
        """Return why a part has no CUDA graph; empty if all have one, or none was wanted."""
        return next((lane.graph_refused for lane in self._lanes if lane.graph_refused), "")

    @property
    def gathering(self) -> list[npt.NDArray[Any]]:
        """Return arrays [batch, ...] of each input, in which batches are put together."""
        return self._by_input([lane.gathering for lane in self._lanes])

    @property
    def takes(self) -> list[tuple[str, float | None]]:
        """Return the type of each input in memory, and the value of a step if it has one."""
        return self._by_input([lane.takes for lane in self._lanes])

    def write(self, inputs: Arrays, place: int = 0) -> None:
        """Put inputs [n, ...] into pinned memory, unless they are there already."""
        given = {spec.name: each for spec, each in zip(self._network.inputs, inputs, strict=True)}
        for lane, names in zip(self._lanes, self._copied, strict=True):
            lane.write([given[name] for name in names], place)

    @property
    def parts(self) -> tuple[Lane, ...]:
        """Return the lanes of the parts, in the order in which they have to be launched."""
        return tuple(self._lanes)

    def read(self, count: int, place: int = 0) -> list[npt.NDArray[Any]]:
        """Return a copy of the outputs [count, ...] of the finished batch."""
        found: dict[str, npt.NDArray[Any]] = {}
        outputs = [spec.name for spec in self._network.outputs]
        for lane, part in zip(self._lanes, self._parts, strict=True):
            names = [spec.name for spec in part.outputs if spec.name in outputs]
            found |= dict(zip(names, lane.read(count, place), strict=True))
        return [found[name] for name in outputs]

    def close(self) -> None:
        """Release everything, the last part first; never raise."""
        while self._lanes:
            self._lanes.pop().close()

    def _by_input(self, by_lane: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what lanes have for the inputs that they copy, in the order of the network's."""
        found = {
            name: value
            for names, values in zip(self._copied, by_lane, strict=True)
            for name, value in zip(names, values, strict=True)
        }
        return [found[spec.name] for spec in self._network.inputs]
