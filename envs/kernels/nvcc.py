"""Compiles kernels with nvcc and reads what they need of an SM. No GPU is needed for it."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.kernels.syntax import KernelError

_TOOLKIT = Path("/usr/local/cuda/bin/nvcc")
_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)a?'")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
_STACK = re.compile(r"(\d+) bytes stack frame")


@dataclass(frozen=True)
class Compiled:
    """Hold what the assembler says of a kernel.

    Attributes:
        registers: of one thread.
        shared_bytes: static shared memory of one block.
        stack_bytes: memory of one thread that found no register.
    """

    registers: int
    shared_bytes: int
    stack_bytes: int


def find_nvcc() -> str | None:
    """Return the path of nvcc: on the PATH, or where the toolkit puts it; None without one."""
    return shutil.which("nvcc") or (str(_TOOLKIT) if _TOOLKIT.exists() else None)


@functools.cache
def architectures() -> frozenset[int]:
    """Return the compute capabilities that nvcc compiles for, as 72, 87; empty without nvcc."""
    nvcc = find_nvcc()
    if nvcc is None:
        return frozenset()
    listed = _run([nvcc, "--list-gpu-code"])
    return frozenset(int(each) for each in re.findall(r"\bsm_(\d+)\b", listed.stdout))


@dataclass(frozen=True)
class Image:
    """Machine code for one or several targets.

    Attributes:
        code: what the driver loads.
        kernels: what each kernel needs, by name and target.
    """

    code: bytes
    kernels: dict[tuple[str, int], Compiled]


def compile_kernels(text: str, targets: Sequence[int]) -> Image:
    """Compile source to machine code.

    Args:
        text: CUDA C++ source.
        targets: compute capabilities, as 87 for 8.7.

    Raises:
        KernelError: there is no nvcc, it does not know a target, or it refuses the source.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        raise KernelError("there is no nvcc on the PATH or in /usr/local/cuda: install CUDA's")
    unknown = sorted(set(targets) - architectures())
    if unknown:
        raise KernelError(f"this nvcc does not compile for sm_{unknown[0]}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernels.cu"
        source.write_text(text)
        codes = [f"-gencode=arch=compute_{each},code=sm_{each}" for each in dict.fromkeys(targets)]
        image = Path(folder) / "kernels.fatbin"
        run = _run([nvcc, "-fatbin", "-Xptxas", "-v", *codes, "-o", str(image), str(source)])
        if run.returncode != 0:
            first = next((each for each in run.stderr.splitlines() if "error" in each), run.stderr)
            raise KernelError(f"nvcc refuses the source: {first.strip()}")
        return Image(image.read_bytes(), parse_assembler(run.stdout + run.stderr))


def parse_assembler(printed: str) -> dict[tuple[str, int], Compiled]:
    """Return what `ptxas -v` printed, by kernel and target."""
    found: dict[tuple[str, int], Compiled] = {}
    entry: tuple[str, int] | None = None
    stack = 0
    for line in printed.splitlines():
        begun = _ENTRY.search(line)
        if begun:
            entry, stack = (begun[1], int(begun[2])), 0
        frame = _STACK.search(line)
        if frame:
            stack = int(frame[1])
        used = _USED.search(line)
        if used and entry is not None:
            shared = _SHARED.search(line)
            found[entry] = Compiled(int(used[1]), int(shared[1]) if shared else 0, stack)
            entry = None
    return found


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
