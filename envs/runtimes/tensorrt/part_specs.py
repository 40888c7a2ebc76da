"""Parts of a mapping, as TensorRT builds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envs.spec import Accelerator, Kind
from envs.spec.mapping import Mapping


@dataclass(frozen=True)
class PartSpec:
    """A part of a mapping.

    Attributes:
        kind: of its accelerator.
        precision: `fp32`, `fp16` or `int8`.
        stop: the first layer group that it does not run; None for the last part.
    """

    kind: Kind
    precision: str
    stop: int | None


def part_specs(mapping: Mapping, parts: Sequence[Accelerator]) -> tuple[PartSpec, ...]:
    """Return the parts of a mapping whose accelerators are these."""
    stops = (*mapping.stops, None)
    return tuple(
        PartSpec(each.kind, each.precision, stop) for each, stop in zip(parts, stops, strict=True)
    )
