"""Compare two runs of a network, output by output; pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.spec import CLASSES, COSINE, EQUAL, Agreement

Outputs = Sequence[npt.NDArray[Any]]
Pair = tuple[FloatArray, FloatArray]

#: Numbers that are compared at once.
BLOCK = 1 << 22

#: Channels of an output whose magnitudes are further apart are compared in two parts: boxes in
#: pixels beside scores would hide scores that were lost. One INT8 scale leaves the smaller ones
#: fewer than four bits.
APART = 16.0

#: Numbers that differ by a smaller share of their mean are the same, but for rounding in FP32.
ALIKE = 1e-6


def agreement(
    reference: Outputs, answers: Outputs, count: int, synthetic: bool = False
) -> Agreement:
    """Return how far answers are those of a reference.

    For one output [N, C] of at least two floating-point numbers it is the share of samples whose
    largest number has the same place; else the cosine similarity of each output, the mean over the
    samples, of which the worst counts. One number a sample has a sign and no direction: its cosine
    is that of all samples together, less the mean of the reference (`_less_mean`). For whole
    numbers and truth values it is the share of equal ones. An output [N, channels, places] with
    large and small channels counts as two (`apart`).

    Args:
        reference: one array [N, ...] an output.
        answers: the same of the run that is judged.
        count: number of samples.
        synthetic: True if the samples were invented. Noise has no class, and rounding decides
            between two that are level: [N, C] less its mean is then compared by cosine similarity.
    """
    pairs = list(zip(reference, answers, strict=True))
    snr_db = min(_snr_db(*pair) for pair in pairs)
    if len(pairs) == 1 and reference[0].ndim == 2 and _has_classes(reference[0]):
        if not synthetic:
            value = 0.0
            if reference[0].shape == answers[0].shape:
                value = float(np.mean(_classes(reference[0]) == _classes(answers[0])))
            return Agreement(value, CLASSES, count, snr_db, synthetic)
        pairs = [(_centred(reference[0]), _centred(answers[0]))]
    if not synthetic:
        pairs = [_less_mean(*pair) for pair in pairs]
    value = min(
        _similarity(first[part], second[part] if first.shape == second.shape else second)
        for first, second in pairs
        for part in apart(first)
    )
    whole = all(each.dtype.kind in "iub" for each in reference)
    return Agreement(value, EQUAL if whole else COSINE, count, snr_db, synthetic)


def apart(output: npt.NDArray[Any]) -> list[tuple[Any, ...]]:
    """Return the index of an output, or of its large and its small channels.

    Only outputs [N, channels, places] and [N, places, channels] of floating-point numbers have
    channels here; the shorter axis holds them. Probabilities are never apart: those of classes that
    the samples do not have are small, and no answer depends on them.
    """
    if output.ndim != 3 or output.dtype.kind != "f" or not output.size:
        return [(...,)]
    axis = 1 if output.shape[1] <= output.shape[2] else 2
    ends = [
        np.abs(np.nan_to_num(end(output, axis=(0, 3 - axis))))
        for end in (np.fmin.reduce, np.fmax.reduce)
    ]
    sizes = np.maximum(*ends).astype(np.float64)
    large = sizes > sizes.max() / APART
    if sizes.max() <= APART or large.all() or not sizes[~large].any():
        return [(...,)]
    before = (slice(None),) * axis
    return [(*before, np.flatnonzero(large)), (*before, np.flatnonzero(~large))]


def _has_classes(output: npt.NDArray[Any]) -> bool:
    return output.shape[1] > 1 and output.dtype.kind == "f"


def _centred(output: npt.NDArray[Any]) -> FloatArray:
    """Return [N, C] less its mean over the classes, which no class depends on."""
    numbers = output.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(numbers - numbers.mean(axis=1, keepdims=True))


def _less_mean(
    reference: npt.NDArray[Any], answers: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return one number a sample less the mean of the reference, which is no answer.

    An INT8 network that gives the mean of its samples for each of them agrees with 300 K to five
    digits. Probabilities stay as they are, since those of samples of one class are all alike.
    """
    if reference.dtype.kind != "f" or reference.shape != answers.shape:
        return reference, answers
    if math.prod(reference.shape[1:]) != 1 or not np.isfinite(reference).all():
        return reference, answers
    first, second = reference.astype(np.float64), answers.astype(np.float64)
    mean, spread = first.mean(), np.ptp(first)
    if (first.min() >= 0 and first.max() <= 1) or spread <= ALIKE * abs(mean):
        return reference, answers
    with np.errstate(invalid="ignore"):
        return first - mean, second - mean


def _classes(output: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the place of the largest number, [N]; -1 where one is NaN: it equals no class."""
    numbers = output.astype(np.float32)
    broken = np.isnan(numbers).any(axis=1)
    return np.where(broken, -1, np.where(np.isnan(numbers), -np.inf, numbers).argmax(axis=1))


def _rows(output: npt.NDArray[Any]) -> FloatArray:
    return output.reshape(len(output), -1).astype(np.float64)


def _similarity(reference: npt.NDArray[Any], answers: npt.NDArray[Any]) -> float:
    """Return the mean cosine similarity over the samples, from 0 on; 0 for what is not finite."""
    if reference.shape != answers.shape:
        return 0.0
    if not reference.size:
        return 1.0
    if reference.dtype.kind in "iub":
        return float(np.mean(reference == answers))
    if math.prod(reference.shape[1:]) == 1:
        return float(_cosines(_rows(reference).T, _rows(answers).T).mean())
    return float(np.concatenate([_cosines(*each) for each in _blocks(reference, answers)]).mean())


def _blocks(reference: npt.NDArray[Any], answers: npt.NDArray[Any]) -> Iterator[Pair]:
    """Yield both as [n, numbers] for some samples at a time, so that copies stay small."""
    count = max(1, BLOCK // math.prod(reference.shape[1:]))
    for start in range(0, len(reference), count):
        yield _rows(reference[start : start + count]), _rows(answers[start : start + count])


def _cosines(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the cosine similarity of each row, from 0 on; 0 for what is not finite."""
    # NaN and infinity in both, at the same place, are the same answer.
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    first, second = (np.where(same & ~np.isfinite(each), 0.0, each) for each in (first, second))
    equal = (first == second).all(axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines = np.where(equal, 1.0, (first * second).sum(axis=1) / norms)
    return np.asarray(np.clip(np.nan_to_num(cosines, nan=0.0), 0.0, 1.0))


def _snr_db(reference: npt.NDArray[Any], answers: npt.NDArray[Any]) -> float:
    """Return the signal-to-noise ratio in decibels: infinite for equal answers, -inf for NaN."""
    if reference.shape != answers.shape:
        return -math.inf
    noise = signal = 0.0
    for first, second in _blocks(reference, answers) if reference.size else ():
        known = np.isfinite(first)
        with np.errstate(invalid="ignore", over="ignore"):
            noise += float(((second - first)[known] ** 2).sum())
        signal += float((first[known] ** 2).sum())
    if not math.isfinite(noise):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
