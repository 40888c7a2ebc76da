"""Samples of a network's inputs: the user's own, read from a file, or invented ones."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import NamedArrays, Rows
from envs.errors import OptionError, one_line
from envs.files import read_arrays
from envs.spec import Network, TensorSpec

#: At most so many samples calibrate, and so many judge; a file may hold more.
CALIBRATING, JUDGING = 128, 512

#: One sample calibrates and one judges, at the least.
FEWEST = 2

#: The samples in use fill at most this much memory; an .npz file, which is read as a whole, four
#: times as much.
MAX_BYTES = 1 << 30

#: The first bytes of an .npy file (numpy.lib.format).
MAGIC = b"\x93NUMPY"

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one network.

    Attributes:
        arrays: [n, *shape] by input name, in the network's order.
        origin: the file they come from; empty for invented ones.
        total: how many samples the file holds; this object may have fewer.
    """

    arrays: NamedArrays
    origin: str = ""
    total: int = field(default=0, compare=False)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def synthetic(self) -> bool:
        """Return True if nobody gave them."""
        return not self.origin

    @functools.cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the names and the contents."""
        digest = hashlib.sha256()
        for name, array in self.arrays.items():
            digest.update(f"{name} {array.dtype} {array.shape} ".encode("utf-8", "replace"))
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def take(self, rows: Rows | slice) -> Samples:
        """Return some of the samples."""
        return replace(self, arrays={name: each[rows] for name, each in self.arrays.items()})

    def split(self) -> tuple[Samples, Samples]:
        """Return the samples that calibrate, and the others, which judge; no sample is in both.

        Half of them calibrate, at most `CALIBRATING`; at most `JUDGING` judge. They are drawn at
        random with a fixed seed, since files are often sorted by class or by time.
        """
        order = np.random.default_rng(0).permutation(len(self))
        half = min(CALIBRATING, len(self) // 2)
        return self.take(np.sort(order[:half])), self.take(np.sort(order[half : half + JUDGING]))

    def feeds(self, batch: int, exact: bool = False) -> Iterator[NamedArrays]:
        """Yield inputs [b, *shape] by name, b being at most `batch`.

        Args:
            batch: rows of a feed.
            exact: True to fill up the last feed with samples from the start, for a network that
                runs with `batch` rows only.
        """
        for start in range(0, len(self), batch):
            rows = np.arange(start, start + batch)
            rows = rows % len(self) if exact else rows[rows < len(self)]
            yield {name: each[rows] for name, each in self.arrays.items()}


def invented(network: Network, count: int, seed: int = 0) -> Samples:
    """Return random samples: unit normal numbers; bytes over their range; else 0 or 1.

    They are right for measuring speed. They say little about answers.
    """
    rng = np.random.default_rng(seed)
    return Samples({spec.name: _random(rng, spec, count) for spec in network.inputs}, total=count)


def positive(network: Network, count: int, seed: int = 0) -> Samples:
    """Return random samples whose floating-point numbers lie in [0, 1), such as pictures have."""
    rng, samples = np.random.default_rng(seed), invented(network, count, seed)
    arrays = {
        name: rng.random(each.shape).astype(each.dtype) if each.dtype.kind == "f" else each
        for name, each in samples.arrays.items()
    }
    return replace(samples, arrays=arrays)


def _random(rng: np.random.Generator, spec: TensorSpec, count: int) -> Array:
    shape, dtype = (count, *spec.shape), np.dtype(spec.dtype)
    if dtype.kind in "iub":
        limits = np.iinfo(dtype) if dtype.itemsize == 1 and dtype.kind != "b" else None
        low, high = (limits.min, limits.max + 1) if limits else (0, 2)
        return rng.integers(low, high, shape).astype(dtype)
    return rng.standard_normal(shape, dtype=np.float32).astype(dtype)


def sample_bytes(network: Network) -> int:
    """Return the size of one sample of a network [bytes]."""
    return sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in network.inputs)


def read_samples(path: str | Path, network: Network) -> Samples:
    """Return samples of a network, at most `CALIBRATING + JUDGING` of those that a file holds.

    Args:
        path: an .npz file with an array [n, *shape] for each input, by its name (any name where
            there is one input, and other arrays that do not fit it are left out); an .npy file
            [n, *shape] for a network with one input; or a folder of .npy files: one for each input,
            named after it, or for a network with one input one for each sample.
        network: gives the names, shapes and types of the inputs.

    Raises:
        OptionError: the file cannot be read, or does not hold samples of this network; the message
            starts with `samples`.
    """
    path = Path(path)
    try:
        arrays = _arrays_of(path, network)
    except (OSError, ValueError, EOFError) as error:
        why = getattr(error, "strerror", None) or one_line(error)
        raise OptionError(
            f"samples={path} cannot be read ({why}): give an .npz file, an .npy file or a folder"
            " of .npy files"
        ) from error
    matched = _matched(path, arrays, network)
    counts = {name: len(each) for name, each in matched.items()}
    total = min(counts.values())
    if len(set(counts.values())) > 1:
        raise OptionError(f"samples={path} has different numbers of samples: {counts}")
    if total < FEWEST:
        raise OptionError(
            f"samples={path} holds {total} sample{'s'[: total != 1]} of {network.name}: give at"
            f" least {FEWEST}, one to calibrate and one to judge, better 100"
        )
    row_bytes = sum(each[:1].nbytes for each in matched.values())
    count = max(FEWEST, min(total, CALIBRATING + JUDGING, MAX_BYTES // max(row_bytes, 1)))
    rows = np.sort(np.random.default_rng(0).permutation(total)[:count])
    inputs = {
        spec.name: _converted(path, np.asarray(matched[spec.name][rows]), spec)
        for spec in network.inputs
    }
    return Samples(inputs, str(path), total)


def _arrays_of(path: Path, network: Network) -> Mapping[str, Array]:
    """Return the arrays of a file or folder by name; those of a folder of samples as one."""
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        if not files:
            raise ValueError("the folder has no .npy file")
        names = {spec.name for spec in network.inputs}
        if len(names) > 1 or names <= {each.stem for each in files}:
            return {each.stem: _load(each) for each in files if each.stem in names}
        return {path.name: _gathered(files, len(network.inputs[0].shape))}
    if path.suffix == ".npy":
        return {path.stem: _load(path)}
    _demand_plain(path)
    return read_arrays(path, 4 * MAX_BYTES)


def _gathered(files: Sequence[Path], rank: int) -> Array:
    """Return the samples in files as one array, of as many files as are in use.

    Args:
        files: each has one sample, or several along one more axis.
        rank: of one sample.
    """
    order = np.random.default_rng(0).permutation(len(files))
    rows = list[Array]()
    for position in order:
        if sum(map(len, rows)) >= CALIBRATING + JUDGING or _bytes(rows) >= MAX_BYTES:
            break
        array = _load(files[position])
        rows.append(np.array(array if array.ndim > rank else array[None]))
        if rows[-1].shape[1:] != rows[0].shape[1:]:
            raise ValueError("its files have different shapes")
    return np.concatenate(rows)


def _bytes(rows: Sequence[Array]) -> int:
    return sum(each.nbytes for each in rows)


def _load(path: Path) -> Array:
    _demand_plain(path)
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path.name} is no .npy file")
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _demand_plain(path: Path) -> None:
    """Raise ValueError for a pipe or a device, which may have no end."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no plain file")


def _matched(path: Path, arrays: Mapping[str, Array], network: Network) -> dict[str, Array]:
    """Return the array of each input: by name, or the only one that fits a single input."""
    names = [spec.name for spec in network.inputs]
    if len(names) == 1 and names[0] not in arrays:
        shape = network.inputs[0].shape
        fits = [each for each in arrays.values() if each.shape[1:] == shape and each.ndim]
        if len(fits) != 1:
            held = ", ".join(f"{name} {list(each.shape)}" for name, each in arrays.items())
            raise OptionError(
                f"samples={path} must hold one array {_shape_of(network.inputs[0])} for the input"
                f" {names[0]!r} of {network.name}; it holds {held}"
            )
        return {names[0]: fits[0]}
    for spec in network.inputs:
        if spec.name not in arrays:
            raise OptionError(
                f"samples={path} has no array for the input {spec.name!r} of {network.name}: name"
                f" one after each input, {', '.join(map(repr, names))}"
            )
        if arrays[spec.name].shape[1:] != spec.shape or not arrays[spec.name].ndim:
            raise OptionError(
                f"samples={path}: {spec.name} has the shape {list(arrays[spec.name].shape)},"
                f" {network.name} takes {_shape_of(spec)}"
            )
    return {name: arrays[name] for name in names}


def _shape_of(spec: TensorSpec) -> str:
    return str(["n", *spec.shape]).replace("'", "")


def _converted(path: Path, values: Array, spec: TensorSpec) -> Array:
    """Return the values in the type of the input; OptionError where that would change them."""
    dtype = np.dtype(spec.dtype)
    if values.dtype.kind not in "fiub":
        raise OptionError(f"samples={path}: {spec.name} holds {values.dtype}, not numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise OptionError(f"samples={path}: {spec.name} holds a number that is NaN or infinite")
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        converted: Array = values.astype(dtype)
    exact = dtype.kind == "f" and np.isfinite(converted).all()
    if not exact and not np.array_equal(converted.astype(np.float64), values.astype(np.float64)):
        raise OptionError(
            f"samples={path}: {spec.name} holds {values.dtype} numbers that {spec.dtype}, the type"
            " of the input, cannot hold: save the array in that type"
        )
    return converted
