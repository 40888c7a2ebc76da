"""Layers of a network whose file is not at hand: by its name, or from its totals."""

import math

import numpy as np

from envs.catalog.reference_networks import (
    reference_groups,
    reference_names,
    reference_network,
)
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable
from envs.spec import Network


def known_layers(network: Network) -> LayerTable:
    """Return the layers of a reference network; `even_layers` for any other.

    A network is taken for a reference network by its name and its multiply-accumulates.
    """
    if network.name in reference_names():
        table = reference_network(network.name)
        if network.macs == int(table.total_macs):
            return table
    return even_layers(network)


def even_layers(network: Network) -> LayerTable:
    """Return layers for a network of which only totals are known: all alike, none depthwise."""
    count = max(network.layers, 1)
    every = np.full(count, 1.0)
    inputs, outputs = (
        float(sum(math.prod(spec.shape) for spec in specs))
        for specs in (network.inputs, network.outputs)
    )
    return LayerTable(
        name=network.name,
        kind=np.zeros(count, dtype=np.int8),
        macs=every * network.macs / count,
        weights=every * network.weight_bytes / 4 / count,
        reads=every * network.activation_bytes / 8,
        writes=every * network.activation_bytes / 8,
        reduction=every * 500,
        channels=every * 100,
        dla=np.ones(count, dtype=bool),
        inputs=inputs,
        outputs=outputs,
    )


def known_groups(layers: LayerTable) -> tuple[LayerTable, ...]:
    """Return the layer groups of a reference network, by its name.

    Raises:
        OptionError: nobody knows them.
    """
    known = layers.name in reference_names()
    if not known or reference_network(layers.name).total_macs != layers.total_macs:
        raise OptionError(
            f"the layer groups of {layers.name} are not known without its file: give the ONNX file,"
            " or leave mappings out"
        )
    return reference_groups(layers.name)
