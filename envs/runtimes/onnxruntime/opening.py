"""Open a session by the engine of an accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envs.runtimes.onnxruntime.openvino import OpenVinoSession
from envs.runtimes.onnxruntime.sessions import open_session, options_of
from envs.spec import Accelerator, Kind

#: Begins the names of the accelerators that OpenVINO runs.
OPENVINO = "openvino_"


def by_openvino(where: Accelerator) -> bool:
    """Return True for an accelerator that OpenVINO runs, not ONNX Runtime."""
    return where.name.startswith(OPENVINO)


def serves_files(where: Accelerator) -> bool:
    """Return True where ONNX Runtime runs whole files, so that FP32 answers are the reference."""
    return where.kind is Kind.CPU and where.mapping is None and not by_openvino(where)


def open_on(where: Accelerator, path: Path, threads: int, halves: bool = False) -> Any:
    """Return a session that runs an ONNX file on an accelerator of the processor.

    Args:
        where: ONNX Runtime or OpenVINO runs it.
        path: the file that it serves.
        threads: that compute.
        halves: True if the file is FP16 or BF16.
    """
    if by_openvino(where):
        return OpenVinoSession(path, threads)
    return open_session(path, options_of(threads, halves))
