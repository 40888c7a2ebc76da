"""Versions of what a measurement depends on."""

import platform
from importlib import metadata


def versions() -> dict[str, str]:
    """Return the versions of all packages that a measurement or a training depends on."""
    packages = (
        "orin-tuner",
        "numpy",
        "onnx",
        "onnxruntime",
        "torch",
        "stable-baselines3",
        "gymnasium",
    )
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
