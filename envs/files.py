"""Files that somebody else may have put there: read within bounds and never unpickled, written without following a link.

`ValueError` says what is wrong with the contents, `OSError` what the system refuses; callers turn both into a sentence of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

#: A file of settings is a few hundred bytes.
SMALL_BYTES = 1 << 20

#: More than the longest header of an array.
HEADER_BYTES = 1 << 17


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` once it is whole; a link of that name, or of the unfinished file's, is replaced and not followed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)  # what a process of the same number left when it was killed
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def sha256_of(path: Path) -> bytes:
    """The digest of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def read_small(path: Path, most: int = SMALL_BYTES) -> bytes:
    """The content of a plain file; ValueError for a pipe or a device, which would not end, and for more than `most` bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is no plain file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def parse_json(content: bytes) -> Any:
    """What the text says; ValueError also where it is nested too deeply to be read."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


#: Types that fields of described things have, as their dataclasses write them. True is no number here.
KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "int | None": (int, type(None)),
}


def check_fields(record: Any) -> None:
    """ValueError where a field of a dataclass that was made from a file is of another type than it should be, NaN, or a number below zero."""
    for field in fields(record):
        value, kinds = getattr(record, field.name), KINDS.get(str(field.type), (object,))
        if type(value) not in kinds and object not in kinds:
            raise ValueError(f"{field.name} is {type(value).__name__}, not {field.type}")
        if type(value) in (int, float) and not value >= 0:
            raise ValueError(f"{field.name} is {value}, which is not from 0 on")


def read_arrays(path: Path, most: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file, which may be changed; ValueError unless it is a zip of plain arrays whose sizes are true.

    Sizes are compared before memory is asked for, and there is no way to an unpickler here, whatever a file says.

    Args:
        most: bytes that all members together may claim.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > most:
                raise ValueError(f"it claims more than {most:,} bytes")
            return {
                member.filename.removesuffix(".npy"): _array(bytearray(archive.read(member)))
                for member in members
            }
    except (OSError, ValueError):
        raise
    except Exception as error:  # damaged archives and headers end in errors without a common base
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _array(content: bytearray) -> npt.NDArray[Any]:
    """An array from the bytes of an .npy file of version 1.0, the one that numpy writes for all plain types."""
    file = io.BytesIO(content[:HEADER_BYTES])
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array has the version {version}")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or dtype.names or not dtype.itemsize:
        raise ValueError(f"an array holds {dtype}, no numbers")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(
            f"an array claims the shape {shape}, which is not the size of what is there"
        )
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(
        shape, order="F" if by_column else "C"
    )
