"""Reads the engine inspector's JSON: which layers of an engine run on the GPU, and which blocks on a DLA.

With fallback allowed, TensorRT moves to the GPU what a DLA does not take, and says so in its build log alone. In the engine each piece that
runs on a DLA is one layer called `{ForeignNode[first...last]}`, with copies around it ("... to nvm", "... from nvm", "... copy finish"; as in
NVIDIA/TensorRT issue 3143). On the GPU the same name is a graph that Myelin compiled, and the layer's type says so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

#: What moves or reorders data and computes nothing.
_PLUMBING_NAME = re.compile(
    r"( to nvm$| from nvm$| copy finish$|^Reformatting CopyNode |\[Shuffle\]|^reshape_|_reshape$)",
    re.IGNORECASE,
)
_PLUMBING_TYPE = frozenset(
    {
        "reformat",
        "cast",
        "noop",
        "no-op",
        "shuffle",
        "signal",
        "wait",
        "constant",
        "shapehosttodevice",
        "devicetoshapehost",
    }
)
_FOREIGN = re.compile(r"^\{ForeignNode\[.*\]\}", re.DOTALL)


@dataclass(frozen=True)
class PlacedLayers:
    """Where the layers of an engine run, by name.

    Attributes:
        dla: blocks on the DLA: each is one loadable of the 16 that a core holds.
        gpu: layers that compute on the GPU.
        copies: copies and reformats; where they are kernels, these take time on the GPU as well.
    """

    dla: tuple[str, ...]
    gpu: tuple[str, ...]
    copies: tuple[str, ...]

    @property
    def fell_back(self) -> bool:
        """Whether an engine that was meant for a DLA computes on the GPU, or left the DLA in between."""
        return bool(self.gpu) or len(self.dla) != 1

    def describe(self) -> str:
        """One sentence on an engine that was meant for a DLA."""
        if not self.fell_back:
            return f"all on the DLA, in one block, with {len(self.copies)} copies around it"
        some = ", ".join(self.gpu[:3]) + (", ..." if len(self.gpu) > 3 else "")
        fallen = f": {some}" if self.gpu else ""
        return f"{len(self.dla)} blocks on the DLA and {len(self.gpu)} layers on the GPU{fallen}"


def placed_layers(text: str, on_dla: bool) -> PlacedLayers:
    """Sorts the layers in what `get_engine_information` gave; `on_dla` where the engine was built for a DLA.

    Raises:
        ValueError: that is not the inspector's JSON.
    """
    dla, gpu, copies = [], [], []
    for name, kind in _layers(text):
        if "dla" in kind or (
            on_dla and _FOREIGN.match(name) and not kind.startswith(("myelin", "kgen"))
        ):
            dla.append(name)
        elif kind in _PLUMBING_TYPE or _PLUMBING_NAME.search(name):
            copies.append(name)
        else:
            gpu.append(name)
    return PlacedLayers(tuple(dla), tuple(gpu), tuple(copies))


def tensor_core_layers(text: str) -> tuple[str, ...]:
    """Layers whose kernel's name says that it uses Tensor cores. Names are NVIDIA's and undocumented: absence is a hint, not a proof."""
    marks = (
        "tensorop",
        "tensor16x8",
        "tensor8x8",
        "tf32",
        "imma",
        "hmma",
        "h16816",
        "h1688",
        "s16816",
        "s1688",
        "i16832",
        "i8816",
    )
    found = []
    for layer in _entries(text):
        tactic = str(layer.get("TacticName", "")).lower() if isinstance(layer, dict) else ""
        if any(mark in tactic for mark in marks):
            found.append(str(layer["Name"]))
    return tuple(found)


def _layers(text: str) -> list[tuple[str, str]]:
    """(name, type in small letters); the type is empty where the engine keeps names alone."""
    result = []
    for layer in _entries(text):
        if isinstance(layer, dict):
            result.append((str(layer.get("Name", "")), str(layer.get("LayerType", "")).lower()))
        else:
            result.append((str(layer), ""))
    return result


def _entries(text: str) -> list[Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the engine inspector gave no JSON: {error}") from error
    layers = data.get("Layers") if isinstance(data, dict) else None
    if not isinstance(layers, list):
        raise ValueError("the engine inspector's JSON has no list of layers")
    return layers
