"""Policy bundles: the learned policy as plain arrays with a manifest. Opening one never runs code.

A bundle is an .npz file: the arrays of `SHAPES`, those of a twin where it was trained on one, and
`manifest`, JSON as bytes. Nothing in it is unpickled, no size that it claims is believed, and the
kind, shape and finiteness of every array are checked before anything is computed with it.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.belief.features import FEATURES
from envs.errors import BundleError, one_line
from envs.files import parse_json, read_arrays, replacing
from tuner.policy.device_twin import DeviceTwin

FORMAT = 3

#: Features that a score adds by weights of its own, beside the network: the array `trust`.
TRUSTED_NAMES = ("acquisition", "relative_gain", "relative_gain_per_second")
TRUSTED = [FEATURES.index(name) for name in TRUSTED_NAMES]

#: Arrays and their shapes, F features and H hidden units.
SHAPES: dict[str, tuple[str, ...]] = {
    "first.weight": ("H", "F"),
    "first.bias": ("H",),
    "summary.weight": ("H", "2H"),
    "summary.bias": ("H",),
    "second.weight": ("H", "H"),
    "second.bias": ("H",),
    "score.weight": ("1", "H"),
    "score.bias": ("1",),
    "trust": ("3",),
}

#: A bundle has a few dozen KB; a file that claims to be much larger is no bundle.
MAX_BYTES = 64 * 2**20

#: No episode is as long as this.
MAX_BUDGET = 10_000

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Bundle:
    """A learned policy. It serves any device, network and space that the device model describes.

    Attributes:
        budget: measurements of an episode in training, that of the default included.
        weights: the arrays of `SHAPES`.
        features: names of what it observes, in order.
        provenance: the source of its training, the options, versions and seeds.
        twin: what it knows of one recorded device; None where it was trained on none.
    """

    budget: int
    weights: Weights
    features: tuple[str, ...]
    provenance: dict[str, Any]
    twin: DeviceTwin | None = None


def save_bundle(path: Path, bundle: Bundle) -> None:
    """Write in one step; StorageError if that is impossible."""
    manifest = {
        "format": FORMAT,
        "budget": bundle.budget,
        "features": list(bundle.features),
        "provenance": bundle.provenance,
    }
    arrays: dict[str, Any] = dict(bundle.weights)
    if bundle.twin is not None:
        manifest["twin"] = bundle.twin.manifest()
        arrays |= bundle.twin.arrays()
    content = io.BytesIO()
    np.savez_compressed(
        content, manifest=np.frombuffer(json.dumps(manifest).encode(), dtype=np.uint8), **arrays
    )
    with replacing(path, "free some space and run the same command again") as file:
        file.write(content.getvalue())


def load_bundle(path: Path) -> Bundle:
    """Read and check a bundle; BundleError says what is wrong."""
    try:
        arrays = read_arrays(path, MAX_BYTES)
        manifest = parse_json(arrays.pop("manifest").tobytes())
        if manifest["format"] != FORMAT:
            raise BundleError(
                f"{path} has bundle format {manifest['format']!r:.20}, this version reads {FORMAT}:"
                " train it again"
            )
        source = manifest["provenance"].get("trace")
        if not isinstance(manifest["budget"], int) or not isinstance(source, (dict, type(None))):
            raise TypeError("a field of its manifest has the wrong type")
        told = manifest.get("twin")
        twin = None if told is None else DeviceTwin.read(told, arrays)
        bundle = Bundle(
            manifest["budget"],
            arrays,
            tuple(str(name) for name in manifest["features"]),
            dict(manifest["provenance"]),
            twin,
        )
    except FileNotFoundError:
        raise BundleError(
            f"there is no policy bundle {path}: train one with python -m tuner.train"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{path} is damaged or no policy bundle ({type(error).__name__}: {one_line(error)})"
        ) from error
    _check(path, bundle)
    return bundle


def _check(path: Path, bundle: Bundle) -> None:
    if bundle.features != FEATURES:
        raise BundleError(f"{path} observes other features than this version: train it again")
    if set(bundle.weights) != set(SHAPES):
        raise BundleError(f"{path} is damaged: its arrays are not those of a policy")
    if bundle.budget < 2:
        raise BundleError(
            f"{path} is damaged: a budget of {bundle.budget} measurements leaves nothing to decide"
        )
    if bundle.budget > MAX_BUDGET:
        raise BundleError(
            f"{path} is damaged: a budget of more than {MAX_BUDGET:,} measurements is no tuning"
        )
    hidden = bundle.weights["first.bias"].size
    sizes = {"H": hidden, "2H": 2 * hidden, "F": len(FEATURES), "1": 1, "3": len(TRUSTED)}
    for name, shape in SHAPES.items():
        array = bundle.weights[name]
        if (
            array.dtype != np.float32
            or array.shape != tuple(sizes[letter] for letter in shape)
            or not np.isfinite(array).all()
        ):
            raise BundleError(
                f"{path} is damaged: {name} is not finite float32 of shape {' x '.join(shape)}"
            )
