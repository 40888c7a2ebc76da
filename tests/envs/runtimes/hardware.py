"""Checks for hardware: each gives a sentence on what is missing here, or an empty string."""

from __future__ import annotations

import contextlib
import importlib
import sys

from envs.errors import DependencyError
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.versions import load_bindings


def missing_for_tensorrt() -> str:
    """Return why engines of TensorRT cannot run."""
    use_rtx_without_tensorrt()
    try:
        Cuda()
        load_bindings()
    except DependencyError as error:
        return str(error)
    return ""


def missing_for_dla() -> str:
    """Return why no DLA can be used."""
    return missing_for_tensorrt() or (
        "" if load_bindings().dla_cores() else "this TensorRT finds no DLA core"
    )


def use_rtx_without_tensorrt() -> None:
    """Let TensorRT-RTX be `tensorrt` in this process where it alone is installed.

    It comes from PyPI for any GPU, so that the tests on a GPU need no TensorRT of the system.
    """
    for name in ("tensorrt", "tensorrt_rtx"):
        with contextlib.suppress(ImportError):
            sys.modules["tensorrt"] = importlib.import_module(name)
            return


def serves_with_rtx() -> bool:
    """Return True if `use_rtx_without_tensorrt` put TensorRT-RTX in place."""
    return sys.modules["tensorrt"].__name__.startswith("tensorrt_rtx")
