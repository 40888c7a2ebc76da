"""What is missing here to run what needs hardware, in a sentence; empty where nothing is."""

from __future__ import annotations

from envs.errors import DependencyError
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.versions import load_bindings


def missing_for_tensorrt() -> str:
    """Why engines of TensorRT cannot run."""
    try:
        Cuda()
        load_bindings()
    except DependencyError as error:
        return str(error)
    return ""


def missing_for_dla() -> str:
    """Why no DLA can be used."""
    return missing_for_tensorrt() or (
        "" if load_bindings().dla_cores() else "this TensorRT finds no DLA core"
    )
