"""Import TensorRT and pycuda, and tell the true reason where they cannot be loaded.

Both are shared libraries that need others of the board. The first one that is missing stops the
import, and each belongs to another package.
"""

from __future__ import annotations

from typing import Any

from envs.errors import DependencyError, one_line
from envs.optional import optional_import

#: What to do about a reason that contains the text, in the order of the search. Packages are those
#: of JetPack's repository; libnvdla_compiler.so belongs to nvidia-l4t-dla-compiler (meta-tegra,
#: recipes of 36.2 to 36.4.3).
_ADVICE = (
    (
        "libnvdla_compiler",
        "run `sudo apt install nvidia-l4t-dla-compiler` and `sudo ldconfig`; "
        "start a container with `--runtime nvidia`",
    ),
    (
        "libcuda.so",
        "the GPU's driver is not here: start a container with `--runtime nvidia`; on a Jetson "
        "run `sudo apt install nvidia-l4t-cuda` and `sudo ldconfig`",
    ),
    ("libcudnn", "run `sudo apt install nvidia-cudnn` and `sudo ldconfig`"),
    (
        "libnvinfer",
        "its Python module and its libraries have to be of one version, which "
        "`dpkg -l | grep nvinfer` shows: run `sudo apt install nvidia-tensorrt`",
    ),
    (
        "libnvonnxparser",
        "its Python module and its libraries have to be of one version, which "
        "`dpkg -l | grep nvonnx` shows: run `sudo apt install nvidia-tensorrt`",
    ),
    (
        "libnvrtc",
        "CUDA's libraries are not found: run `sudo apt install nvidia-cuda` and `sudo ldconfig`",
    ),
    (
        "libcu",
        "CUDA's libraries are not found: run `sudo apt install nvidia-cuda` and `sudo ldconfig`",
    ),
    ("GLIBCXX", "it was built for a newer system: install the one of this JetPack"),
    ("GLIBC_", "it was built for a newer system: install the one of this JetPack"),
)
_OTHER_PYTHON = "it was built for another Python: make the environment with the system's `python3`"
_OTHER_NUMPY = "it was built for another NumPy: run `pip install 'numpy<2'`"


def load_native(module: str, name: str, reinstall: str) -> Any:
    """Import a module that is a shared library, and return it.

    Args:
        module: dotted name, such as `pycuda.driver`.
        name: what users call it.
        reinstall: what to do where the reason is none of the known ones.

    Raises:
        DependencyError: it is not installed (then the error has no cause), or it is and cannot be
            loaded (then its cause is the error of the import, which the sentence tells).
    """
    try:
        return optional_import(module, "jetson")
    except DependencyError as error:
        if error.__cause__ is None:
            raise
        cause: BaseException = error.__cause__
    except Exception as error:  # OSError of ctypes, RuntimeError of NumPy, AttributeError of both
        cause = error
    reason = one_line(cause)
    raise DependencyError(
        f"{name} is installed but cannot be loaded ({reason}): "
        f"{advice(reason, module) or reinstall}"
    ) from cause


def advice(reason: str, module: str) -> str:
    """Return what to do about the reason of a failed import; empty if it is not a known one."""
    if module == "tensorrt":  # the board's own build; pycuda is built again instead
        if f"No module named '{module}." in reason or "undefined symbol: Py" in reason:
            return _OTHER_PYTHON
        if "numpy" in reason.lower() or "compiled against" in reason:
            return _OTHER_NUMPY
    return next((remedy for text, remedy in _ADVICE if text in reason), "")
