"""Makes an INT8 graph, which a processor runs faster, of an FP32 one, with calibration."""

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
from envs.spec import Network, TensorSpec, local_computer

QUANTISED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}
)


def quantized(path: Path, network: Network, cache: Path, seed: int = 0, samples: int = 16) -> Path:
    """Return the INT8 graph of the FP32 network in `path`.

    It is made at the first call and then kept in `cache`; a damaged one is made again. Activations
    are unsigned and weights signed, with one scale per output channel: on x86 processors
    onnxruntime has fast kernels for that pair only (onnxruntime documentation, "Quantize ONNX
    models"). The ranges of activations come from random samples, so that the result is right for
    measuring speed; its accuracy on a task is that of a poor calibration.

    Args:
        path: the file that `network` was read from.
        network: gives the inputs [fixed_batch or 1, *shape] of the calibration, and the name of
            the result.
        cache: folder of the results; made if it is missing.
        seed: of the samples.
        samples: runs of the network that calibrate, at least 1.

    Raises:
        NetworkError: the file is quantised already, has changed since it was read, or cannot be
            quantised.
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
            f"{path} needs {needed_mib:,.0f} MiB to be quantised, more than there is here: "
            "serve it in FP32 only"
        )
    model, sha256, _ = open_model(path)
    check_not_quantised(model, str(path))
    if sha256 != network.sha256:
        raise NetworkError(f"{path} has changed since it was read as {network.name}: read it again")
    del model
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Beside its target, so that one step moves it there: two processes may make it at once.
        with tempfile.TemporaryDirectory(prefix=".int8-", dir=cache) as folder:
            made = _quantize(path, Path(folder), CalibrationSamples(network, seed, samples))
            checksum = Path(folder) / "sha256"
            checksum.write_text(sha256_of(made).hex())
            os.replace(checksum, _checksum_of(target))
            os.replace(made, target)
    except OSError as error:
        raise StorageError(
            f"cannot keep the INT8 graph in {cache} ({error.strerror or error}): "
            "give a folder with room"
        ) from error
    return target


def check_not_quantised(model: Any, name: str) -> None:
    """Raise NetworkError, which names `name`, if the graph has quantised nodes."""
    if any(node.op_type in QUANTISED for graph in every_graph(model) for node in graph.node):
        raise NetworkError(
            f"{name} is quantised already: give the FP32 file, from which the INT8 one is made here"
        )


def _intact(target: Path) -> bool:
    """Return True if the file is there as it was written.

    A full disk, or a machine that lost power, leaves half of a file.
    """
    try:
        expected = read_small(_checksum_of(target)).decode()
        return not target.is_symlink() and expected == sha256_of(target).hex()
    except (OSError, ValueError):
        return False


def _checksum_of(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _quantize(path: Path, folder: Path, samples: CalibrationSamples) -> Path:
    library = optional_import("onnxruntime.quantization", "networks")
    prepare = optional_import(
        "onnxruntime.quantization.shape_inference", "networks"
    ).quant_pre_process
    prepared, result = folder / "prepared.onnx", folder / "int8.onnx"
    try:
        with quiet():
            # Symbolic inference needs sympy and adds nothing here: `read_network` refuses graphs
            # whose shapes plain inference does not find.
            prepare(path, prepared, skip_symbolic_shape=True)
            library.quantize_static(
                prepared,
                result,
                samples,
                quant_format=library.QuantFormat.QDQ,
                activation_type=library.QuantType.QUInt8,
                weight_type=library.QuantType.QInt8,
                per_channel=True,
                # Seven bits of weight: with eight, processors without VNNI overflow their 16-bit
                # sums, and the file may be copied to one.
                reduce_range=True,
                calibrate_method=library.CalibrationMethod.MinMax,
            )
    except (OSError, DependencyError):
        raise
    except Exception as error:  # the library's errors have no common base
        raise NetworkError(
            f"{path} cannot be quantised ({one_line(error)}): "
            "serve it in FP32 only, or export it again"
        ) from error
    return result


class CalibrationSamples:
    """Random calibration data, one feed at a time, so that only one is in memory."""

    def __init__(self, network: Network, seed: int, samples: int) -> None:
        self._network = network
        self._rng = np.random.default_rng(seed)
        self._remaining = samples

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the next feed, or None at the end, as onnxruntime's CalibrationDataReader."""
        if not self._remaining:
            return None
        self._remaining -= 1
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
    """Return random values [batch, *shape] of one input.

    They are unit normal numbers; bytes over their range; other integers 0 or 1 (masks, ids).
    """
    shape, dtype = (batch, *spec.shape), np.dtype(spec.dtype)
    if dtype.kind in "iub":
        limits = np.iinfo(dtype) if dtype.itemsize == 1 and dtype.kind != "b" else None
        low, high = (limits.min, limits.max + 1) if limits else (0, 2)
        return rng.integers(low, high, shape).astype(dtype)
    return rng.standard_normal(shape, dtype=np.float32).astype(dtype)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the quantiser's output, which is about options that no user can set."""
    root, before = logging.getLogger(), logging.root.manager.disable
    # It calls `logging.warning`, which adds a handler to a root logger without one, for good.
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
