"""Cut a network into segments whose answers are equal to the whole network's to the bit.

ONNX Runtime fuses nodes, and chooses the layout of tensors, by what stands around a node, so that
parts of the file would round differently from the whole (a residual that is added inside a
convolution, a normalization that becomes one). The graph that is cut is therefore the one that ONNX
Runtime made of the whole file, and its parts run as they are: the same kernels in the same order.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from envs.accuracy.reference import reason_of
from envs.accuracy.samples import Samples, invented
from envs.arrays import NamedArrays
from envs.errors import NetworkError, TunerError
from envs.graph.flow import Flow, flow_of
from envs.graph.folding import LoadingError
from envs.graph.onnx_file import MAX_MESSAGE_BYTES, in_order, load_weights
from envs.graph.segments import Segment, balanced, segments_of
from envs.graph.value_types import value_types
from envs.optional import optional_import
from envs.runtimes.onnxruntime.sessions import Array, Chain, open_session, options_of
from envs.spec import Network, available_cores

#: Samples on which answers are compared: one alone, and all of them as a batch.
COMPARED = 3

#: Runs in which the nodes are timed, after one that is not.
TIMED_RUNS = 5

#: Most tensors that cross a cut. They pass from part to part without a copy.
MAX_TENSORS = 8


class Cutting(NamedTuple):
    """A network in segments.

    Attributes:
        segments: [K], none where the network stays whole. Their nodes run as they are.
        times_ms: [K] of each at a batch of one, or of the network's fixed size, on this computer.
        equal: False if the network stays whole because answers of its segments would differ.
    """

    segments: list[Segment]
    times_ms: tuple[float, ...]
    equal: bool = True


def cut(path: Path, network: Network, count: int, samples: Samples | None = None) -> Cutting:
    """Cut a network into at most `count` segments that take as equally long as its cuts allow.

    Their answers have been compared with the whole network's on samples, to the bit. A network that
    draws random numbers stays whole: ONNX Runtime seeds a node by its place in its file.

    Args:
        path: the file that is served.
        network: its description.
        count: of segments, from 1.
        samples: to compare answers on; None for invented ones.

    Raises:
        NetworkError: the network is too large to be cut, or ONNX Runtime cannot run it.
        DependencyError: onnx or onnxruntime is not installed.
    """
    if network.weight_bytes > MAX_MESSAGE_BYTES:
        raise NetworkError(
            f"{path} has more than 2 GB of weights and cannot be cut: run it in one piece"
        )
    try:
        return _cut(path, network, count, samples)
    except TunerError:
        raise
    except Exception as error:  # the errors of ONNX Runtime have no common base
        raise NetworkError(
            f"{path} cannot be cut ({reason_of(error)}): run it in one piece"
        ) from error


def _cut(path: Path, network: Network, count: int, samples: Samples | None) -> Cutting:
    threads, halves = available_cores(), network.float_type != "float32"
    feeds = _feeds(network, samples)
    outputs = [spec.name for spec in network.outputs]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "optimised.onnx"
        options = options_of(threads, halves)
        options.optimized_model_filepath = str(target)
        whole = open_session(path, options)
        model = optional_import("onnx", "networks").load(str(target), load_external_data=False)
        load_weights(model, path)  # what was left in other files lies beside the network still
        in_order(model)
        times_us = _timed(model, Path(folder), threads, feeds[-1])
    flow = flow_of(model)
    costs = [times_us.get(node.name, 0.0) for node in flow.nodes]
    positions, kinds = _cuts(flow)
    bounds = [0, *positions, len(costs)]
    merged = [sum(costs[start:stop]) for start, stop in pairwise(bounds)]
    parts = balanced(merged, count)
    times_ms = tuple(
        sum(merged[start:stop]) / 1e3 for start, stop in pairwise([*parts, len(merged)])
    )
    if len(parts) == 1:
        return Cutting([], times_ms)
    segments = segments_of(flow, model, [bounds[part] for part in parts], kinds)
    # Numbers that are drawn agree by chance, where a node has the same place in both files.
    if flow.draws or not _equal(whole, segments, threads, feeds, outputs):
        return Cutting([], (sum(times_ms),), equal=False)
    return Cutting(segments, times_ms)


def _feeds(network: Network, samples: Samples | None) -> list[NamedArrays]:
    """Return inputs by name: a batch, and one sample alone where any batch is possible."""
    chosen = invented(network, COMPARED) if samples is None else samples.take(slice(COMPARED))
    if network.fixed_batch is not None:
        return list(chosen.feeds(network.fixed_batch, exact=True))
    return [*chosen.feeds(COMPARED), *chosen.take(slice(1)).feeds(1)]


def _timed(model: Any, folder: Path, threads: int, feed: NamedArrays) -> dict[str, float]:
    """Return the mean time of each node [us] by its name, which it gets here.

    The nodes are also put in the order in which ONNX Runtime runs them.
    """
    for position, node in enumerate(model.graph.node):
        node.name = f"node{position}"
    options = options_of(threads, as_it_is=True)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = open_session(model.SerializeToString(), options)
    for _ in range(1 + TIMED_RUNS):
        session.run(None, feed)
    events = json.loads(Path(session.end_profiling()).read_text())
    runs: dict[str, list[float]] = {}
    for event in events:
        name, kind = str(event["name"]).removesuffix("_kernel_time"), event["cat"]
        if kind == "Node" and name != event["name"]:
            runs.setdefault(name, []).append(float(event["dur"]))
    order = {name: position for position, name in enumerate(runs)}
    nodes = sorted(model.graph.node, key=lambda node: order.get(node.name, -1))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    # The fastest run: others had the core as well.
    return {name: min(times[1:], default=times[0]) for name, times in runs.items()}


def _cuts(flow: Flow) -> tuple[list[int], dict[str, Any]]:
    """Return the positions where the flow may be cut, and the types of what crosses there."""
    if not flow.makes_outputs:
        return [], {}
    crossing = {position: flow.crossing(position) for position in range(1, len(flow.nodes))}
    few = {position: names for position, names in crossing.items() if len(names) <= MAX_TENSORS}
    names = dict.fromkeys(name for each in few.values() for name in each)
    try:
        kinds = value_types(flow.model, list(names))
    except LoadingError:  # nothing is known of them, so that nothing is cut
        return [], {}
    return [position for position, each in few.items() if kinds.keys() >= set(each)], kinds


def _equal(
    whole: Any,
    segments: Sequence[Segment],
    threads: int,
    feeds: Sequence[NamedArrays],
    outputs: Sequence[str],
) -> bool:
    chain = Chain(
        [
            open_session(each.model.SerializeToString(), options_of(threads, as_it_is=True))
            for each in segments
        ],
        outputs,
    )
    return all(
        _bits(chain.run(feed, lambda: None)) == _bits(whole.run(outputs, feed)) for feed in feeds
    )


def _bits(arrays: Sequence[Array]) -> list[tuple[str, tuple[int, ...], bytes]]:
    return [(str(array.dtype), array.shape, array.tobytes()) for array in arrays]
