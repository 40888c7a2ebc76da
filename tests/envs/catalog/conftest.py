"""Networks that are written or drawn once for all tests of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnx
import pytest

from envs.catalog.architectures import build


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the file of an architecture with weights; VGG is small, for it would be half a GB."""
    folder = tmp_path_factory.mktemp("architectures")

    @cache
    def write(name: str) -> Path:
        path = folder / f"{name}.onnx"
        small = {"image_size": 32, "classes": 10} if name == "vgg11" else {}
        onnx.save(build(name, **small), path)
        return path

    return write
