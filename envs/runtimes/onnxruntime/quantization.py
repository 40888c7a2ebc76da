"""Makes the INT8 graph that a processor really runs faster, from an FP32 one, with calibrated activations."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import DependencyError, NetworkError, StorageError, one_line
from envs.files import read_small, sha256_of
from envs.graph.onnx_file import every_graph, open_model
from envs.optional import optional_import
from envs.spec.device import local_computer
from envs.spec.network import Network, TensorSpec

QUANTISED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}
)


def quantized(path: Path, network: Network, cache: Path, seed: int = 0, samples: int = 16) -> Path:
    """The INT8 graph of the FP32 network in `path`, made at the first call and then kept in `cache`; made again where what was kept is damaged.

    Activations are unsigned and weights signed, one scale per output channel: on x86 processors onnxruntime has fast kernels for that
    pair only (onnxruntime documentation, "Quantize ONNX models"). The ranges of activations come from random samples, so the result
    is right for measuring speed; its accuracy on a task is that of a poor calibration.

    Args:
        path: the file that `network` was read from.
        network: gives the inputs [fixed_batch or 1, *shape] that calibrate, and the name of the result.
        cache: folder of the results; made where it is missing.
        seed: of the samples.
        samples: runs of the network that calibrate, at least 1.

    Raises:
        NetworkError: the file is quantised already, has changed since it was read, or cannot be quantised.
        StorageError: the cache cannot be written.
        DependencyError: onnx or onnxruntime is not installed.
    """
    runtime = optional_import("onnxruntime", "networks")
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", network.name)
    target = cache / f"{stem}-{network.sha256[:12]}-int8-ort{runtime.__version__}-s{seed}.onnx"
    if _intact(target):
        return target
    needed_mib = (
        network.weight_bytes + network.activation_bytes * (network.fixed_batch or 1)
    ) / 2**20
    if needed_mib > local_computer().memory_mib:
        raise NetworkError(
            f"{path} needs {needed_mib:,.0f} MiB to be quantised, more than there is here: serve it in FP32 only"
        )
    model, sha256 = open_model(path)
    if any(node.op_type in QUANTISED for graph in every_graph(model) for node in graph.node):
        raise NetworkError(
            f"{path} is quantised already: give the FP32 file, from which the INT8 one is made here"
        )
    if sha256 != network.sha256:
        raise NetworkError(f"{path} has changed since it was read as {network.name}: read it again")
    del model
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Beside its target, so that it can be moved there in one step: two processes may make the same file at once.
        with tempfile.TemporaryDirectory(prefix=".int8-", dir=cache) as folder:
            made = _quantize(path, Path(folder), CalibrationSamples(network, seed, samples))
            told = Path(folder) / "told"
            told.write_text(sha256_of(made).hex())
            os.replace(told, _told(target))
            os.replace(made, target)
    except OSError as error:
        raise StorageError(
            f"cannot keep the INT8 graph in {cache} ({error.strerror or error}): give a folder with room"
        ) from error
    return target


def _intact(target: Path) -> bool:
    """Whether the file itself is there, as it was written: a disk that was full, or a machine that lost power, leaves half of one."""
    try:
        return (
            not target.is_symlink()
            and read_small(_told(target)).decode() == sha256_of(target).hex()
        )
    except (OSError, ValueError):
        return False


def _told(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _quantize(path: Path, folder: Path, samples: CalibrationSamples) -> Path:
    library = optional_import("onnxruntime.quantization", "networks")
    prepare = optional_import(
        "onnxruntime.quantization.shape_inference", "networks"
    ).quant_pre_process
    prepared, result = folder / "prepared.onnx", folder / "int8.onnx"
    try:
        with quiet():
            # The symbolic inference needs sympy and adds nothing here: `read_network` has refused what plain inference cannot shape.
            prepare(path, prepared, skip_symbolic_shape=True)
            library.quantize_static(
                prepared,
                result,
                samples,
                quant_format=library.QuantFormat.QDQ,
                activation_type=library.QuantType.QUInt8,
                weight_type=library.QuantType.QInt8,
                per_channel=True,
                # Seven bits of weight: with eight, processors without VNNI overflow the 16-bit sums, and the file may travel to one.
                reduce_range=True,
                calibrate_method=library.CalibrationMethod.MinMax,
            )
    except (OSError, DependencyError):
        raise
    except (
        Exception
    ) as error:  # the library raises whatever went wrong inside it, without a common base
        raise NetworkError(
            f"{path} cannot be quantised ({one_line(error)}): serve it in FP32 only, or export it again"
        ) from error
    return result


class CalibrationSamples:
    """Calibration data as onnxruntime asks for it: one feed at a time, so that only one is in memory."""

    def __init__(self, network: Network, seed: int, samples: int) -> None:
        self._network = network
        self._rng = np.random.default_rng(seed)
        self._left = samples

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        if not self._left:
            return None
        self._left -= 1
        return {
            spec.name: _sample(self._rng, spec, self._network.fixed_batch or 1)
            for spec in self._network.inputs
        }

    def __iter__(self) -> CalibrationSamples:
        return self

    def __next__(self) -> dict[str, npt.NDArray[Any]]:
        feed = self.get_next()
        if feed is None:
            raise StopIteration
        return feed


def _sample(rng: np.random.Generator, spec: TensorSpec, batch: int) -> npt.NDArray[Any]:
    """Random values [batch, *shape] of one input: unit normal numbers, bytes over their range, other integers 0 or 1 (masks, ids)."""
    shape, dtype = (batch, *spec.shape), np.dtype(spec.dtype)
    if dtype.kind in "iub":
        limits = np.iinfo(dtype) if dtype.itemsize == 1 and dtype.kind != "b" else None
        low, high = (limits.min, limits.max + 1) if limits else (0, 2)
        return rng.integers(low, high, shape).astype(dtype)
    return rng.standard_normal(shape, dtype=np.float32).astype(dtype)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the quantiser's prints and log records from the user; they speak of options that nobody here can set."""
    root, before = logging.getLogger(), logging.root.manager.disable
    # It logs through `logging.warning`, which gives a root logger without handlers one of its own, for good.
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
