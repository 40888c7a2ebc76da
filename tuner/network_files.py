"""The ONNX files that a command was given."""

from pathlib import Path

from envs.errors import NetworkError, OptionError
from envs.graph.reading import read_network
from envs.spec import Network


def existing(paths: list[str]) -> list[Path]:
    """Return the ONNX files; NetworkError says how to make one that is missing."""
    check_given(paths)
    for path in paths:
        if not Path(path).exists():
            raise NetworkError(
                f"there is no file {path}: give an ONNX file (python -m tuner.networks writes"
                " published networks)"
            )
    return [Path(path) for path in paths]


def read_networks(paths: list[str]) -> list[Network]:
    """Return the networks in ONNX files."""
    return [read_network(path) for path in existing(paths)]


def check_given(paths: list[str]) -> None:
    """Raise OptionError if there is no ONNX file at all."""
    if not paths:
        raise OptionError("network is missing: give an ONNX file, as in --network my.onnx")
