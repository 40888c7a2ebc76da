"""INT8 ranges that are known here: measured on samples, or those of a quantised file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.accuracy.half import to_fp16
from envs.accuracy.judging import Examined, Judge, examine
from envs.accuracy.quantization import Int8Copy, int8_copy
from envs.accuracy.reference import Array, answers_of, session_of
from envs.accuracy.samples import Samples
from envs.accuracy.schemes import TENSORRT
from envs.accuracy.single import SUFFIX
from envs.accuracy.store import quantized
from envs.errors import NetworkError
from envs.graph.onnx_file import read_whole
from envs.runtimes.tensorrt.dequantised import dequantised
from envs.runtimes.tensorrt.graph import for_dla
from envs.runtimes.tensorrt.ranges import at_batch_of, with_new_opset
from envs.spec import Agreement, Network
from envs.spec.agreement import NOT_MEASURED
from tuner.exports.models import Model

#: Operators whose inputs and outputs must have one scale, or no DLA takes them in INT8 (TensorRT
#: documentation, "DLA Supported Layers and Restrictions").
TIED = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Concat"})


@dataclass(frozen=True)
class Calibration:
    """The INT8 ranges of one model.

    Attributes:
        origin: the file of the samples, or the quantised file.
        method: how the ranges were found.
        samples: how many calibrated.
        agreement: of the INT8 copy, run on this processor, with FP32 on other samples of the file.
        scales: of each quantised tensor, by name, for an engine.
        graph: with its weights, for an engine that is not built from the file: the INT8 graph for a
            strongly typed TensorRT, or a quantised file in floating point.
        file: the INT8 graph for a processor.
    """

    origin: str
    method: str
    samples: int
    agreement: Agreement
    scales: Mapping[str, float] | None = None
    graph: Any = None
    file: Path | None = None

    def describe(self) -> str:
        """Return it as text, such as `entropy on 64 samples of digits.npz, agreement ...`."""
        if not self.samples:
            return f"the quantised nodes of {self.origin!a}"
        return (
            f"{self.method} on {self.samples} samples of {self.origin!a}, agreement with FP32"
            f" {self.agreement.describe()}"
        )


def calibrated(
    models: Iterable[Model], samples: Sequence[Samples | None], typed: bool, cache: Path
) -> dict[str, Calibration]:
    """Return the calibration of each model, by its name; a model without samples has none.

    The samples that calibrate are those that calibrate when the network is tuned with the same
    file.

    Args:
        models: those that need ranges.
        samples: [T].
        typed: True for a TensorRT that takes the precision from the graph.
        cache: folder of quantised graphs for processors.

    Raises:
        NetworkError: a network cannot be quantised.
    """
    examined: dict[int, Examined] = {}
    copies: dict[tuple[int, int | None], Int8Copy] = {}
    found = {}
    for model in models:
        given = samples[model.position] if samples else None
        if given is None:
            continue
        if model.position not in examined:
            examined[model.position] = _examined(model, given, cache)
        seen = examined[model.position]
        calibrating = given.split()[0]
        if model.on_cpu:
            served = quantized(model.path, model.network, cache, calibrating)
            agreed = _agreement(seen, served.path, model.network)
            found[model.name] = Calibration(
                given.origin, served.calibration, served.calibrated_on, agreed, file=served.path
            )
            continue
        key = (model.position, model.batch if model.dla_core is not None else None)
        if key not in copies:
            copies[key] = _copy_of(model, calibrating)
        copy = copies[key]
        network = at_batch_of(copy.model, model.network)
        found[model.name] = Calibration(
            given.origin,
            copy.method,
            len(calibrating),
            _agreement(seen, copy.model.SerializeToString(), network),
            {} if typed else _scales_in(copy.model),
            to_fp16(with_new_opset(copy.model)) if typed else None,
        )
    return found


def translated(models: Iterable[Model]) -> dict[str, Calibration]:
    """Return the scales of quantised files that TensorRT before 11 takes without their nodes.

    These are the files for DLAs, and those with zero points; by name of the model.

    Raises:
        NetworkError: a file is quantised in a way that no scale can hold.
    """
    found = {}
    for model in models:
        types = model.facts.types
        on_dla = model.dla_core is not None
        if model.on_cpu or not types.quantised or not (on_dla or types.asymmetric):
            continue
        try:
            plain, ranges = dequantised(read_whole(model.path))
        except NetworkError as error:
            raise NetworkError(f"{model.path}: {error}") from error
        found[model.name] = Calibration(
            origin=str(model.path),
            method="",
            samples=0,
            agreement=NOT_MEASURED,
            scales=scales_of(plain, ranges.ranges),
            graph=for_dla(plain, model.batch).model if on_dla else plain,
        )
    return found


def _examined(model: Model, samples: Samples, cache: Path) -> Examined:
    try:
        return examine(model.path, model.network, samples, cache)
    except NetworkError as error:
        if not model.facts.unshaped:
            raise
        raise NetworkError(
            f"{model.path}: {model.facts.unshaped}, and no INT8 ranges can be measured here: use"
            " --tensor-precision fp16, or give --calibration FILE"
        ) from error


def _copy_of(model: Model, samples: Samples) -> Int8Copy:
    graph = read_whole(model.path)
    if model.dla_core is not None:
        graph = for_dla(graph, model.batch).model
    return int8_copy(graph, at_batch_of(graph, model.network), samples, TENSORRT)


def _agreement(seen: Examined, made: Path | bytes, network: Network) -> Agreement:
    """Return how far the answers of an INT8 graph are those of the file."""
    session = session_of(made, f"the INT8 copy of {network.name}")

    def run(samples: Samples) -> list[Array]:
        # The graph for a DLA may give [n, features, 1, 1] for [n, features].
        shapes = [spec.shape for spec in network.outputs if not spec.shared]
        answers = answers_of(session, network, samples)
        return [
            each.reshape(len(each), *shape) for each, shape in zip(answers, shapes, strict=True)
        ]

    return Judge([seen]).agreement(0, run)


def _scales_in(quantised: Any) -> dict[str, float]:
    plain, ranges = dequantised(quantised)
    found = scales_of(plain, ranges.ranges)
    # The inputs and outputs of an FP16 file have the scales of their FP32 twins.
    return {name.removesuffix(SUFFIX): scale for name, scale in found.items()}


def scales_of(model: Any, ranges: Mapping[str, float]) -> dict[str, float]:
    """Return the scale of each tensor with a range, by name.

    Tensors around a pool or a concatenation get one scale, the largest.
    """
    scales = {name: limit / 127 for name, limit in ranges.items()}
    tied = [
        [name for name in (*node.input, *node.output) if name in scales]
        for node in model.graph.node
        if node.op_type in TIED
    ]
    while any(_tie(names, scales) for names in tied):
        pass
    return scales


def _tie(names: list[str], scales: dict[str, float]) -> bool:
    """Give all of them the largest of their scales; return True if that changed one."""
    largest = max((scales[name] for name in names), default=0.0)
    smaller = [name for name in names if scales[name] < largest]
    scales |= dict.fromkeys(smaller, largest)
    return bool(smaller)
