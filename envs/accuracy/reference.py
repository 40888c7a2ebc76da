"""Run a network on this processor: the reference that every other answer is compared with."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.accuracy.samples import Samples
from envs.errors import NetworkError, one_line
from envs.optional import optional_import
from envs.spec import Network, available_cores

#: The outputs of all samples that are compared fill at most this much memory.
OUTPUT_BYTES = 1 << 28

#: At least so many samples are compared, however large the outputs are.
FEWEST = 16

Array = npt.NDArray[Any]

#: Rows of a feed where the network takes any number, so that memory stays small.
ROWS = 8


def session_of(source: Path | bytes, name: str, plain: bool = False, halves: bool = False) -> Any:
    """Return a session of ONNX Runtime on this processor.

    Args:
        source: an ONNX file, or a serialised model without external data.
        name: the file's name in errors.
        plain: True to run every node as it stands, without fusing.
        halves: True if the file is FP16 or BF16.

    Raises:
        NetworkError: ONNX Runtime cannot load it; the message has its reason.
        DependencyError: onnxruntime is not installed.
    """
    ort = optional_import("onnxruntime", "networks")
    options = ort.SessionOptions()
    options.intra_op_num_threads = available_cores()
    options.log_severity_level = 4
    levels = ort.GraphOptimizationLevel
    if halves or isinstance(source, bytes):
        options.graph_optimization_level = level_for_halves(ort)
    if plain:
        options.graph_optimization_level = levels.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(
            source if isinstance(source, bytes) else str(source),
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:  # the errors of ONNX Runtime have no common base
        raise NetworkError(
            f"ONNX Runtime {ort.__version__} cannot load {name} ({reason_of(error)}):"
            " export it for this version, or install a newer onnxruntime"
        ) from error


def level_for_halves(ort: Any) -> Any:
    """Return the level of optimisation at which networks in FP16 can be loaded.

    Some of them (attention with a free batch) end the process while onnxruntime 1.31.1 changes
    their layout, which is the level above this one.
    """
    return ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED


def reason_of(error: BaseException) -> str:
    """Return the reason in an error of ONNX Runtime, without its codes and source lines."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", one_line(error, 8000))
    text = re.sub(r"^Load model from .*? failed:", "", text)
    text = re.sub(r"\S*\.(cc|h):\d+ .*?\) (?=[A-Z][a-z])", "", text)
    return text[:200].strip()


def compared(network: Network, samples: Samples) -> Samples:
    """Return the first of the samples, as many as have outputs that fit into `OUTPUT_BYTES`."""
    row_bytes = 4 * sum(math.prod(spec.shape) for spec in network.outputs if not spec.shared)
    return samples.take(slice(max(FEWEST, OUTPUT_BYTES // max(row_bytes, 1))))


def answers_of(session: Any, network: Network, samples: Samples) -> list[Array]:
    """Return the outputs of all samples, one array [n, ...] for each that depends on them.

    Raises:
        NetworkError: the network cannot be run with these samples.
    """
    fixed = network.fixed_batch
    names = [spec.name for spec in network.outputs]
    parts = []
    for feed in samples.feeds(fixed or ROWS, exact=fixed is not None):
        try:
            parts.append(session.run(names, feed))
        except Exception as error:  # the errors of ONNX Runtime have no common base
            raise NetworkError(
                f"{network.name} cannot be run with {samples.origin or 'invented samples'}"
                f" ({reason_of(error)})"
            ) from error
    return joined(network, parts, len(samples))


def joined(network: Network, parts: Sequence[Sequence[Array]], count: int) -> list[Array]:
    """Return the outputs of batches as one array [count, ...] an output, constant ones left out."""
    found = []
    for spec, results in zip(network.outputs, zip(*parts, strict=True), strict=True):
        if not spec.shared:
            found.append(np.concatenate([np.atleast_1d(each) for each in results])[:count])
    return found
