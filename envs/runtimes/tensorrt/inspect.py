"""Reads the engine inspector's JSON: which layers run on the GPU, and which blocks on a DLA.

TensorRT moves the layers that a DLA does not take to the GPU, and says so in its build log only. In
the engine each part that runs on a DLA is one layer called `{ForeignNode[first...last]}`, with
copies around it ("... to nvm", "... from nvm", "... copy finish"; as in NVIDIA/TensorRT issue
3143). On the GPU the same name is a graph that Myelin compiled, and the layer's type says so.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

#: Layers that move or reorder data and compute nothing.
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
    """The names of an engine's layers, by the hardware that runs them.

    Attributes:
        dla: blocks on the DLA: each is one loadable of the 16 that a core holds.
        gpu: layers that compute on the GPU.
        copies: copies and reformats; those that are kernels take time on the GPU as well.
    """

    dla: tuple[str, ...]
    gpu: tuple[str, ...]
    copies: tuple[str, ...]

    @property
    def fell_back(self) -> bool:
        """Return True if a DLA engine computes on the GPU too, or leaves the DLA in between."""
        return bool(self.gpu) or len(self.dla) != 1

    def describe(self) -> str:
        """Return one sentence on an engine that was built for a DLA."""
        if not self.fell_back:
            return f"all on the DLA, in one block, with {len(self.copies)} copies around it"
        some = ", ".join(self.gpu[:3]) + (", ..." if len(self.gpu) > 3 else "")
        fallen = f": {some}" if self.gpu else ""
        return f"{len(self.dla)} blocks on the DLA and {len(self.gpu)} layers on the GPU{fallen}"


def placed_layers(text: str, on_dla: bool) -> PlacedLayers:
    """Sort the layers of an engine by where they run.

    Args:
        text: from `get_engine_information`.
        on_dla: whether the engine was built for a DLA.

    Raises:
        ValueError: `text` is not the inspector's JSON.
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


def _layers(text: str) -> list[tuple[str, str]]:
    """Return (name, type in lower case); the type is empty if the engine keeps names only."""
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
