"""The computer that plans are bound to: the versions of everything that compiles or runs them."""

import functools
import re
from pathlib import Path

from envs.files import sha256_of
from envs.runtimes.tensorrt.cuda import GpuFacts
from envs.runtimes.tensorrt.spec import BuildHost
from envs.telemetry.power_mode import read_power_mode

#: Where L4T keeps the compiler of a DLA's loadables: JetPack 6 and 7, and JetPack 5. It comes with
#: L4T (package nvidia-l4t-dla-compiler), not with TensorRT.
DLA_COMPILERS = tuple(
    Path(f"usr/lib/aarch64-linux-gnu/{folder}/libnvdla_compiler.so")
    for folder in ("nvidia", "tegra")
)


def describe_host(tensorrt: str, facts: GpuFacts, root: Path = Path("/")) -> BuildHost:
    """Return the computer that plans are built for.

    Args:
        tensorrt: version of TensorRT.
        facts: of the GPU.
        root: the root of the file system.
    """
    return BuildHost(
        tensorrt,
        facts.name,
        "{}.{}".format(*facts.capability),
        facts.sm,
        read_power_mode(root),
        l4t_release(root),
        dla_compiler(root),
        facts.driver_version,
    )


def l4t_release(root: Path = Path("/")) -> str:
    """Return the release of Jetson Linux, such as `36.4.3`; empty on any other computer.

    /etc/nv_tegra_release begins with `# R36 (release), REVISION: 4.3`. A container may lack it, and
    then the package nvidia-l4t-core says it, as `36.4.3-20250107174145`.
    """
    found = re.search(r"# R(\d+) .*?REVISION: ([\d.]+)", _text(root / "etc/nv_tegra_release"))
    if found:
        return f"{found[1]}.{found[2]}"
    for package in _text(root / "var/lib/dpkg/status").split("\n\n"):
        if re.search(r"^Package: nvidia-l4t-core$", package, re.MULTILINE):
            version = re.search(r"^Version: (\S+)$", package, re.MULTILINE)
            return version[1].split("-")[0] if version else ""
    return ""


def dla_compiler(root: Path = Path("/")) -> str:
    """Return the first digits of the SHA-256 of the DLA's compiler; empty where there is none."""
    for path in DLA_COMPILERS:
        try:
            facts = (root / path).stat()
            return _digest(root / path, facts.st_size, facts.st_mtime_ns)
        except OSError:
            continue
    return ""


@functools.lru_cache(maxsize=8)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    """Return the digest of a file, which is read again if its size or its time has changed."""
    return sha256_of(path).hex()[:16]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
