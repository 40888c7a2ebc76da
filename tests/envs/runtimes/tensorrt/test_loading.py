from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.errors import DependencyError
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.versions import load_bindings

OLD_NUMPY = "module compiled against API version 0x10 but this version of numpy is 0xe"


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """Forget what the tests imported; modules from before are there again."""
    before = {each: sys.modules[each] for name in ("tensorrt", "pycuda") for each in _of(name)}
    yield
    for module in (*_of("tensorrt"), *_of("pycuda")):
        del sys.modules[module]
    sys.modules.update(before)


def _of(name: str) -> list[str]:
    return [each for each in sys.modules if each.partition(".")[0] == name]


def _package(folder: Path, name: str, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package of that name on the path, in whose place nothing else is imported."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(content)
    monkeypatch.syspath_prepend(folder)
    for module in _of(name):
        monkeypatch.delitem(sys.modules, module)


@pytest.mark.parametrize(
    ("content", "reason", "remedy"),
    [
        (
            "raise ImportError('libnvdla_compiler.so: cannot open shared object file')",
            "libnvdla_compiler.so: cannot open shared object file",
            "sudo apt install nvidia-l4t-dla-compiler",
        ),
        ("raise ImportError('libcudnn.so.9: cannot open')", "libcudnn.so.9", "nvidia-cudnn"),
        ("raise OSError('libcuda.so.1: cannot open')", "libcuda.so.1", "--runtime nvidia"),
        ("raise ImportError('libnvinfer.so.10: no version')", "libnvinfer", "nvidia-tensorrt"),
        ("raise ImportError('libcublas.so.12: cannot open')", "libcublas", "nvidia-cuda"),
        (f"raise RuntimeError({OLD_NUMPY!r})", "compiled against", "numpy<2"),
        ("from . import tensorrt", "cannot import name", "python3-libnvinfer"),
        ("import tensorrt.tensorrt", "No module named 'tensorrt.tensorrt'", "another Python"),
        ("import no_such_package", "No module named 'no_such_package'", "python3-libnvinfer"),
        ("raise ImportError('something new')", "something new", "python3-libnvinfer"),
    ],
)
def test_a_tensorrt_that_cannot_be_loaded_says_why(
    content: str, reason: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, "tensorrt", content, monkeypatch)
    with pytest.raises(DependencyError) as caught:
        load_bindings()
    text = str(caught.value)
    assert text.startswith("TensorRT is installed but cannot be loaded (")
    assert reason in text
    assert remedy in text
    assert "system-site-packages" not in text


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("raise ImportError('libcuda.so.1: cannot open shared object file')", "--runtime nvidia"),
        ("import pycuda._driver", "--no-binary pycuda"),
        (f"raise ImportError({OLD_NUMPY!r})", "--no-binary pycuda"),
    ],
)
def test_a_pycuda_that_cannot_be_loaded_says_why(
    content: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, "pycuda", "", monkeypatch)
    (tmp_path / "pycuda" / "driver.py").write_text(content)
    with pytest.raises(
        DependencyError, match=r"pycuda is installed but cannot be loaded"
    ) as caught:
        Cuda()
    assert remedy in str(caught.value)


def test_only_a_missing_tensorrt_leads_to_the_systems_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DependencyError, match=r"cannot be imported: .* --system-site-packages"):
        load_bindings()
