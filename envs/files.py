"""Read and write files that may come from somebody else.

Reading is bounded in size and never unpickles; writing never follows a link. A `ValueError` says
what is wrong with the contents, an `OSError` what the system refuses; callers turn both into a
sentence for the user, as `replacing` does.
"""

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

from envs.arrays import NamedArrays
from envs.errors import StorageError

#: Upper bound for settings, whose files have a few hundred bytes.
SMALL_BYTES = 1 << 20

#: Advice for a file that cannot be written.
REMEDY = "free some space or choose another place"

#: What a trial writes: a full disk still takes an empty file.
BLOCK_BYTES = 1 << 12

#: Upper bound for the header of a stored array.
HEADER_BYTES = 1 << 17


@contextlib.contextmanager
def replacing(path: Path, remedy: str = REMEDY, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` when the block ends without an error.

    A link called `path`, or called like the temporary file, is replaced and not followed. The file
    gets the permissions `mode`, less those that the process's mask forbids.

    Raises:
        StorageError: the file cannot be written; the message ends with `remedy`.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # a killed process with the same process id left it
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise StorageError(f"cannot write {path}: {reason}; {remedy}") from error
        raise


def write_text(path: Path, text: str) -> Path:
    """Write a text file in one step and return its path; raise StorageError if that fails."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "replace"))  # names may hold surrogates
    return path


def check_writable(path: Path, remedy: str = REMEDY) -> None:
    """Check that `replacing` can write a file, by writing another one beside it.

    Raises:
        StorageError: the folder is missing or cannot be written, or `path` is no plain file; the
            message ends with `remedy`.
    """
    if path.is_dir():
        raise StorageError(f"cannot write {path}: it is a folder; name a file in it")
    if path.exists() and not path.is_file():  # it would be replaced, even /dev/null
        raise StorageError(f"cannot write {path}: it is no plain file; {remedy}")
    if not path.parent.is_dir():
        raise StorageError(
            f"cannot write {path}: there is no folder {path.parent}; make it, or choose another"
            " place"
        )
    trial = path.with_name(f".{path.name}.{os.getpid()}.trial")
    try:
        with replacing(trial, remedy) as file:
            file.write(bytes(BLOCK_BYTES))
    except StorageError as error:
        cause = error.__cause__
        reason = (cause.strerror if isinstance(cause, OSError) else "") or cause
        raise StorageError(f"cannot write {path}: {reason}; {remedy}") from cause
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()


def sha256_of(path: Path) -> bytes:
    """Return the SHA-256 digest of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def read_small(path: Path, max_bytes: int = SMALL_BYTES) -> bytes:
    """Return the content of a plain file.

    Raises:
        ValueError: the file is a pipe or a device, which may have no end, or has more than
            `max_bytes`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is not a plain file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content


def parse_json(content: bytes) -> Any:
    """Parse JSON; raise ValueError if it is invalid or nested too deeply."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


#: Accepted types by the annotation of a dataclass field. A bool is not accepted as a number.
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "int | None": (int, type(None)),
}


def check_fields(record: Any) -> None:
    """Check the fields of a dataclass that was made from a file.

    Raises:
        ValueError: a field has another type than its annotation, is NaN, or is below zero.
    """
    for field in fields(record):
        value = getattr(record, field.name)
        types = _FIELD_TYPES.get(str(field.type))
        if types is not None and type(value) not in types:
            raise ValueError(f"{field.name} is {type(value).__name__}, not {field.type}")
        if type(value) in (int, float) and not value >= 0:
            raise ValueError(f"{field.name} is {value}, which is not 0 or above")


def read_arrays(path: Path, max_bytes: int) -> NamedArrays:
    """Return the arrays of an .npz file by name; they are writable.

    Sizes are checked before memory is allocated, and no file can reach an unpickler.

    Args:
        path: the file.
        max_bytes: upper bound for the claimed sizes of all members together.

    Raises:
        ValueError: the file is not a zip of plain arrays, or a claimed size is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > max_bytes:
                raise ValueError(f"it claims more than {max_bytes:,} bytes")
            return {
                member.filename.removesuffix(".npy"): _array(bytearray(archive.read(member)))
                for member in members
            }
    except (OSError, ValueError):
        raise
    except Exception as error:  # errors of damaged archives have no common base
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _array(content: bytearray) -> npt.NDArray[Any]:
    """Return the array in an .npy file of version 1.0, which NumPy writes for all plain types."""
    file = io.BytesIO(content[:HEADER_BYTES])
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array has the version {version}")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or dtype.names or not dtype.itemsize:
        raise ValueError(f"an array holds {dtype}, not numbers")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"an array claims the shape {shape}, which is not the size of its content")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(
        shape, order="F" if by_column else "C"
    )
