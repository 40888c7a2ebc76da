"""Judge FP16 engines before they are exported, by copies that this processor runs.

INT8 copies are judged where they are made (`tuner.exports.calibrated`).
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from envs.accuracy.emulation import emulated
from envs.accuracy.judging import Judge, examine
from envs.accuracy.samples import Samples
from envs.errors import NetworkError
from envs.spec import Agreement
from tuner.exports.engines import BuildOptions
from tuner.exports.models import Model

logger = logging.getLogger(__name__)


def judged_halves(
    models: Iterable[Model],
    build: BuildOptions,
    samples: Sequence[Samples | None],
    cache: Path,
) -> dict[str, Agreement]:
    """Return the agreement with FP32 of every model in FP16, by its name.

    A file that holds FP16 is its own reference, and one without known shapes cannot be run here:
    both are left out.

    Args:
        models: to export.
        build: says their precision.
        samples: [T], or none at all: invented ones judge then.
        cache: folder that keeps agreements.
    """
    found: dict[int, Agreement] = {}
    halves = [
        model
        for model in models
        if build.precision(model) == "fp16"
        and not (model.facts.types.halves or model.facts.unshaped)
    ]
    for position in {model.position for model in halves}:
        model = next(each for each in halves if each.position == position)
        given = samples[position] if samples else None
        try:
            examined = examine(model.path, model.network, given, cache)
            found[position] = emulated(Judge([examined]), 0, examined, "fp16", cache)
        except NetworkError as error:
            logger.warning("nobody judged the FP16 answers of %s: %s", model.path, error)
    return {model.name: found[model.position] for model in halves if model.position in found}
