"""Layers of published networks, which can be modelled without their files."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from envs.errors import OptionError
from envs.graph.layer_table import LayerTable

#: Written by `python -m benchmarks.drawings.write`.
DATA = Path(__file__).parent / "data" / "networks.json"


def reference_names() -> tuple[str, ...]:
    """Return the names of all reference networks, sorted."""
    return tuple(sorted(_entries()))


@cache
def reference_network(name: str) -> LayerTable:
    """Return the layers of a published network; raise OptionError if there is none by that name."""
    if name not in _entries():
        raise OptionError(
            f"unknown reference network {name!r}: choose from {', '.join(reference_names())}"
        )
    entry = _entries()[name]
    return LayerTable(**{key: entry[key] for key in entry if key != "source"})


@cache
def _entries() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return entries
