"""Layers of published networks, so that a device can be modelled for them without their files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from envs.errors import OptionError
from envs.graph.layers import LayerTable

#: Written by `python -m envs.catalog.write_networks`.
DATA = Path(__file__).parent / "data" / "networks.json"


def reference_names() -> tuple[str, ...]:
    """Names of all reference networks, sorted."""
    return tuple(sorted(_entries()))


@cache
def reference_network(name: str) -> LayerTable:
    """The layers of a published network; OptionError, listing the names, where there is none called so."""
    return LayerTable.from_dict(
        {key: value for key, value in _entry(name).items() if key != "source"}
    )


def reference_source(name: str) -> str:
    """Where the network was described, the size of its input, and what is approximate; OptionError as for `reference_network`."""
    return str(_entry(name)["source"])


def _entry(name: str) -> dict[str, Any]:
    if name not in _entries():
        raise OptionError(
            f"unknown reference network {name!r}: choose from {', '.join(reference_names())}"
        )
    return _entries()[name]


@cache
def _entries() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return entries
