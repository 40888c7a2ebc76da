"""Ranges of a network's tensors over samples: what INT8 scales are made of.

The methods are those of ONNX Runtime (onnxruntime documentation, "Quantize ONNX models"): min-max
keeps every value, entropy and percentile give up rare large ones for finer steps.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from envs.accuracy.samples import Samples
from envs.arrays import FloatArray, NamedArrays
from envs.errors import DependencyError, NetworkError, one_line
from envs.optional import optional_import
from envs.spec import Network

#: Methods, and the options of their calibrators in ONNX Runtime. 512 bins take a tenth of the time
#: of the 2,048 that TensorRT's entropy calibrator has.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "minmax": ("MinMax", {}),
    "entropy": ("Entropy", {"num_bins": 512}),
    "percentile": ("Percentile", {"percentile": 99.99}),
}

#: Bytes of tensors that are held at once while histograms are collected.
HELD_BYTES = 1 << 28

#: A network's tensors together are about this many times the largest sum alive at once.
ALL_TENSORS = 16

#: Severities of what ONNX Runtime writes: the one that it starts with, and fatal errors only.
WARNINGS, NOTHING = 2, 4

Limits = dict[str, tuple[float, float]]


def ranges_of(
    prepared: Path, network: Network, samples: Samples, method: str, symmetric: bool
) -> Limits:
    """Return the range (low, high) of every floating-point tensor, by name.

    It is infinite where a tensor has numbers that are not finite.

    Args:
        prepared: the graph to be quantised; another file is written beside it.
        network: gives the batch that the graph is fixed to, and what one sample fills.
        samples: to run.
        method: one of `METHODS`.
        symmetric: True for ranges around 0.

    Raises:
        NetworkError: the graph does not run, or the library finds no ranges.
    """
    library = optional_import("onnxruntime.quantization.calibrate", "networks")
    name, options = METHODS[method]
    try:
        with quiet():
            calibrator = library.create_calibrator(
                prepared,
                augmented_model_path=str(prepared.with_name("watched.onnx")),
                calibrate_method=getattr(library.CalibrationMethod, name),
                extra_options=options | {"symmetric": symmetric},
            )
            for feeds in _groups(samples, network):
                calibrator.collect_data(_Reader(feeds))
            found = calibrator.compute_data()
    except (OSError, DependencyError):
        raise
    except Exception as error:  # the library's errors have no common base
        raise NetworkError(
            f"{network.name} cannot be calibrated by {method} ({one_line(error)})"
        ) from error
    return {tensor: _limit(data.lowest, data.highest) for tensor, data in found.items()}


def _limit(lowest: FloatArray, highest: FloatArray) -> tuple[float, float]:
    low, high = float(np.min(lowest)), float(np.max(highest))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (-math.inf, math.inf)


def _groups(samples: Samples, network: Network) -> Iterator[list[NamedArrays]]:
    """Yield feeds in groups whose tensors fit into `HELD_BYTES`, one at the least."""
    batch = network.fixed_batch or 1
    held = max(1, network.activation_bytes * batch * ALL_TENSORS)
    size = max(1, min(16, HELD_BYTES // held))
    group: list[NamedArrays] = []
    for feed in samples.feeds(batch, exact=network.fixed_batch is not None):
        group.append(feed)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


class _Reader:
    """The feeds of a group, as onnxruntime's CalibrationDataReader gives them."""

    def __init__(self, feeds: list[NamedArrays]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> NamedArrays | None:
        """Return the next feed, or None at the end."""
        return next(self._feeds, None)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the quantiser's output, which is about options that no user can set."""
    runtime = optional_import("onnxruntime", "networks")
    root, before = logging.getLogger(), logging.root.manager.disable
    # It calls `logging.warning`, which adds a handler to a root logger without one, for good.
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.CRITICAL)
    runtime.set_default_logger_severity(NOTHING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            np.errstate(all="ignore"),
        ):
            yield
    finally:
        runtime.set_default_logger_severity(WARNINGS)
        logging.disable(before)
        root.removeHandler(handler)
