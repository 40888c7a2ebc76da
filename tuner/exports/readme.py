"""The text of the README.txt of an export.

Names from files appear as Python writes them, so that none breaks a line.
"""

import textwrap

from tuner.exports.engines import BuildOptions
from tuner.exports.models import Model

#: The versions that support DLAs: TensorRT documentation, "Working with DLA" (10.7 and 11.4.1).
DLA_VERSIONS = {
    "8.6": "",
    "10": " 10.7 is the last 10.x that has DLAs.",
    "11": " DLAs need 11.4.1 or later on an AGX Orin.",
}


def listed(models: list[Model]) -> str:
    """Return the models as lines of a table."""
    rows = [
        (
            model.name,
            f"tenant {model.tenant!a}",
            model.accelerator.name,
            f"{model.instances} instance{'s' * (model.instances > 1)}",
            f"batch {model.batch}",
        )
        for model in models
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def page(*parts: str) -> str:
    """Join parts with an empty line between them; an indented part stays as it is."""
    return (
        "\n\n".join(
            part
            if part.startswith(" ")
            else textwrap.fill(part, 100, break_long_words=False, break_on_hyphens=False)
            for part in parts
        )
        + "\n"
    )


def advice(models: list[Model], build: BuildOptions) -> list[str]:
    """Return advice for the person who builds the engines."""
    parts = [
        f"build.sh runs trtexec of TensorRT {build.tensorrt}; TRTEXEC=/path/to/trtexec names"
        " another one. Run it on the board that serves, in the power mode it serves in (another may"
        " have fewer SMs), with nothing else running. Engines belong to one version of TensorRT and"
        " one GPU: build them again after an update."
    ]
    if any(
        build.needs_ranges(model) and build.calibration_of(model.position) is None
        for model in models
    ):
        parts.append(
            "INT8 without calibration data has made-up ranges: right for speed, wrong for results."
            " Export again with --calibration FILE."
        )
    if build.strongly_typed and not all(build.typed_by_file(model) for model in models):
        parts.append(
            "TensorRT 11 takes the precision from the network, so build.sh first converts it with"
            " NVIDIA's Model Optimizer (pip install 'nvidia-modelopt[onnx]>=0.47'). The files in"
            " prepared/ can be made on any computer and copied here."
        )
    if any(model.dla_core is not None for model in models):
        parts.append(
            f"A DLA engine takes its batch and no other.{DLA_VERSIONS[build.tensorrt]} In"
            " networks/dla/ are the networks as a DLA needs them: at that batch, a small global"
            " average as a pool with a window, a fully connected layer behind it as a convolution,"
            " an output [batch, features] as [batch, features, 1, 1]. Layers that a DLA does not"
            " take run on the GPU without a word: look into layers/*.json, where a network that"
            " runs on the DLA as a whole is one ForeignNode and reformats."
        )
    return parts
