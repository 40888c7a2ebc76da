"""Judge the accelerators of a simulated board, which computes no answers, on this processor."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.accuracy.judging import Examined, Judge
from envs.accuracy.quantization import int8_copy
from envs.accuracy.reference import answers_of, session_of
from envs.accuracy.rounding import rounded_to_fp16
from envs.accuracy.schemes import TENSORRT
from envs.accuracy.verdicts import keep
from envs.files import parse_json, read_small
from envs.graph.onnx_file import read_whole
from envs.spec import Agreement

#: Part of the key of what is kept: another one wherever agreement is computed otherwise.
FORMAT = 2


def emulated(
    judge: Judge, tenant: int, examined: Examined, precision: str, cache: Path
) -> Agreement:
    """Return the agreement of a network at a precision, from a copy that this processor runs.

    It is kept in the cache, since making an INT8 copy takes seconds to minutes.

    Args:
        judge: knows the answers of FP32.
        tenant: of the network.
        examined: the network and its samples.
        precision: `fp32`, `fp16` or `int8`.
        cache: a folder.

    Raises:
        NetworkError: there is no such copy.
    """
    network, samples = examined.network, examined.calibrating
    if precision == "fp32" or (network.quantised and precision == "int8"):
        return judge.same(tenant)
    calibrating = samples.sha256 if samples is not None and precision == "int8" else ""
    key = f"{FORMAT} {network.sha256} {precision} {examined.judging.sha256} {calibrating}"
    path = cache / f"agreement-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    if (kept := _kept(path)) is not None:
        return kept
    model = read_whole(examined.path)
    if precision == "fp16":
        made, method, count = rounded_to_fp16(model), "", 0
    else:
        assert samples is not None, "INT8 without samples is not judged"
        copy = int8_copy(model, network, samples, TENSORRT)
        made, method, count = copy.model, copy.method, len(samples)
    session = session_of(made.SerializeToString(), f"the {precision} copy of {network.name}")
    found = judge.agreement(tenant, lambda given: answers_of(session, network, given))
    found = replace(found, calibration=method, calibrated_on=count)
    keep(path, found.to_dict())
    return found


def _kept(path: Path) -> Agreement | None:
    try:
        data: dict[str, Any] = parse_json(read_small(path))
        value, samples = data["value"], data["samples"]
        if type(value) not in (int, float) or not 0 <= value <= 1 or type(samples) is not int:
            return None
        if data["snr_db"] is None:  # JSON has no infinity
            data["snr_db"] = math.inf if value == 1 else -math.inf
        if not isinstance(data["snr_db"], (int, float)):
            return None
        return Agreement(**data)
    except (OSError, ValueError, KeyError, TypeError):
        return None
