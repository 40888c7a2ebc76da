"""Choose mappings by what was fitted: the fastest one, or the fastest whose answers agree."""

from __future__ import annotations

from collections.abc import Mapping as Lookup
from collections.abc import Sequence

import numpy as np

from benchmarks.mapping_live_bench import TRANSITIONS, Bench, can_be_int8
from benchmarks.mapping_live_fit import Fitted, Measured, among
from envs.mappings.search import fastest
from envs.spec.mapping import Mapping

ONNX_RUNTIME = ("cpu_fp32", "cpu_int8")
OPENVINO = ("openvino_fp32", "openvino_int8")

#: A mapping is chosen where it is predicted to be faster than each single accelerator by this share
#: at least, and by as many standard deviations.
WORTH, SURE = 0.02, 2.0

#: Under a limit on agreement answers may lose this share of what they lose in INT8, and so many
#: cuts are looked at in each order.
LOSS, CUTS = 0.5, 5

#: The mapping that is chosen, the best single accelerator, and the gain that is predicted.
Choice = tuple[Mapping, Mapping, float]


def sets_of(accelerators: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all accelerators, and those of one engine, or of one precision."""
    kinds = [ONNX_RUNTIME, OPENVINO, ("cpu_fp32", "openvino_fp32"), ("cpu_int8", "openvino_int8")]
    known = [each for each in kinds if set(each) <= set(accelerators)]
    return list(dict.fromkeys([tuple(accelerators), *known]))


def best_of(bench: Bench, fitted: Fitted, names: Sequence[str]) -> Mapping:
    """Return the mapping of some accelerators that is predicted to be the fastest."""
    costs = among(fitted.costs, names)
    found = fastest(costs, TRANSITIONS)
    if found is None or not can_be_int8(bench, found.mapping):
        return single_of(fitted, names)
    return found.mapping


def single_of(fitted: Fitted, names: Sequence[str]) -> Mapping:
    """Return the best single accelerator of some."""
    return min((Mapping((name,)) for name in names), key=fitted.time_s)


def choice(
    bench: Bench, fitted: Fitted, measured: Sequence[Measured], names: Sequence[str]
) -> Choice:
    """Return the mapping that is chosen, the best single accelerator, and the predicted gain.

    A mapping that was measured before stands for itself.
    """
    known = {each.mapping.name: each.time_s for each in measured}
    single = single_of(fitted, names)
    looked = [
        each.mapping
        for each in measured
        if set(each.mapping.accelerators) <= set(names) and len(each.mapping.stops) <= TRANSITIONS
    ]
    found = min(
        [*looked, best_of(bench, fitted, names)],
        key=lambda each: _time_s(each, fitted, known),
    )
    gain = _sure_gain(found, single, fitted, known)
    return (found, single, gain) if gain > 0 else (single, single, 0.0)


def choice_within(
    bench: Bench, fitted: Fitted, measured: Sequence[Measured], pair: Sequence[str]
) -> Choice:
    """Return the fastest choice whose answers lose `LOSS` of what they lose in INT8 at most.

    Mappings with one transition are judged from the fastest one on, until one keeps the limit.

    Args:
        bench: judges answers.
        fitted: predicts times.
        measured: among them FP32, the only single accelerator that keeps the limit.
        pair: FP32 and INT8 of one engine.
    """
    fp32, int8 = (Mapping((name,)) for name in pair)
    known = {each.mapping.name: each.time_s for each in measured}
    limit = 1 - LOSS * (1 - bench.agreement(int8))
    groups = len(bench.partition.groups)
    stops = sorted({round(groups * share) for share in np.linspace(0.15, 0.85, CUTS)})
    mappings = [
        made
        for order in (tuple(pair), tuple(pair)[::-1])
        for stop in stops
        if can_be_int8(bench, made := Mapping(order, (stop,)))
    ]
    for each in sorted(mappings, key=lambda each: _time_s(each, fitted, known)):
        gain = _sure_gain(each, fp32, fitted, known)
        if gain > 0 and bench.agreement(each) >= limit:
            return each, fp32, gain
    return fp32, fp32, 0.0


def _time_s(mapping: Mapping, fitted: Fitted, known: Lookup[str, float]) -> float:
    """Return the time of a mapping, which stands for itself where it was measured."""
    return known[mapping.name] if mapping.name in known else fitted.time_s(mapping)


def _sure_gain(
    mapping: Mapping, single: Mapping, fitted: Fitted, known: Lookup[str, float]
) -> float:
    """Return the share of the time that a mapping gains; 0 if it is too small, or not sure."""
    single_s = known[single.name]
    gain_s = single_s - _time_s(mapping, fitted, known)
    sure_s = 0.0 if mapping.name in known else SURE * fitted.deviation_s(mapping, single)
    return 0.0 if gain_s < max(WORTH * single_s, sure_s) else gain_s / single_s
