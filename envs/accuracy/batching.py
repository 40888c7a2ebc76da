"""Is a batch really a batch? Two samples together and alone must have the same answers."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np

from envs.accuracy.reference import Array, reason_of, session_of
from envs.accuracy.samples import Samples, invented, positive
from envs.errors import NetworkError, OptionError
from envs.graph.onnx_file import every_graph, open_model, read_whole
from envs.optional import optional_import
from envs.spec import Network

#: The largest difference that rounding makes, as a share of the largest number of an output, by
#: the type of the network. Sums have another order in another batch.
ROUNDING = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 5e-2}

#: Of a quantised network: two steps of eight bits.
ROUNDING_QUANTISED = 2e-2

#: Samples of a batch that is compared with each alone; the multiply-accumulates that this may take,
#: and the numbers that may be compared: about a second.
MANY, MANY_MACS, MANY_NUMBERS = 8, 5e10, 5e7

#: The largest share of whole numbers (classes, places) that rounding may change.
ROUNDED_SHARE = 0.05


def batched(path: Path, network: Network, session: Any, samples: Samples | None) -> str:
    """Return why batches above one would give wrong answers; empty if they give the right ones.

    Args:
        path: the file that the network was read from.
        network: one with a free batch; any other needs no check.
        session: of the file.
        samples: two of them are used; invented ones if None.

    Raises:
        NetworkError: it cannot be run.
        OptionError: it cannot be run with one of the user's samples.
    """
    if network.fixed_batch is not None:
        return ""
    names = [spec.name for spec in network.outputs if not spec.shared]
    pair = _pair(network, session, samples, names)
    if scaled := _scaled_by_batch(path):
        return (
            f"answers depend on what else is in the batch: {scaled} finds one scale for all samples"
        )
    together, alone = _together_and_alone(session, names, network, pair)
    if not _same(network, together, alone):
        if not _same(network, together, _run(session, names, network, pair)):
            return "answers are random, so that nobody can tell whether they depend on the batch"
    elif _same(network, *_many(session, names, network, samples)):
        return ""
    where = _first_mixing(path, network, pair)
    return (
        f"answers depend on what else is in the batch{where}: two samples together have others"
        " than alone"
    )


def _scaled_by_batch(path: Path) -> str:
    """Return a node that quantises by the largest number of a whole batch; empty if none does."""
    model, _, _ = open_model(path)
    for graph in every_graph(model):
        for node in graph.node:
            if node.op_type.startswith("DynamicQuantize"):
                return f"{node.op_type} {(node.name or node.output[0])!r}"
    return ""


def _pair(network: Network, session: Any, samples: Samples | None, names: list[str]) -> Samples:
    """Return two different samples whose answers are finite, if some can be found."""
    if samples is not None:
        return samples.take(np.array([0, len(samples) - 1]))
    candidates = [invented(network, 2), positive(network, 2)]
    for pair in candidates:
        answers = _run(session, names, network, pair)
        if all(np.isfinite(each).all() for each in answers if each.dtype.kind == "f"):
            return pair
    return candidates[0]


def _many(
    session: Any, names: list[str], network: Network, samples: Samples | None
) -> tuple[list[Array], list[Array]]:
    """Return the results of several samples in one batch, and of each alone.

    A branch that the sum of a batch decides may be the right one for two samples by chance. Large
    networks, which would take long, get fewer samples or none.
    """
    numbers = sum(math.prod(spec.shape) for spec in network.outputs)
    count = min(
        MANY, int(MANY_MACS / max(2 * network.macs, 1)), int(MANY_NUMBERS / max(numbers, 1))
    )
    if count <= 2:
        return [], []
    several = invented(network, count, seed=1)
    if samples is not None and len(samples) > 2:
        chosen = samples.take(np.linspace(0, len(samples) - 1, count).astype(int))
        if any((each != each[:1]).any() for each in chosen.arrays.values()):
            several = chosen
    alone = [
        _run(session, names, network, several.take(np.array([row]))) for row in range(len(several))
    ]
    together = _run(session, names, network, several)
    return together, [np.concatenate(each) for each in zip(*alone, strict=True)]


def _run(session: Any, names: list[str], network: Network, samples: Samples) -> list[Array]:
    try:
        return [np.asarray(each) for each in session.run(names, samples.arrays)]
    except Exception as error:  # the errors of ONNX Runtime have no common base
        if samples.origin and len(samples) > 1:  # a sample that cannot be run alone says so first
            for row in range(len(samples)):
                _run(session, names, network, samples.take(np.array([row])))
        if samples.origin and len(samples) == 1:
            raise OptionError(
                f"samples={samples.origin}: {network.name} cannot be run with a sample"
                f" ({reason_of(error)}): give inputs as your program gives them"
            ) from error
        raise NetworkError(
            f"{network.name} cannot be run at a batch of {len(samples)} ({reason_of(error)}):"
            " export it so that its first dimension is free, or with a fixed batch"
        ) from error


def _together_and_alone(
    session: Any, names: list[str], network: Network, pair: Samples
) -> tuple[list[Array], list[Array]]:
    """Return the results of both samples in one batch, and of each alone, put together.

    A result without a batch, which may stand inside a network, is taken from one of them alone, the
    second if the first has the result of both.
    """
    together = _run(session, names, network, pair)
    alone = [_run(session, names, network, pair.take(np.array([row]))) for row in range(2)]
    return together, [
        (second if np.array_equal(first, both) else first)
        if first.shape == both.shape
        else np.concatenate([first, second])
        for both, first, second in zip(together, *alone, strict=True)
    ]


def _same(network: Network, together: list[Array], alone: list[Array]) -> bool:
    limit = ROUNDING_QUANTISED if network.quantised else ROUNDING[network.float_type]
    return all(_close(*each, limit) for each in zip(together, alone, strict=True))


def _close(together: Array, alone: Array, limit: float) -> bool:
    if together.shape != alone.shape:
        return False
    if not together.size:
        return True
    if together.dtype.kind != "f":
        return float(np.mean(together != alone)) <= ROUNDED_SHARE
    first, second = together.astype(np.float64), alone.astype(np.float64)
    known = np.isfinite(first)
    if not np.array_equal(known, np.isfinite(second)):
        return False
    size = max(float(np.abs(first[known]).max(initial=0.0)), 1e-6)
    return float(np.abs(first - second)[known].max(initial=0.0)) <= limit * size


def _first_mixing(path: Path, network: Network, pair: Samples) -> str:
    """Return the first node whose results differ, as text; empty where it cannot be found."""
    onnx = optional_import("onnx", "networks")
    try:
        model = read_whole(path)
        watched = _watched(onnx, model)
        session = session_of(watched.SerializeToString(), network.name, plain=True)
        names = [output.name for output in session.get_outputs()]
        together, alone = _together_and_alone(session, names, network, pair)
    except Exception:  # this only adds a name to a message
        return ""
    limit = ROUNDING_QUANTISED if network.quantised else ROUNDING[network.float_type]
    differing = {
        name
        for name, first, second in zip(names, together, alone, strict=True)
        if first.shape == second.shape and not _close(first, second, limit)
    }
    for node in model.graph.node:
        if differing & set(node.output):
            return f" ({node.op_type} {node.name or node.output[0]!r} mixes them)"
    return ""


def _watched(onnx: Any, model: Any) -> Any:
    """Return a copy that outputs every tensor whose type is known."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    watched = copy.deepcopy(model)
    outputs = {value.name for value in watched.graph.output}
    watched.graph.output.extend(value for value in inferred.value_info if value.name not in outputs)
    return watched
