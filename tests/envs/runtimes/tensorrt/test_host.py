from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from envs.runtimes.tensorrt.host import describe_host, dla_compiler, l4t_release
from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec, identity
from envs.spec import Kind
from tests.envs.telemetry.trees import write
from tests.standins.tensorrt.driver import ORIN

RELEASE = (
    "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64,"
    " DATE: Wed Jan  8 01:49:37 UTC 2025"
)
STATUS = """Package: nvidia-l4t-cuda
Version: 35.1.0-20250107174145

Package: nvidia-l4t-core
Status: install ok installed
Version: 36.4.4-20250616085344

Package: nvidia-l4t-core-tools
Version: 1.0
"""


def board(root: Path) -> Path:
    write(root / "etc/nv_tegra_release", RELEASE)
    write(root / "var/lib/nvpmodel/status", "pmode:0002")
    write(root / "usr/lib/aarch64-linux-gnu/nvidia/libnvdla_compiler.so", "compiler")
    return root


def test_the_release_is_that_of_the_file_else_that_of_the_package(tmp_path: Path) -> None:
    assert l4t_release(tmp_path) == ""
    write(tmp_path / "var/lib/dpkg/status", STATUS)
    assert l4t_release(tmp_path) == "36.4.4"
    write(tmp_path / "etc/nv_tegra_release", RELEASE)
    assert l4t_release(tmp_path) == "36.4.3"


@pytest.mark.parametrize("folder", ["nvidia", "tegra"])
def test_the_compiler_of_a_dla_is_told_by_its_content(tmp_path: Path, folder: str) -> None:
    assert dla_compiler(tmp_path) == ""
    path = write(tmp_path / f"usr/lib/aarch64-linux-gnu/{folder}/libnvdla_compiler.so", "one")
    assert dla_compiler(tmp_path) == hashlib.sha256(b"one\n").hexdigest()[:16]
    path.touch()
    assert dla_compiler(tmp_path) == hashlib.sha256(b"one\n").hexdigest()[:16]


def test_a_desktop_has_neither(tmp_path: Path) -> None:
    host = describe_host("10.3.0", ORIN, tmp_path)
    assert (host.l4t, host.dla_compiler, host.cuda_driver) == ("", "", 12060)
    assert host.power_mode == "unknown"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("etc/nv_tegra_release", RELEASE.replace("4.3", "4.0")),
        ("usr/lib/aarch64-linux-gnu/nvidia/libnvdla_compiler.so", "another compiler"),
        ("var/lib/nvpmodel/status", "pmode:0003"),
    ],
)
def test_an_engine_of_another_release_compiler_or_mode_is_another_engine(
    tmp_path: Path, file: str, content: str
) -> None:
    spec = EngineSpec(Kind.DLA, "int8", 4, True, True)
    before = describe_host("10.3.0", ORIN, board(tmp_path))
    write(tmp_path / file, content)
    after = describe_host("10.3.0", ORIN, tmp_path)
    keys = [identity("ab" * 32, spec, host, BuildOptions()) for host in (before, after)]
    assert keys[0] != keys[1]
