"""INT8 copies of an FP32 network, calibrated on samples; the best by agreement is kept."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.accuracy.agreement import agreement, apart
from envs.accuracy.calibration import METHODS, Limits, ranges_of
from envs.accuracy.preparation import prepare
from envs.accuracy.quantizer import floating, quantised, without_range
from envs.accuracy.reference import Array, answers_of, compared, session_of
from envs.accuracy.samples import Samples, invented, positive
from envs.accuracy.schemes import Scheme
from envs.errors import NetworkError
from envs.graph.cost import MULTIPLYING, RECURRENT
from envs.graph.number_types import number_types
from envs.optional import optional_import
from envs.spec import CLASSES, Agreement, Network

logger = logging.getLogger(__name__)

#: Multiply-accumulates of FP32 that take more than about a second: it is said then.
SAID_MACS = 5e10

#: Agreement from which no other way to quantise the end of the network is tried.
GOOD_ENOUGH = 0.999

#: Ranges of invented samples need no care.
INVENTED_METHODS = ("minmax",)


@dataclass(frozen=True)
class Int8Copy:
    """An INT8 copy of a network.

    Attributes:
        model: a ModelProto with quantise and dequantise nodes.
        method: of the calibration, see `METHODS`.
        limits: the range of every floating-point tensor, by name.
        agreement: with FP32 on the samples that calibrated.
        excluded: the nodes of the prepared graph that stay in floating point, by name.
        floating: the tensors that these nodes give and no other reads in INT8, by name.
        per_channel: True if weights have a scale for each channel.
    """

    model: Any
    method: str
    limits: Limits
    agreement: Agreement
    excluded: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()
    per_channel: bool = True


def int8_copy(model: Any, network: Network, samples: Samples, scheme: Scheme) -> Int8Copy:
    """Return the INT8 copy that agrees best with the network on the samples that calibrate.

    Every method of calibration is tried; where the best is not good enough, also with a part of the
    network in floating point (`_kept_float`), and where one scale cannot hold an output, only so.
    Each copy is loaded and run before it counts, and has at least one layer in INT8. With invented
    samples only the first way that runs is taken.

    Args:
        model: an FP32 ModelProto with its weights inside.
        network: gives the inputs, and the batch that the graph is fixed to.
        samples: to calibrate on.
        scheme: how to quantise.

    Raises:
        NetworkError: the graph is quantised already, gives numbers that are not finite, or cannot
            be quantised; the message says which.
        DependencyError: onnxruntime is not installed.
    """
    check_not_quantised(model, network.name)
    if network.macs * len(samples) > SAID_MACS:
        logger.info("calibrating INT8 for %s on %d samples", network.name, len(samples))
    with tempfile.TemporaryDirectory(prefix="orin-tuner-") as folder:
        graph = prepare(model, network, Path(folder))
        session = session_of(graph.path, network.name)
        expected = answers_of(session, network, compared(network, samples))
        _demand_finite(expected, network, samples)
        try:
            return _best(graph.path, network, samples, scheme, expected, graph.per_channel)
        except NetworkError:
            if not graph.per_channel:
                raise
        # The quantiser finds no channels in some weights, such as those of one dimension.
        return _best(graph.path, network, samples, scheme, expected, per_channel=False)


def uncalibrated_copy(model: Any, network: Network, count: int, scheme: Scheme) -> Int8Copy:
    """Return a copy whose ranges come from invented samples: normal numbers, or pictures.

    It is right for measuring speed and wrong for answers. Numbers in [0, 1) are taken where normal
    ones give NaN. The errors are those of `int8_copy`.
    """
    try:
        return int8_copy(model, network, invented(network, count), scheme)
    except NetworkError:
        return int8_copy(model, network, positive(network, count), scheme)


def copy_of_ranges(
    model: Any,
    network: Network,
    limits: Limits,
    scheme: Scheme,
    excluded: Sequence[str] = (),
    per_channel: bool = True,
) -> Any:
    """Return an INT8 copy by ranges that another batch of the same graph was calibrated to.

    Args:
        model: an FP32 ModelProto with its weights inside.
        network: its name in errors.
        limits: of an `Int8Copy`.
        scheme: how to quantise.
        excluded: of the same copy.
        per_channel: of the same copy.

    Raises:
        NetworkError: the graph cannot be quantised.
    """
    check_not_quantised(model, network.name)
    with tempfile.TemporaryDirectory(prefix="orin-tuner-") as folder:
        graph = prepare(model, network, Path(folder))
        per_channel = per_channel and graph.per_channel
        return quantised(graph.path, limits, scheme, per_channel, list(excluded))


def _best(
    prepared: Path,
    network: Network,
    samples: Samples,
    scheme: Scheme,
    expected: list[Array],
    per_channel: bool,
) -> Int8Copy:
    methods = INVENTED_METHODS if samples.synthetic else tuple(METHODS)
    limits = ranges_of(prepared, network, samples, methods)
    samples = compared(network, samples)
    found: list[Int8Copy] = []
    errors: list[str] = []
    tried = list(limits)
    for excluded in _kept_float(prepared, any(len(apart(each)) > 1 for each in expected)):
        for method in tried:
            try:
                kept = [*excluded, *without_range(prepared, limits[method])]
                made = quantised(prepared, limits[method], scheme, per_channel, kept)
                _demand_int8_layer(made)
                answers = answers_of(
                    session_of(made.SerializeToString(), f"the INT8 copy of {network.name}"),
                    network,
                    samples,
                )
            except NetworkError as error:
                errors.append(str(error))
                continue
            judged = agreement(expected, answers, len(samples), samples.synthetic)
            found.append(
                Int8Copy(
                    made,
                    method,
                    limits[method],
                    judged,
                    tuple(kept),
                    floating(prepared, made, kept),
                    per_channel,
                )
            )
            logger.debug("%s %s %s: %s", network.name, method, len(excluded), judged.describe())
        if found and (
            samples.synthetic or max(each.agreement.value for each in found) >= GOOD_ENOUGH
        ):
            break
        if found:  # each try takes seconds where a graph has a thousand nodes
            tried = [_best_of(found).method]
    if not found:
        raise NetworkError(
            f"{network.name} cannot be quantised ({errors[0]}): serve it in FP32 or FP16"
        )
    return _best_of(found)


def _best_of(found: Sequence[Int8Copy]) -> Int8Copy:
    best = max((each.agreement for each in found), key=lambda each: each.value)
    least = best.value - (_noise(best.value, best.samples) if best.quantity == CLASSES else 0)
    level = [each for each in found if each.agreement.value >= least]
    return max(level, key=lambda each: each.agreement.snr_db)


def _noise(share: float, samples: int) -> float:
    """Return the standard error of a share of equal classes over so many samples.

    Copies that differ by less are level: the one with less noise is the better one, since a class
    more or less is luck.
    """
    return math.sqrt(max(share * (1 - share), 1 / samples) / samples) if samples else 0.0


def _demand_finite(expected: list[Array], network: Network, samples: Samples) -> None:
    if all(np.isfinite(each).all() for each in expected if each.dtype.kind == "f"):
        return
    raise NetworkError(
        f"{network.name} gives NaN or infinite numbers for invented inputs, which cannot calibrate"
        " INT8: give samples of the inputs that it is meant for"
        if samples.synthetic
        else f"{network.name} gives NaN or infinite numbers for the samples in {samples.origin},"
        " which cannot calibrate INT8: give samples of the inputs that it is meant for"
    )


def check_not_quantised(model: Any, name: str) -> None:
    """Raise NetworkError, which names `name`, if the graph has quantised nodes."""
    if number_types(model).quantised:
        raise NetworkError(
            f"{name} is quantised already: give the FP32 file, from which the INT8 one is made here"
        )


def _demand_int8_layer(model: Any) -> None:
    """Raise NetworkError if no layer reads quantised numbers: the copy would be an FP32 network."""
    read = {
        name
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for name in node.output
    }
    if not any(
        node.op_type in MULTIPLYING | RECURRENT and read & set(node.input)
        for node in model.graph.node
    ):
        raise NetworkError("it has no layer that the quantiser can compute in INT8")


def _kept_float(prepared: Path, wide: bool) -> Iterator[list[str]]:
    """Yield names of nodes that stay in floating point.

    In this order: none; the end; all that is no layer, since one scale cannot hold a sum with a
    mask of -10,000; the end and the last layers; all that is no layer, and the last layers.

    Args:
        prepared: the graph.
        wide: True if an output has channels that one scale cannot hold, so that its end must stay.
    """
    graph = optional_import("onnx", "networks").load(str(prepared)).graph
    producers = {name: node for node in graph.node for name in node.output}
    behind, layers = list[str](), list[str]()
    waiting, seen = [output.name for output in graph.output], set[str]()
    while waiting:
        node = producers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in MULTIPLYING:
            layers.append(node.name)
        else:
            behind.append(node.name)
            waiting += node.input
    others = [node.name for node in graph.node if node.op_type not in MULTIPLYING | RECURRENT]
    ways = [[], behind, others, [*behind, *layers], [*others, *layers]]
    yielded: list[set[str]] = [set()] if wide else []
    for names in ways:
        if set(names) not in yielded:
            yielded.append(set(names))
            yield names
