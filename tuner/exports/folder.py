"""Folders that appear whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Union

from envs.errors import OptionError, StorageError

#: The content of a file: its text or bytes, or a function that writes it; None: an empty folder.
Content = Union[str, bytes, Callable[[Path], object], None]
Files = dict[str, Content]

#: The file that marks a folder as an export.
MANIFEST = "export.json"


def check_free(out: Path, overwrite: bool) -> None:
    """Raise an OptionError unless `out` may be written.

    That is so where it does not exist, is empty, or is an older export and `overwrite` is set.
    """
    try:
        if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
            return
        if not out.is_dir():
            raise OptionError(f"out={out} is a file: name a folder")
        if not overwrite:
            raise OptionError(f"out={out} is not empty: name another folder, or give --overwrite")
        if not (out / MANIFEST).is_file():
            raise OptionError(
                f"out={out} holds something else than an export, which is not overwritten: name"
                " another folder"
            )
    except OSError as error:
        raise OptionError(
            f"out={out} cannot be read ({error.strerror or error}): name another folder"
        ) from error


def write_folder(
    out: Path, files: Mapping[str, Content], manifest: Mapping[str, Any], overwrite: bool = False
) -> None:
    """Write a folder beside `out`, and rename it when it is complete.

    Args:
        out: the folder.
        files: the content of each file by its path inside the folder.
        manifest: written into `MANIFEST`.
        overwrite: replace an older export.

    Raises:
        OptionError: see `check_free`.
        StorageError: it cannot be written; `out` is as it was before.
    """
    check_free(out, overwrite)
    out = out.resolve()  # a link stays a link
    part, old = (out.with_name(f".{out.name}.{os.getpid()}.{word}") for word in ("part", "old"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        for name, content in {**files, MANIFEST: json.dumps(manifest, indent=2) + "\n"}.items():
            _write(part / name, content)
        _make_readable(part)
        _swap(part, out, old)
    except OSError as error:
        raise StorageError(
            f"cannot write {out} ({error.strerror or error}): free some space or name another"
            " folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: Content) -> None:
    if content is None:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _make_readable(folder: Path) -> None:
    """Give every file the permissions of a new file, as the umask has them; scripts can be run.

    Libraries write some files for their owner alone.
    """
    mode = (folder / MANIFEST).stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode | (mode & 0o444) >> 2 if path.suffix == ".sh" else mode)


def _swap(part: Path, out: Path, old: Path) -> None:
    """Put `part` in the place of `out`, which is kept as `old`; put it back where that fails."""
    if not out.exists():
        os.rename(part, out)
        return
    os.rename(out, old)
    try:
        os.rename(part, out)
    except OSError:
        os.rename(old, out)
        raise
