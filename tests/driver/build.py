"""Build the stub driver and real pycuda against it: `python -m tests.driver.build .venv/driver`.

CUDA's headers come from NVIDIA's packages, and pycuda from its sources. What is there already is
not built again. Ends with code 0 and one sentence if something is missing: a compiler, or a
package that cannot be downloaded; the tests are then skipped with that sentence.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PYCUDA = "pycuda==2026.1"
HEADERS = ("nvidia-cuda-runtime-cu12==12.6.77", "nvidia-cuda-profiler-api-cu12==12.6.77")
SOURCE = Path(__file__).parent / "libcuda.c"
#: Why nothing was built, in the folder of the build.
SKIPPED = "skipped"

_SITECONF = """
BOOST_INC_DIR = BOOST_LIB_DIR = BOOST_PYTHON_LIBNAME = BOOST_THREAD_LIBNAME = []
BOOST_COMPILER = "gcc43"
USE_SHIPPED_BOOST = True
CUDA_TRACE = CUDA_ENABLE_GL = CUDA_ENABLE_CURAND = False
CUDA_ROOT = None
CUDA_INC_DIR = {includes!r}
CUDADRV_LIB_DIR = [{library!r}]
CUDADRV_LIBNAME = ["cuda"]
CUDART_LIB_DIR = CUDART_LIBNAME = []
CXXFLAGS = ["-O0", "-w"]
LDFLAGS = []
"""


class Missing(Exception):
    """Something that the build needs is not here."""


def build(folder: Path) -> None:
    """Build both into `folder`: lib/libcuda.so.1 and site/pycuda."""
    for tool in ("gcc", "g++", "nm"):
        if shutil.which(tool) is None:
            raise Missing(f"there is no {tool} here")
    includes = _headers(folder / "headers")
    library = folder / "lib" / "libcuda.so.1"
    _compile(includes, [SOURCE], library)
    extensions = list((folder / "site").glob("pycuda/_driver*.so"))
    if not extensions:
        _pycuda(folder, includes, library.parent)
        extensions = list((folder / "site").glob("pycuda/_driver*.so"))
    refused = folder / "refused.c"
    names = sorted(_symbols(extensions[0], "--undefined-only") - _symbols(library))
    refused.write_text("".join(f"int {name}(void) {{ return 801; }}\n" for name in names))
    _compile(includes, [SOURCE, refused], library)


def _headers(folder: Path) -> list[str]:
    if not list(folder.glob("nvidia/*/include/cudaProfiler.h")):
        folder.mkdir(parents=True, exist_ok=True)
        _pip("download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), *HEADERS)
        for wheel in folder.glob("nvidia_cuda_*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    return [str(each.resolve()) for each in folder.glob("nvidia/*/include")]


def _compile(includes: list[str], sources: list[Path], library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    options = ["-Wall", "-O1", "-g", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    paths = [f"-I{each}" for each in includes]
    _run("gcc", *options, *paths, "-o", str(library), *map(str, sources), "-lpthread")
    linked = library.with_suffix("")  # libcuda.so, the name that a linker looks for
    linked.unlink(missing_ok=True)
    linked.symlink_to(library.name)


def _pycuda(folder: Path, includes: list[str], library: Path) -> None:
    sources = folder / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    _pip("download", "--no-deps", "--no-binary", "pycuda", "--dest", str(sources), PYCUDA)
    with tarfile.open(next(sources.glob("pycuda-*.tar.gz"))) as archive:
        archive.extractall(sources, filter="data")
    root = next(each for each in sources.iterdir() if each.is_dir())
    text = _SITECONF.format(includes=includes, library=str(library.resolve()))
    (root / "siteconf.py").write_text(text)
    _pip("wheel", "--no-deps", "--wheel-dir", str(sources), str(root))
    wheel = next(sources.glob("pycuda-*.whl"))
    _pip("install", "--upgrade", "--target", str(folder / "site"), str(wheel))


def _symbols(library: Path, *options: str) -> set[str]:
    lines = _run("nm", "-D", *options, str(library)).splitlines()
    return {line.split()[-1] for line in lines if line.split()[-1].startswith("cu")}


def _pip(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it does not say why"]
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise Missing(f"{' '.join(command[:5])} failed: {errors[-1].strip()}")
    return done.stdout


def main() -> None:
    """Build into the folder that is given, or write down why not."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    skipped = folder / SKIPPED
    skipped.unlink(missing_ok=True)
    try:
        build(folder)
    except (Missing, OSError) as error:
        skipped.write_text(f"the stub driver and pycuda cannot be built: {error}\n")
        sys.stdout.write(skipped.read_text())


if __name__ == "__main__":
    main()
