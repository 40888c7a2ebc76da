"""Runs CUDA kernels on the processor through a thin shim, to compare elastic ones with originals.

Nothing here says how fast a kernel is on a GPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from envs.kernels.generator import ElasticKernel
from envs.kernels.shard_argument import ShardArgument, Size, shard_argument
from envs.kernels.syntax import KernelError

_SHIM = Path(__file__).with_name("shim.h")
#: Shared memory of a size that the launch gives, of which a processor's compiler knows nothing.
_DYNAMIC = re.compile(r"extern\s+__shared__\s+([\w\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;")
#: Strict arithmetic: no reordering, no fused operations, so that equal text gives equal bits.
_FLAGS = ("-std=c++17", "-O0", "-ffp-contract=off", "-fPIC", "-shared", "-pthread", "-w")

#: An argument of a kernel: an array goes as a pointer, int and float as 32-bit numbers.
Argument = npt.NDArray[np.float32] | npt.NDArray[np.int32] | int | float


class Processor:
    """Kernels that were built for the processor.

    Args:
        text: CUDA C++ source.
        names: the kernels to make callable.
        folder: where the build is kept; the same source is built once.
        more: C++ to build with it.

    Attributes:
        library: what was built.

    Raises:
        KernelError: there is no g++, or it refuses the source.
    """

    def __init__(self, text: str, names: Sequence[str], folder: Path, more: str = "") -> None:
        entries = "".join(f"SHIM_ENTRY({name})\n" for name in names)
        text = _DYNAMIC.sub(r"SHIM_DYNAMIC(\1, \2);", text)
        whole = f"{_SHIM.read_text()}\n{text}\n{entries}\n{more}\n"
        library = folder / f"{hashlib.sha256(whole.encode()).hexdigest()[:24]}.so"
        if not library.exists():
            _compile(whole, library)
        self.library = ctypes.CDLL(str(library))

    def run(
        self,
        name: str,
        arguments: Sequence[Argument | ShardArgument],
        grid: Size,
        block: Size,
        resident: int = 1,
        seed: int = 0,
    ) -> None:
        """Run a kernel; arrays among the arguments are read and written in place.

        Args:
            name: of the kernel.
            arguments: in the order of its parameters.
            grid: number of blocks.
            block: number of threads of each.
            resident: blocks that run at the same time.
            seed: changes the order in which threads run between barriers.

        Raises:
            KernelError: threads of a block waited at different barriers.
        """
        values = [_value(each) for each in arguments]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(each) for each in values])
        line = self.library[f"shim_run_{name}"](
            pointers,
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            ctypes.c_uint(resident),
            ctypes.c_uint(seed),
        )
        if line:
            raise KernelError(f"{name}: some threads of a block did not reach a barrier")

    def run_elastic(
        self,
        kernel: ElasticKernel,
        arguments: Sequence[Argument],
        grid: Size,
        block: Size,
        shards: Sequence[tuple[int, int]],
        blocks: int,
        threads: int,
        seed: int = 0,
    ) -> None:
        """Run an elastic kernel shard by shard.

        Args:
            kernel: the elastic kernel.
            arguments: those of the original.
            grid: logical blocks.
            block: logical threads of each.
            shards: ranges [first, last) of logical blocks.
            blocks: blocks that stay until a shard is done.
            threads: threads of each.
            seed: changes the order in which threads run.
        """
        name = kernel.entry(threads, int(np.prod(block)))
        for number, (first, last) in enumerate(shards):
            taken = ctypes.c_uint(0)
            shard = shard_argument(grid, block, first, last, ctypes.addressof(taken))
            size = (blocks, 1, 1), (threads, 1, 1)
            self.run(name, [*arguments, shard], *size, resident=blocks, seed=seed + number)


def _value(
    argument: Argument | ShardArgument,
) -> ctypes.c_void_p | ctypes.c_int | ctypes.c_float | ShardArgument:
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    if isinstance(argument, ShardArgument):
        return argument
    return ctypes.c_int(argument) if isinstance(argument, int) else ctypes.c_float(argument)


def _compile(whole: str, library: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        raise KernelError("there is no g++ on the PATH, which builds kernels for the processor")
    library.parent.mkdir(parents=True, exist_ok=True)
    source = library.with_suffix(".cpp")
    source.write_text(whole)
    unfinished = library.with_suffix(f".{os.getpid()}")
    run = subprocess.run(
        [compiler, *_FLAGS, "-o", str(unfinished), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        first = next((each for each in run.stderr.splitlines() if "error" in each), run.stderr)
        raise KernelError(f"g++ refuses the kernel: {first.strip()}")
    unfinished.rename(library)
