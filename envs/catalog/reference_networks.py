"""Layers of published networks, which can be modelled without their files."""

import json
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import OptionError
from envs.graph.layer_table import LayerTable, part_of

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
    return LayerTable(**{each.name: entry[each.name] for each in fields(LayerTable)})


@cache
def reference_groups(name: str) -> tuple[LayerTable, ...]:
    """Return the layers of each layer group of a published network, as `partition_of` cuts it.

    Their `inputs` and `outputs` are the elements for one sample that cross the group's beginning,
    and its end or leave the network there.

    Raises:
        OptionError: there is no reference network by that name.
    """
    table, entry = reference_network(name), _entries()[name]
    stops = np.cumsum(entry["group_layers"]).tolist()
    bounds = zip([0, *stops[:-1]], stops, strict=True)
    return tuple(
        replace(part_of(table, start, stop), inputs=inputs, outputs=outputs)
        for (start, stop), inputs, outputs in zip(
            bounds, entry["group_inputs"], entry["group_outputs"], strict=True
        )
    )


@cache
def _entries() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return entries
