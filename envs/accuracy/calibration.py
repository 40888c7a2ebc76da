"""Ranges of a network's tensors over samples: what INT8 scales are made of.

The methods are those of ONNX Runtime (onnxruntime documentation, "Quantize ONNX models"): min-max
keeps every value, entropy and percentile give up rare large ones for finer steps.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.accuracy.samples import Samples
from envs.arrays import NamedArrays
from envs.errors import DependencyError, NetworkError, one_line
from envs.optional import optional_import
from envs.spec import Network

METHODS = ("minmax", "entropy", "percentile")

#: Samples of the histograms that entropy and percentile are computed from; min-max looks at all.
HISTOGRAM_SAMPLES = 32

#: Bins of a histogram, and how many of them entropy takes for one: its time grows with their
#: square.
BINS, MERGED_BINS = 2048, 8

#: Percentage of the numbers of a tensor that the percentile method keeps.
PERCENTILE = 99.99

#: Bytes of tensors that are held at once while histograms are collected.
HELD_BYTES = 1 << 28

#: A network's tensors together are about this many times the largest sum alive at once.
ALL_TENSORS = 16

#: Severities of what ONNX Runtime writes: the one that it starts with, and fatal errors only.
WARNINGS, NOTHING = 2, 4

Limits = dict[str, tuple[float, float]]


def ranges_of(
    prepared: Path, network: Network, samples: Samples, methods: Sequence[str]
) -> dict[str, Limits]:
    """Return the range (low, high) of every floating-point tensor by name, for each method.

    It is infinite where a tensor has numbers that are not finite. A method that finds no ranges is
    left out, except for min-max.

    Args:
        prepared: the graph to be quantised; another file is written beside it.
        network: gives the batch that the graph is fixed to, and what one sample fills.
        samples: to run.
        methods: some of `METHODS`, min-max among them.

    Raises:
        NetworkError: the graph does not run.
    """
    try:
        with quiet():
            found = {"minmax": _min_max(prepared, network, samples)}
    except (OSError, DependencyError):
        raise
    except Exception as error:  # the library's errors have no common base
        raise NetworkError(f"{network.name} cannot be calibrated ({one_line(error)})") from error
    if len(methods) > 1:
        with contextlib.suppress(ValueError, IndexError, FloatingPointError), quiet():
            found |= _from_histograms(prepared, network, samples, methods)
    return found


def _min_max(prepared: Path, network: Network, samples: Samples) -> Limits:
    calibrator = _calibrator(prepared, "MinMax")
    for feeds in _groups(samples, network):
        calibrator.collect_data(_Reader(feeds))
    return _limits({name: data.range_value for name, data in calibrator.compute_data().items()})


def _from_histograms(
    prepared: Path, network: Network, samples: Samples, methods: Sequence[str]
) -> dict[str, Limits]:
    """Return the ranges of the methods that need histograms, which are collected once."""
    calibrator = _calibrator(prepared, "Entropy", num_bins=BINS)
    for feeds in _groups(samples.take(slice(HISTOGRAM_SAMPLES)), network):
        calibrator.collect_data(_Reader(feeds))
    collector, found = calibrator.collector, {}
    collector.percentile = PERCENTILE
    for method in ("percentile", "entropy"):
        if method in methods:
            collector.method = method
            if method == "entropy":
                histograms = collector.histogram_dict
                histograms |= {name: _merged(each) for name, each in histograms.items()}
            found[method] = _limits(collector.compute_collection_result())
    return found


def _calibrator(prepared: Path, name: str, **options: Any) -> Any:
    library = optional_import("onnxruntime.quantization.calibrate", "networks")
    return library.create_calibrator(
        prepared,
        augmented_model_path=str(prepared.with_name("watched.onnx")),
        calibrate_method=getattr(library.CalibrationMethod, name),
        extra_options=options,
    )


def _merged(histogram: Any) -> Any:
    """Return a histogram (counts, edges, ...) with fewer bins; empty ones fill up both ends."""
    counts, edges, *rest = histogram
    lacking = -len(counts) % (2 * MERGED_BINS)
    width, side = edges[1] - edges[0], lacking // 2
    counts = np.pad(counts, side)
    first = edges[0] - side * width
    merged = counts.reshape(-1, MERGED_BINS).sum(axis=1)
    bounds = first + width * MERGED_BINS * np.arange(len(merged) + 1)
    return (merged, bounds.astype(edges.dtype), *rest)


def _limits(found: Mapping[str, Any]) -> Limits:
    """Return ranges as numbers; infinite where a tensor has numbers that are not finite."""
    limits = {
        name: (float(np.min(low)), float(np.max(high))) for name, (low, high, *_) in found.items()
    }
    return {
        name: each if all(map(math.isfinite, each)) else (-math.inf, math.inf)
        for name, each in limits.items()
    }


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
