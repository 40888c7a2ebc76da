"""Facts about an ONNX file that an export needs and that a network's description lacks."""

from pathlib import Path
from typing import NamedTuple

from envs.graph.batch_rules import declared, served_inputs
from envs.graph.number_types import NumberTypes, number_types
from envs.graph.reading import read_declared, read_network
from envs.graph.unknown_shapes import UnknownShapeError
from envs.optional import optional_import
from envs.spec import Network


class Facts(NamedTuple):
    """Facts about one file.

    Attributes:
        types: the number types in it.
        free_batch: True if the batch of its inputs is free.
        unshaped: why the shapes of its tensors are not known, in which case its inputs and outputs
            are those that the file declares; else empty.
    """

    types: NumberTypes = NumberTypes()
    free_batch: bool = True
    unshaped: str = ""


def facts_of(path: Path, unshaped: str = "") -> Facts:
    """Return the facts about an ONNX file."""
    model = optional_import("onnx", "networks").load(str(path), load_external_data=False)
    first = declared(served_inputs(model)[0]) or (None,)
    return Facts(number_types(model), not isinstance(first[0], int), unshaped)


def read_for_export(path: Path) -> tuple[Network, Facts]:
    """Describe an ONNX file; also one with operators whose results have no shape that is known.

    An engine of TensorRT needs the shapes of the inputs alone.

    Raises:
        NetworkError: the file cannot be exported for any accelerator.
    """
    try:
        return read_network(path), facts_of(path)
    except UnknownShapeError as error:
        return read_declared(path), facts_of(path, error.reason)
