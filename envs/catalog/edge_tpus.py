"""Edge TPUs: what serving and swapping networks takes; `data/edge_tpus.json` has the sources.

The times were measured by others, network by network. Nothing here predicts another network.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from envs.errors import OptionError

FACTS = Path(__file__).parent / "data" / "edge_tpus.json"


@dataclass(frozen=True)
class EdgeTpuProfile:
    """A network on an Edge TPU.

    Attributes:
        service_s: time of one sample while the network is loaded, its transfer included.
        swap_s: what it takes more after another network.
        on_chip_mib: weights that stay in the SRAM; NaN if nobody told.
        off_chip_mib: weights that are streamed with every sample, which `service_s` includes; NaN
            if nobody told.
    """

    service_s: float
    swap_s: float
    on_chip_mib: float = math.nan
    off_chip_mib: float = math.nan


def profiled_networks() -> tuple[str, ...]:
    """Return the names of the networks whose times are known."""
    return tuple(_facts()["networks"])


def edge_tpu_profile(network: str) -> EdgeTpuProfile:
    """Return the times of a network on an Edge TPU.

    A network is known by its name alone, whatever the size of its input.

    Raises:
        OptionError: nobody has published them.
    """
    known = _facts()["networks"]
    name = network.lower().replace("-", "_")
    if name not in known:
        raise OptionError(
            f"nobody has published what {network} takes on an Edge TPU: leave edgetpu out, or take"
            f" one of {', '.join(known)}"
        )
    facts = {key: float(value[0]) for key, value in known[name].items()}
    return EdgeTpuProfile(
        facts["service_ms"] / 1e3,
        facts["swap_ms"] / 1e3,
        facts.get("on_chip_mib", math.nan),
        facts.get("off_chip_mib", math.nan),
    )


def is_profiled(network: str) -> bool:
    """Return True if the times of a network on an Edge TPU are known."""
    return network.lower().replace("-", "_") in _facts()["networks"]


def busy_w() -> float:
    """Return the power of an Edge TPU that works."""
    return float(_facts()["busy_w"][0])


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    return facts
