"""Data of the networks that `benchmarks.answers` trains: bundled with scikit-learn, or generated.

Nothing is downloaded. Three parts never overlap: one trains, one is given as samples, one tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_digits

Array = npt.NDArray[Any]

#: Points of a generated signal, and what it can be.
SIGNAL_POINTS, SIGNAL_CLASSES = 96, 4

#: Pixels of a side of a generated picture, and the shapes that can stand in it.
SCENE_PIXELS, SCENE_CLASSES = 32, 3


@dataclass(frozen=True)
class Data:
    """Inputs and their labels in three parts.

    Attributes:
        train: (inputs [n, ...], labels [n, ...]).
        samples: inputs alone: nobody labels what calibrates.
        test: (inputs, labels).
    """

    train: tuple[Array, Array]
    samples: Array
    test: tuple[Array, Array]


def parted(inputs: Array, labels: Array, train: int, samples: int) -> Data:
    """Return the rows in three parts, drawn with a fixed seed; the rest tests."""
    order = np.random.default_rng(0).permutation(len(inputs))
    first, second, third = np.split(order, [train, train + samples])
    return Data((inputs[first], labels[first]), inputs[second], (inputs[third], labels[third]))


def digits() -> Data:
    """Return 1,797 handwritten digits [n, 1, 8, 8] with pixels 0..255 (scikit-learn, UCI)."""
    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.float32)
    return parted(pixels[:, None], found.target.astype(np.int64), 1000, 300)


def cancer() -> Data:
    """Return 569 tumours with 30 features each [n, 30], as measured (scikit-learn, UCI).

    The features have very different sizes: 0.001 to 4,254.
    """
    found = load_breast_cancer()
    return parted(found.data.astype(np.float32), found.target.astype(np.int64), 270, 120)


def signals() -> Data:
    """Return generated signals [n, 96, 1]: sines, squares, sawtooths and sweeps, with noise."""
    rng = np.random.default_rng(1)
    count = 3000
    labels = rng.integers(0, SIGNAL_CLASSES, count)
    time = np.linspace(0, 1, SIGNAL_POINTS)
    cycles, phase = rng.uniform(2, 6, (2, count, 1))
    turns = cycles * time + phase
    sweep = cycles * (0.5 * time + 1.5 * time**2) + phase
    forms = np.stack(
        [
            np.sin(2 * np.pi * turns),
            np.sign(np.sin(2 * np.pi * turns)),
            2 * (turns % 1) - 1,
            np.sin(2 * np.pi * sweep),
        ]
    )
    values = forms[labels, np.arange(count)] * rng.uniform(0.5, 2.0, (count, 1))
    values += rng.normal(0, 0.1, values.shape)
    return parted(values[..., None].astype(np.float32), labels.astype(np.int64), 2000, 400)


def scenes() -> Data:
    """Return generated pictures [n, 1, 32, 32], 0..1, with one shape each.

    The labels [n, 5] are the class (square, disc, triangle), and the centre and size [pixels].
    """
    rng = np.random.default_rng(2)
    count = 2600
    kinds = rng.integers(0, SCENE_CLASSES, count)
    width, height = rng.uniform(8, 16, (2, count))
    x = rng.uniform(width / 2, SCENE_PIXELS - width / 2)
    y = rng.uniform(height / 2, SCENE_PIXELS - height / 2)
    rows, columns = np.mgrid[:SCENE_PIXELS, :SCENE_PIXELS] + 0.5
    across = (columns - x[:, None, None]) / (width[:, None, None] / 2)
    down = (rows - y[:, None, None]) / (height[:, None, None] / 2)
    inside = np.stack(
        [
            (np.abs(across) <= 1) & (np.abs(down) <= 1),
            across**2 + down**2 <= 1,
            (np.abs(down) <= 1) & (np.abs(across) <= (down + 1) / 2),
        ]
    )[kinds, np.arange(count)]
    bright = rng.uniform(0.5, 0.9, (count, 1, 1))
    pictures = np.clip(inside * bright + rng.normal(0.1, 0.05, inside.shape), 0, 1)
    labels = np.stack([kinds, x, y, width, height], axis=1).astype(np.float32)
    return parted(pictures[:, None].astype(np.float32), labels, 1600, 400)
