"""Helpers for attacks: a payload that leaves a mark if it runs, and checks of folders."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import resource
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from envs.errors import TunerError


class Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.marker,))


def tree(folder: Path) -> dict[str, str]:
    """Return all entries of a folder by path: targets of links and hashes of files."""
    found = {}
    for where, folders, files in os.walk(folder):
        for path in (Path(where, name) for name in (*folders, *files)):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                found[name] = f"link to {os.readlink(path)}"
            else:
                found[name] = (
                    hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "other"
                )
    return found


@contextlib.contextmanager
def untouched(folder: Path, but: tuple[Path, ...] = ()) -> Iterator[None]:
    """Check that nothing appears, vanishes or changes in `folder`, except inside `but`."""
    before = tree(folder)
    yield
    after = tree(folder)
    inside = tuple(str(path.relative_to(folder)) for path in but)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {
        name
        for name in changed
        if not any(name == each or name.startswith(f"{each}/") for each in inside)
    } == set()


@contextlib.contextmanager
def refused(words: str, kind: type[TunerError] = TunerError) -> Iterator[None]:
    """Expect an error of the project on one printable line."""
    with pytest.raises(kind, match=words) as caught:
        yield
    message = str(caught.value)
    assert message.isprintable(), message
    assert len(message) < 2000


@contextlib.contextmanager
def little_memory(mib: int) -> Iterator[None]:
    """Limit the growth of the address space, so that a false size in a file is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + (mib << 20), before[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def array_bytes(array: np.ndarray, pickled: bool = False) -> bytes:
    """Return an .npy file."""
    content = io.BytesIO()
    np.lib.format.write_array(content, array, allow_pickle=pickled)
    return content.getvalue()


def claiming(shape: tuple[int, ...], dtype: str = "<f4", content: bytes = b"") -> bytes:
    """Return an .npy file whose header claims more than its content."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + content


def write_zip(
    path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
