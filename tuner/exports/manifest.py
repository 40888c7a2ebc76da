"""What a folder says of the models in it, for later readers."""

from typing import Any

from tuner.exports.engines import BuildOptions
from tuner.exports.models import Model
from tuner.exports.readme import warnings


def described(models: list[Model], build: BuildOptions) -> dict[str, Any]:
    """Return a description of the exported models for later readers of the folder."""
    return {
        "tensorrt": build.tensorrt,
        "models": [
            {
                "name": model.name,
                "tenant": model.tenant,
                "network_sha256": model.network.sha256,
                "accelerator": model.accelerator.name,
                "precision": build.precision(model),
                "instances": model.instances,
                "batch": model.batch,
                "calibration": _described_ranges(model, build),
            }
            for model in models
        ],
        "warnings": warnings(models, build),
    }


def _described_ranges(model: Model, build: BuildOptions) -> str:
    """Return where the INT8 ranges of a model come from; empty if it needs none."""
    if model.name in build.calibrated:
        return build.calibrated[model.name].describe()
    if not build.needs_ranges(model):
        return ""
    return f"{build.calibration_of(model.position)}" if build.has_ranges(model) else "invented data"
