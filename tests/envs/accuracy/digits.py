"""A convolutional network that learned scikit-learn's digits from pixels 0 to 255."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits

#: The first so many of 1,797 digits teach, the others test.
TAUGHT = 1300


class Digits(NamedTuple):
    """The network, samples for it as .npz (`x`, `y`), and what tests it."""

    path: Path
    samples: Path
    pictures: Any
    classes: Any


def make(folder: Path, seed: int = 0) -> Digits:
    """Train for some seconds and export; the network divides by 255 and normalises by itself."""
    digits = load_digits()
    pictures = (digits.images[:, None] * (255 / 16)).round().astype(np.float32)
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network only waits for others
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(256, 10),
    )

    class Normalised(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.network((image / 255 - 0.1) / 0.3)
            return scores

    whole = Normalised()
    given = torch.from_numpy(pictures[:TAUGHT])
    wanted = torch.from_numpy(digits.target[:TAUGHT])
    optimiser = torch.optim.Adam(whole.parameters(), 5e-3)
    for _ in range(8):
        for rows in torch.randperm(TAUGHT).split(50):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(whole(given[rows]), wanted[rows]).backward()
            optimiser.step()
    torch.set_num_threads(threads)
    path, samples = folder / "digits.onnx", folder / "digits.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that is not torch's newest
        _export(whole, given[:1], path)
    np.savez(samples, x=pictures[:TAUGHT], y=digits.target[:TAUGHT])
    return Digits(path, samples, pictures[TAUGHT:], digits.target[TAUGHT:])


def _export(network: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    torch.onnx.export(
        network.eval(),
        (example,),
        str(path),
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "n"}, "scores": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )


def right(session: Any, digits: Digits) -> float:
    """Return the share of the testing digits that a session of ONNX Runtime gets right."""
    (scores,) = session.run(None, {"image": digits.pictures})
    return float(np.mean(scores.argmax(axis=1) == digits.classes))
