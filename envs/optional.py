"""Import optional packages by name, when they are needed."""

import importlib
from typing import Any

from envs.errors import DependencyError


def optional_import(module: str, extra: str) -> Any:
    """Import a module of an optional package and return it.

    Args:
        module: dotted name, such as `onnxruntime.quantization`.
        extra: the extra of this project that installs it.

    Raises:
        DependencyError: the module is not installed, or is installed and cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Ctrl-C while it was loaded
            raise error.__cause__ from None
        # A package that is installed and broken (a missing shared library) is not missing.
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
            f"{module} is installed but cannot be loaded ({reason}): "
            f"pip install --force-reinstall 'orin-tuner[{extra}]'"
        ) from error
