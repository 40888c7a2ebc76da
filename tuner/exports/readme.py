"""The text of the README.txt of an export.

Names from files appear as Python writes them, so that none breaks a line.
"""

import textwrap

from envs.spec import NOT_MEASURED
from tuner.exports.engines import BuildOptions
from tuner.exports.mapped import mapping_advice
from tuner.exports.models import Model

#: The versions that support DLAs: TensorRT documentation, "Working with DLA" (10.7 and 11.4.1).
DLA_VERSIONS = {
    "8.6": "",
    "10": " 10.7 is the last 10.x that has DLAs.",
    "11": " DLAs need 11.4.1 or later on an AGX Orin.",
}

#: The agreement with FP32 below which an export warns; the default of `min_agreement`.
MIN_AGREEMENT = 0.99


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
    if build.strongly_typed and not all(
        build.typed_by_file(model) or model.name in build.calibrated for model in models
    ):
        parts.append(
            "TensorRT 11 takes the precision from the network, so build.sh first converts it with"
            " NVIDIA's Model Optimizer (pip install 'nvidia-modelopt[onnx]>=0.47'). The files in"
            " prepared/ can be made on any computer and copied here."
        )
    if any(model.dla_core is not None for model in models):
        parts.append(
            f"A DLA engine takes its batch and no other.{DLA_VERSIONS[build.tensorrt]} In"
            " networks/ its file is the network as a DLA needs it: at that batch, a small global"
            " average as a pool with a window, a fully connected layer behind it as a convolution,"
            " an output [batch, features] as [batch, features, 1, 1]. Layers that a DLA does not"
            " take run on the GPU without a word: look into layers/*.json, where a network that"
            " runs on the DLA as a whole is one ForeignNode and reformats."
        )
    return parts + mapping_advice(models)


def ranges(models: list[Model], build: BuildOptions) -> list[str]:
    """Return where the INT8 ranges of an export come from, and a warning about made-up ones."""
    parts = warnings(models, build)
    found = [
        f"  {model.name}: {build.calibrated[model.name].describe()}"
        for model in models
        if model.name in build.calibrated
    ]
    if found:
        parts += ["INT8 ranges:", "\n".join(found)]
    return parts


def warnings(models: list[Model], build: BuildOptions) -> list[str]:
    """Return warnings about models that may give wrong answers."""
    found = []
    if names := [model.name for model in models if not build.has_ranges(model)]:
        found.append(
            "These INT8 engines were calibrated on invented data: right for speed, wrong for"
            f" answers: {', '.join(names)}. Export again with --samples FILE."
        )
    for model in models:
        made = build.calibrated.get(model.name)
        agreement = made.agreement if made else build.halves.get(model.name, NOT_MEASURED)
        if agreement.measured and not agreement.keeps(MIN_AGREEMENT):
            remedy = "Use FP16 or FP32, or give more samples" if made else "Use FP32"
            found.append(
                f"{model.name} gives other answers than FP32: agreement"
                f" {agreement.describe()}. {remedy}."
            )
    return found
