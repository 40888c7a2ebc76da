"""Packages that only some commands need, loaded by name when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from envs.errors import DependencyError


def optional_import(module: str, extra: str) -> Any:
    """The module called `module`, which the extra called `extra` brings.

    Args:
        module: dotted name, such as `onnxruntime.quantization`.
        extra: the extra of this package that installs it.

    Raises:
        DependencyError: the module is not installed, or is installed and cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # A package that is there and broken (a missing shared library) must not be reported as absent.
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name
            and (module + ".").startswith(error.name + ".")
        ):
            raise DependencyError(
                f"{module} is not installed: pip install 'orin-tuner[{extra}]'"
            ) from None
        reason = " ".join(str(error).split())
        raise DependencyError(
            f"{module} is installed but cannot be loaded ({reason}): pip install --force-reinstall 'orin-tuner[{extra}]'"
        ) from error
