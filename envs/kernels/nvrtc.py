"""Compiles kernels with NVRTC, a library: on a board without nvcc, and for GPUs that nvcc forgot.

CUDA 13 no longer compiles for Xavier (sm_72); NVRTC of CUDA 12 does, from JetPack or from the
package `nvidia-cuda-nvrtc-cu12`. No GPU is needed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
from pathlib import Path

from envs.kernels.nvcc import Image, parse_assembler
from envs.kernels.syntax import KernelError

_PACKAGE = "nvidia.cuda_nvrtc"


@functools.cache
def find_nvrtc() -> ctypes.CDLL | None:
    """Return the library, from its package or from the system; None where there is none."""
    found = [] if _package() is None else sorted(Path(str(_package())).glob("lib/libnvrtc.so*"))
    system = ctypes.util.find_library("nvrtc")
    for name in (*map(str, found), system):
        if name is not None:
            try:
                return ctypes.CDLL(name)
            except OSError:
                continue
    return None


def nvrtc_architectures() -> frozenset[int]:
    """Return the compute capabilities that NVRTC compiles for, as 72; empty without NVRTC."""
    library = find_nvrtc()
    if library is None:
        return frozenset()
    count = ctypes.c_int()
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(found)
    return frozenset(found)


def compile_with_nvrtc(text: str, target: int) -> Image:
    """Compile source to machine code for one target.

    Args:
        text: CUDA C++ source, without headers.
        target: compute capability, as 72 for 7.2.

    Raises:
        KernelError: there is no NVRTC, it does not know the target, or it refuses the source.
    """
    library = find_nvrtc()
    if library is None:
        raise KernelError("there is no NVRTC here: pip install nvidia-cuda-nvrtc-cu12")
    if target not in nvrtc_architectures():
        raise KernelError(f"this NVRTC does not compile for sm_{target}")
    program = ctypes.c_void_p()
    _call(library, "nvrtcCreateProgram", ctypes.byref(program), text.encode(), None, 0, None, None)
    try:
        options = [f"--gpu-architecture=sm_{target}".encode(), b"--ptxas-options=-v"]
        code = library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        )
        printed = _read(library, "ProgramLog", program).rstrip(b"\0").decode(errors="replace")
        if code != 0:
            first = next((each for each in printed.splitlines() if "error" in each), printed)
            raise KernelError(f"NVRTC refuses the source: {first.strip()}")
        return Image(_read(library, "CUBIN", program), parse_assembler(printed))
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _package() -> str | None:
    try:
        found = importlib.util.find_spec(_PACKAGE)
    except ModuleNotFoundError:
        return None
    places = None if found is None else found.submodule_search_locations
    return next(iter(places), None) if places else None


def _read(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _call(library, f"nvrtcGet{what}Size", program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(library, f"nvrtcGet{what}", program, buffer)
    return buffer.raw


def _call(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    code = getattr(library, name)(*arguments)
    if code != 0:
        raise KernelError(f"NVRTC's {name} failed with code {code}")
