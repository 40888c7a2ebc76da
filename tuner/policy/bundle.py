"""Policy bundles: the learned policy as plain arrays with a manifest. Opening one never runs code.

A bundle is an .npz file: the arrays of `ARRAYS`, and `manifest`, JSON as bytes. It is read with pickling off, and every
array's kind, shape and finiteness is checked before anything is computed with it.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.configuration import ConfigurationSpace
from envs.errors import BundleError, StorageError, TunerError

FORMAT = 1
STACKS = ("encoder", "embedder")
ARRAYS = tuple(f"{stack}.{layer}.{part}" for stack in STACKS for layer in (0, 2, 4) for part in ("weight", "bias"))

#: A bundle is a few hundred KB; whatever claims to be much larger is none.
MAX_BYTES = 256 * 2**20

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Bundle:
    """A learned policy.

    Attributes:
        space: the space it was trained in.
        candidates: [N, T, A, 2], what its scores are of.
        slots: measurements of an episode, the default configuration's included.
        weights: the arrays of `ARRAYS`, and `bias` [N].
        provenance: what it was trained on, how, with which versions and seeds.
    """

    space: ConfigurationSpace
    candidates: npt.NDArray[np.int16]
    slots: int
    weights: Weights
    provenance: dict[str, Any]

    def check_space(self, space: ConfigurationSpace) -> None:
        """BundleError unless configurations mean the same in `space`: accelerators, tenants, instances and batches."""
        ours, theirs = describe_space(self.space), describe_space(space)
        for key, value in ours.items():
            if theirs[key] != value:
                raise BundleError(f"the policy bundle is from another space: its {key} {value}, here {theirs[key]}; train one for this space")


def describe_space(space: ConfigurationSpace) -> dict[str, Any]:
    """What two spaces must share for a configuration to mean the same in both."""
    return {
        "accelerators are": ", ".join(space.device.accelerator_names),
        "number of tenants is": space.shape[0],
        "most instances are": space.max_instances,
        "batches are": list(space.batches),
    }


def save_bundle(path: Path, bundle: Bundle) -> None:
    """Write in one step; StorageError if that is impossible."""
    manifest = {"format": FORMAT, "space": bundle.space.to_dict(), "slots": bundle.slots, "provenance": bundle.provenance}
    arrays: dict[str, Any] = dict(bundle.weights)
    content = io.BytesIO()
    np.savez_compressed(content, manifest=np.frombuffer(json.dumps(manifest).encode(), dtype=np.uint8), candidates=bundle.candidates, **arrays)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror or error}; free some space and run the same command again") from error


def load_bundle(path: Path) -> Bundle:
    """Read and check a bundle; BundleError says what is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise BundleError(f"{path} claims more than {MAX_BYTES >> 20} MiB: it is no policy bundle")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        manifest = json.loads(arrays.pop("manifest").tobytes())
        if manifest["format"] != FORMAT:
            raise BundleError(f"{path} has bundle format {manifest['format']}, this version reads {FORMAT}: train it again")
        bundle = Bundle(
            ConfigurationSpace.from_dict(manifest["space"]),
            arrays.pop("candidates"),
            int(manifest["slots"]),
            arrays,
            manifest["provenance"],
        )
    except FileNotFoundError:
        raise BundleError(f"there is no policy bundle {path}: train one with python -m tuner.train") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"{path} is damaged or no policy bundle ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'})"
        ) from error
    except TunerError as error:
        raise error if isinstance(error, BundleError) else BundleError(f"{path} is damaged: {error}") from error
    _check(path, bundle)
    return bundle


def _check(path: Path, bundle: Bundle) -> None:
    count = len(bundle.candidates)
    if bundle.candidates.shape != (count, *bundle.space.shape, 2) or count == 0 or bundle.candidates.dtype.kind != "i":
        raise BundleError(f"{path} is damaged: its candidates have shape {bundle.candidates.shape}")
    if (bundle.space.codes(bundle.candidates) < 0).any():
        raise BundleError(f"{path} is damaged: a candidate lies outside its space")
    if set(bundle.weights) != {*ARRAYS, "bias"}:
        raise BundleError(f"{path} is damaged: its arrays are not those of a policy")
    for name, array in bundle.weights.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise BundleError(f"{path} is damaged: {name} is not finite float32")
    if bundle.weights["bias"].shape != (count,):
        raise BundleError(f"{path} is damaged: {len(bundle.weights['bias'])} biases for {count} candidates")
